"""Parts that losses are made of: one equation a function, one value a sample. Only a loss reduces, with `mean`.

Entropy and KL divergence are methods of the policy (distributions.py), targets are in returns.py.
"""

import chex
import jax
import jax.numpy as jnp
from jax import lax

from algos.core.returns import td_target


def mean(x: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns the mean of x over the samples where mask is 1, a scalar; 0 when there are none."""
    return jnp.sum(jnp.where(mask > 0, x, 0.0)) / jnp.maximum(jnp.sum(mask), 1.0)


def normalize(x: jax.Array, mask: jax.Array, epsilon: float = 1e-8) -> jax.Array:
    """Returns x with mean 0 and standard deviation 1 over the samples where mask is 1; 0 where they are one number."""
    average = mean(x, mask)
    centred = x - average
    variance = mean(centred**2, mask)
    return jnp.where(constant(variance, average), 0.0, centred / (jnp.sqrt(variance) + epsilon))


def constant(variance: jax.Array, size: jax.Array) -> jax.Array:
    """Returns whether a variance says no more than that numbers of that size, and their mean, were rounded; bool.

    That is a deviation of up to 32 units in the last place. False for what is not finite.
    """
    limit = (32.0 * jnp.finfo(variance.dtype).eps * size) ** 2
    return jnp.isfinite(limit) & (variance <= limit)


def squared(error: jax.Array) -> jax.Array:
    """Returns error^2 / 2, whose derivative is the error."""
    return 0.5 * error**2


def policy_gradient(log_prob: jax.Array, advantage: jax.Array) -> jax.Array:
    """Returns -log pi(a|s) A: its gradient is the score-function estimate (Williams 1992)."""
    return -log_prob * advantage


def score_function_nll(log_prob: jax.Array, weight: jax.Array) -> jax.Array:
    """Returns -log p(x) w with w held constant, even where it depends on the parameters (arXiv 1506.05254, eq. 1).

    For x drawn from p its gradient is that of -E[w(x)]; with w = 1 it is the negative log-likelihood.
    """
    return -log_prob * lax.stop_gradient(weight)


def clipped_surrogate(ratio: jax.Array, advantage: jax.Array, clip) -> jax.Array:
    """Returns -min(r A, clip(r, 1 - clip, 1 + clip) A) (PPO, arXiv 1707.06347, eq. 7)."""
    clipped = jnp.clip(ratio, 1.0 - clip, 1.0 + clip)
    return -jnp.minimum(ratio * advantage, clipped * advantage)


def kl_penalised_surrogate(ratio: jax.Array, advantage: jax.Array, kl: jax.Array, beta) -> jax.Array:
    """Returns -(r A - beta KL), KL in nats for each sample's state (PPO, arXiv 1707.06347, eq. 8)."""
    return beta * kl - ratio * advantage


def clipped_value_loss(value: jax.Array, old_value: jax.Array, target: jax.Array, clip) -> jax.Array:
    """Returns max of the squared errors of V and of V kept within `clip` of the old V; clip 0.0 turns it off."""
    limit = off_at_zero(clip)
    kept_near = old_value + jnp.clip(value - old_value, -limit, limit)
    return jnp.maximum(squared(value - target), squared(kept_near - target))


def huber(error: jax.Array, kappa=1.0) -> jax.Array:
    """Returns error^2 / 2 up to |error| = kappa and kappa (|error| - kappa / 2) beyond (Huber 1964).

    The derivative is the error clipped to [-kappa, kappa].
    """
    size = jnp.abs(error)
    return jnp.where(size <= kappa, 0.5 * error**2, kappa * (size - 0.5 * kappa))


def action_value(q: jax.Array, action: jax.Array) -> jax.Array:
    """Returns q[action] of q [..., A], [...]. A selection instead of a gather: its gradient is no scatter."""
    return jnp.sum(q, axis=-1, where=jax.nn.one_hot(action, q.shape[-1], dtype=bool))


def td_error(value, reward, terminated, next_q, discount) -> jax.Array:
    """Returns r + gamma (1 - terminated) max_a' Q(s', a') - value, [...] (Q-learning: Watkins 1989).

    value [...]: Q(s, a), the only part that carries a gradient. next_q [..., A].
    """
    return td_target(reward, terminated, jnp.max(next_q, axis=-1), discount) - value


def double_td_error(value, reward, terminated, next_q, chooser, discount) -> jax.Array:
    """Returns r + gamma (1 - terminated) Q(s', argmax_a' chooser(s', a')) - value, [...] (arXiv 1509.06461, eq. 4).

    next_q and chooser [..., A]: in DQN the target network's values and the online network's.
    """
    next_value = action_value(next_q, jnp.argmax(chooser, axis=-1))
    return td_target(reward, terminated, next_value, discount) - value


def quantile_huber(quantiles: jax.Array, target: jax.Array, kappa) -> jax.Array:
    """Returns sum_i E_j[|tau_i - 1{u_ij < 0}| l(u_ij)], [...], u_ij = target_j - quantile_i (arXiv 1710.10044, eq. 10).

    quantiles [..., N] at tau_i = (i + 1/2) / N, target [..., M]. l is Huber's loss; kappa = 0.0: the absolute value,
    whose minimum is the exact quantiles (eq. 8). The gradient reaches the quantiles alone.
    """
    chex.assert_equal_shape_prefix([quantiles, target], quantiles.ndim - 1)
    count = quantiles.shape[-1]
    tau = (jnp.arange(count) + 0.5)[:, None] / count
    error = lax.stop_gradient(target)[..., None, :] - quantiles[..., :, None]
    size = jnp.where(kappa > 0.0, huber(error, kappa), jnp.abs(error))
    return jnp.sum(jnp.mean(jnp.abs(tau - (error < 0.0)) * size, axis=-1), axis=-1)


def off_at_zero(limit) -> jax.Array:
    """Returns the limit, or infinity where it is 0.0: a bound that a coefficient of 0.0 turns off."""
    return jnp.where(limit > 0.0, limit, jnp.inf)


def explained_variance(value: jax.Array, target: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns 1 - Var[target - value] / Var[target], a scalar: 1 for a perfect critic, 0 for a constant one.

    Where the targets are one number, apart from rounding, there is nothing to explain: 0, whatever the critic.
    """
    error = target - value
    residual = mean_in_order((error - mean_in_order(error, mask)) ** 2, mask)
    variance = mean_in_order((target - mean_in_order(target, mask)) ** 2, mask)
    size = jnp.sqrt(mean_in_order(target**2 + value**2, mask))
    nothing = constant(variance, size)  # targets are computed from values
    return jnp.where(nothing, 0.0, 1.0 - residual / jnp.where(nothing, 1.0, variance))


def mean_in_order(x: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns `mean(x, mask)` added up one by one, for what is reported and has no gradient.

    Sums are in an order that LLVM chooses by how they lie in memory, and so by the number of trials beside this one; one
    with a limit is in its own. A product has a limit too, or may be added before it is rounded. And of one trial alone XLA
    would divide the sums where the means of several are divided, but for the barrier.
    """
    most = jnp.finfo(x.dtype).max
    total = lax.reduce(
        jnp.minimum(jnp.where(mask > 0, x, 0.0), most),
        jnp.zeros((), x.dtype),
        lambda total, one: jnp.minimum(total + one, most),
        range(x.ndim),
    )
    total = jnp.where(total == most, jnp.inf, total)
    return lax.optimization_barrier(total / jnp.maximum(jnp.sum(mask), 1.0))
