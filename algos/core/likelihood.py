"""Maximum likelihood and the score function: what policy gradients and natural gradients are made of.

    L(theta) = -1/N sum_i log p(x_i; theta)           negative log-likelihood of N samples, to be minimised
    s(x; theta) = grad_theta log p(x; theta)          the score of one sample; E[s] = 0 for x drawn from p(theta) itself
    I(theta) = E[s s^T] = -E[grad^2 log p]            expected (Fisher) information of one sample, x from p(theta)
    J(theta) = grad^2 L(theta)                        observed information: the sample's own curvature, a mean as well
    Cov[t(x_1..N)] >= I(theta)^-1 / N                 for every unbiased estimate t of theta (Rao 1945, Cramer 1946)

A step goes up the likelihood along the mean score g = -grad L: by g (gradient), by J^-1 g (Newton), by I^-1 g (Fisher
scoring, which is the natural gradient: Fisher 1925, Amari 1998). `model` maps parameters [n] to one distribution.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from algos.core.curvature import fisher_vector_product, hessian

Model = Callable[[jax.Array], object]  # params [n] -> distribution


def negative_log_likelihood(model: Model, params: jax.Array, samples: jax.Array) -> jax.Array:
    """Returns -mean_i log p(x_i), a scalar in nats a sample."""
    return -jnp.mean(model(params).log_prob(samples))


def scores(model: Model, params: jax.Array, samples: jax.Array) -> jax.Array:
    """Returns grad log p of every sample, [N, n]."""
    return jax.jacobian(lambda new: model(new).log_prob(samples))(params)


def observed_information(model: Model, params: jax.Array, samples: jax.Array) -> jax.Array:
    """Returns the second derivatives of the negative log-likelihood, [n, n]. Away from its minimum it may be indefinite."""
    return hessian(lambda new: negative_log_likelihood(model, new, samples), params)


def expected_information(model: Model, params: jax.Array) -> jax.Array:
    """Returns the Fisher information of one sample, [n, n]: the expectation is exact, nothing is drawn."""
    identity = jnp.eye(params.size, dtype=params.dtype)
    return jax.vmap(lambda unit: fisher_vector_product(model, params, unit))(identity)


def cramer_rao(information: jax.Array, num_samples: int) -> jax.Array:
    """Returns the least covariance that an unbiased estimate from so many samples can have, [n, n]."""
    return jnp.linalg.inv(information) / num_samples


def gradient_ascent(model: Model, params: jax.Array, samples: jax.Array) -> jax.Array:
    """Returns the direction g, the mean score, [n]."""
    return jnp.mean(scores(model, params, samples), axis=0)


def newton_ascent(model: Model, params: jax.Array, samples: jax.Array) -> jax.Array:
    """Returns the direction J^-1 g, [n]. Where J is not positive definite it need not go up."""
    return jnp.linalg.solve(observed_information(model, params, samples), gradient_ascent(model, params, samples))


def natural_ascent(model: Model, params: jax.Array, samples: jax.Array) -> jax.Array:
    """Returns the direction I^-1 g, [n]. It always goes up, and is the same step however the model is written."""
    return jnp.linalg.solve(expected_information(model, params), gradient_ascent(model, params, samples))
