"""Rewards and advantages in units of their own spread, over the whole batch, before it is cut into minibatches.

    x / sd,   sd^2 = mean (x - mean x)^2 over real tokens: the population's variance, n and not n - 1

Divided only. The usual (x - mean) / sd + mean, and all the more (x - mean) / sd, add a constant to every token's reward:
with answers that end when the policy says so, that pays for length or fines it. Division leaves the best policy as it is.
"""

import jax.numpy as jnp

from algos.core.losses import constant, mean


def scaled(x, mask):
    """Returns x [B, L] divided by its standard deviation where mask is 1; as it is where all are one number."""
    average = mean(x, mask)
    variance = mean((x - average) ** 2, mask)
    spread = jnp.where(constant(variance, average), 1.0, jnp.sqrt(variance))
    return jnp.where(mask > 0, x / spread, 0.0)
