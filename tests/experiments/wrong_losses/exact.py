"""Losses whose expected gradient is wrong, or right where those of the algorithms are not."""

import jax.numpy as jnp

from algos import a2c, ppo
from algos.core.losses import mean, policy_gradient, squared


def baseline_of_the_action(params, apply, batch, hparams: a2c.HParams):
    policy, value = apply(params, batch.observation)
    advantage = batch.advantage - 0.5 * batch.action  # as an action value in place of the state's would be
    return mean(
        policy_gradient(policy.log_prob(batch.action), advantage) + squared(value - batch.value_target), batch.mask
    ), {}


def ratio_inverted(params, apply, batch, hparams: ppo.HParams):
    policy, value = apply(params, batch.observation)
    ratio = jnp.exp(batch.log_prob - policy.log_prob(batch.action))
    return mean(-ratio * batch.advantage + squared(value - batch.value_target), batch.mask), {}


def weighs_by_gamma_t(params, apply, batch, hparams: a2c.HParams):
    """Right: every rollout here begins with an episode and holds one, so that the row is t."""
    policy, value = apply(params, batch.observation)
    weight = hparams.gamma ** jnp.arange(batch.mask.shape[0])[:, None]
    log_prob = policy.log_prob(batch.action)
    return mean(
        weight * policy_gradient(log_prob, batch.advantage) + squared(value - batch.value_target), batch.mask
    ), {}
