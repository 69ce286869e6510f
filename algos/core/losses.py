"""Parts that losses are made of: one equation a function, one value a sample. Only a loss reduces, with `mean`."""

import jax
import jax.numpy as jnp


def mean(x: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns the mean of x over the samples where mask is 1, a scalar; 0 when there are none."""
    return jnp.sum(jnp.where(mask > 0, x, 0.0)) / jnp.maximum(jnp.sum(mask), 1.0)


def normalize(x: jax.Array, mask: jax.Array, epsilon: float = 1e-8) -> jax.Array:
    """Returns x with mean 0 and standard deviation 1 over the samples where mask is 1."""
    centred = x - mean(x, mask)
    return centred / (jnp.sqrt(mean(centred**2, mask)) + epsilon)


def squared(error: jax.Array) -> jax.Array:
    """Returns error^2 / 2, whose derivative is the error."""
    return 0.5 * error**2


def policy_gradient(log_prob: jax.Array, advantage: jax.Array) -> jax.Array:
    """Returns -log pi(a|s) A: its gradient is the score-function estimate (Williams 1992)."""
    return -log_prob * advantage


def clipped_surrogate(ratio: jax.Array, advantage: jax.Array, clip) -> jax.Array:
    """Returns -min(r A, clip(r, 1 - clip, 1 + clip) A) (PPO, arXiv 1707.06347, eq. 7)."""
    clipped = jnp.clip(ratio, 1.0 - clip, 1.0 + clip)
    return -jnp.minimum(ratio * advantage, clipped * advantage)


def clipped_value_loss(value: jax.Array, old_value: jax.Array, target: jax.Array, clip) -> jax.Array:
    """Returns max of the squared errors of V and of V kept within `clip` of the old V; clip 0.0 turns it off."""
    limit = off_at_zero(clip)
    kept_near = old_value + jnp.clip(value - old_value, -limit, limit)
    return jnp.maximum(squared(value - target), squared(kept_near - target))


def huber(error: jax.Array) -> jax.Array:
    """Returns error^2 / 2 up to |error| = 1 and |error| - 1/2 beyond: the derivative is the error clipped to [-1, 1]."""
    size = jnp.abs(error)
    return jnp.where(size <= 1.0, 0.5 * error**2, size - 0.5)


def action_value(q: jax.Array, action: jax.Array) -> jax.Array:
    """Returns q[action] of q [..., A], [...]. A selection instead of a gather: its gradient is no scatter."""
    return jnp.sum(q, axis=-1, where=jax.nn.one_hot(action, q.shape[-1], dtype=bool))


def off_at_zero(limit) -> jax.Array:
    """Returns the limit, or infinity where it is 0.0: a bound that a coefficient of 0.0 turns off."""
    return jnp.where(limit > 0.0, limit, jnp.inf)


def explained_variance(value: jax.Array, target: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns 1 - Var[target - value] / Var[target], a scalar: 1 for a perfect critic, 0 for a constant one."""
    error = target - value
    residual = mean((error - mean(error, mask)) ** 2, mask)
    return 1.0 - residual / jnp.maximum(mean((target - mean(target, mask)) ** 2, mask), 1e-8)
