"""Curvature of a policy, and steps that respect it, without ever building a matrix.

    F = E_s E_{a ~ pi}[grad log pi(a|s) grad log pi(a|s)^T] = Hessian of E_s KL(pi_old || pi) at pi = pi_old

F v needs one forward and one backward pass (Pearlmutter 1994), and conjugate gradients need only F v: the natural
gradient F^-1 g of a network with n parameters takes O(n) memory, where F would take O(n^2).

Parameters are flat vectors [n] here (`jax.flatten_util.ravel_pytree`); `policy` is a function of them that returns the
distribution at every state, batched [N, ...]. The dense matrices at the end are for small n: to learn from and to test by.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from algos.core import losses

Policy = Callable[[jax.Array], object]  # params [n] -> distribution [N, ...]


def mean_kl(policy: Policy, old_params: jax.Array, params: jax.Array, mask=None) -> jax.Array:
    """Returns E_s KL(pi_old(.|s) || pi(.|s)), a scalar; pi_old is held fixed. mask [N]: which states count; None: all."""
    kl = lax.stop_gradient(policy(old_params)).kl(policy(params))
    return jnp.mean(kl) if mask is None else losses.mean(kl, mask)


def kl_hessian_vector_product(policy: Policy, params: jax.Array, vector: jax.Array, mask=None) -> jax.Array:
    """Returns F v as the Hessian of the mean KL at the old parameters, forward over reverse, [n]."""
    gradient = jax.grad(lambda new: mean_kl(policy, params, new, mask))
    return jax.jvp(gradient, (params,), (vector,))[1]


def gauss_newton_vector_product(policy: Policy, params: jax.Array, vector: jax.Array, mask=None) -> jax.Array:
    """Returns F v as J^T M J v / N: J maps parameters to the distribution's, M is its Fisher metric, [n].

    No second derivatives of the network are taken, so it is cheaper; it is equal because at the old parameters the KL's
    gradient in the distribution's parameters vanishes (Martens 2020, arXiv 1412.1193, section 9).
    """
    distribution, tangent = jax.jvp(policy, (params,), (vector,))
    cotangent, count = distribution.fisher(tangent), distribution.entropy().size
    if mask is not None:
        cotangent, count = jax.tree.map(lambda x: x * mask[..., None], cotangent), jnp.maximum(jnp.sum(mask), 1.0)
    (product,) = jax.vjp(policy, params)[1](cotangent)
    return product / count


PRODUCTS = {"gauss-newton": gauss_newton_vector_product, "kl-hessian": kl_hessian_vector_product}


def fisher_vector_product(
    policy: Policy, params: jax.Array, vector: jax.Array, form: str = "gauss-newton", mask=None
) -> jax.Array:
    """Returns F v, [n], by one of PRODUCTS; both give the same vector. mask [N]: which states count; None: all."""
    return PRODUCTS[form](policy, params, vector, mask)


def conjugate_gradient(product: Callable, b: jax.Array, max_iterations: int, tolerance: float = 1e-10):
    """Returns (x, |b - A x|^2 / |b|^2, iterations) with A x close to b, A positive definite (Hestenes and Stiefel 1952).

    product: x -> A x. Stops after `max_iterations` or when the squared residual has fallen by `tolerance`; b = 0 gives 0.
    """
    goal = tolerance * jnp.vdot(b, b)

    def unfinished(carry):
        iteration, _, _, _, squared = carry
        return (iteration < max_iterations) & (squared > goal)

    def improve(carry):
        iteration, x, residual, direction, squared = carry
        image = product(direction)
        bend = jnp.vdot(direction, image)  # tiny gradients let it underflow to 0
        length = jnp.where(bend > 0.0, squared / jnp.where(bend > 0.0, bend, 1.0), 0.0)
        residual = residual - length * image
        new_squared = jnp.vdot(residual, residual)
        direction = residual + new_squared / squared * direction
        return iteration + 1, x + length * carry[3], residual, direction, new_squared

    start = (jnp.int32(0), jnp.zeros_like(b), b, b, jnp.vdot(b, b))
    iterations, x, _, _, squared = lax.while_loop(unfinished, improve, start)
    return x, squared / jnp.maximum(jnp.vdot(b, b), jnp.finfo(b.dtype).tiny), iterations


@struct.dataclass
class Search:
    """What a line search found."""

    params: jax.Array  # [n]; where nothing was accepted, bitwise those it began with
    fraction: jax.Array  # of the full step; 0.0 where nothing was accepted
    backtracks: jax.Array  # int32, rejected steps


def line_search(acceptable: Callable, params: jax.Array, full_step: jax.Array, factor: float, max_steps: int) -> Search:
    """Returns the first of params + factor^k full_step, k < max_steps, that is acceptable (arXiv 1502.05477, app. C).

    acceptable: params [n] -> bool.
    """

    def attempt(tried):
        return params + factor ** tried.astype(params.dtype) * full_step

    def unfinished(carry):
        tried, accepted = carry
        return ~accepted & (tried < max_steps)

    def try_next(carry):
        tried, _ = carry
        accepted = acceptable(attempt(tried))
        return jnp.where(accepted, tried, tried + 1), accepted

    backtracks, accepted = lax.while_loop(unfinished, try_next, (jnp.int32(0), jnp.bool_(False)))
    fraction = jnp.where(accepted, factor ** backtracks.astype(params.dtype), 0.0)
    return Search(jnp.where(accepted, attempt(backtracks), params), fraction, backtracks)


def trust_region_step(gradient: jax.Array, product: Callable, max_kl, cg_iterations: int):
    """Returns (s, CG residual): s = sqrt(2 max_kl / x^T A x) x with A x = gradient, so that s^T A s / 2 = max_kl.

    product: v -> A v, the Fisher matrix with its damping: the same in the solve and in the length. No gradient, no step.
    """
    direction, residual, _ = conjugate_gradient(product, gradient, cg_iterations)
    squared_length = jnp.vdot(direction, product(direction))
    scale = jnp.where(
        squared_length > 0.0, jnp.sqrt(2.0 * max_kl / jnp.where(squared_length > 0.0, squared_length, 1.0)), 0.0
    )
    return scale * direction, residual


def score(policy: Policy, params: jax.Array, action: jax.Array) -> jax.Array:
    """Returns grad log pi(a|s) of every sample, [N, n]: the score, whose mean under the policy is 0."""
    return jax.jacobian(lambda new: policy(new).log_prob(action))(params)


def empirical_fisher(policy: Policy, params: jax.Array, action: jax.Array) -> jax.Array:
    """Returns the mean of score score^T over the actions taken, [n, n]: F's estimate when they were drawn from the policy,
    and something else when they were not (Kunstner et al. 2019, arXiv 1905.12558)."""
    scores = score(policy, params, action)
    return scores.T @ scores / scores.shape[0]


def exact_fisher(policy: Policy, params: jax.Array, weight: jax.Array | None = None) -> jax.Array:
    """Returns F of a Categorical policy, summed over all actions instead of sampled, [n, n]; `weight` [N]: of the states,
    None: all alike."""
    probs = jnp.exp(policy(params).log_probs())
    weight = jnp.full(probs.shape[0], 1.0 / probs.shape[0]) if weight is None else weight
    scores = jax.jacobian(lambda new: policy(new).log_probs())(params)
    return jnp.einsum("sa,san,sam->nm", weight[:, None] * probs, scores, scores)


def hessian(function: Callable, params: jax.Array) -> jax.Array:
    """Returns the second derivatives of a scalar function, [n, n]."""
    return jax.hessian(function)(params)
