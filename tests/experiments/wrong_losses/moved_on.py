"""Losses on PPO and A2C that are right at the old policy and wrong beyond it, or beyond an episode's end."""

import jax.numpy as jnp
from jax import lax

from algos import a2c, ppo
from algos.core.losses import mean, policy_gradient, squared


def never_reads_log_prob(params, apply, batch, hparams: ppo.HParams):
    policy, value = apply(params, batch.observation)
    gain = policy.log_prob(batch.action) * batch.advantage
    return mean(-gain + hparams.value_coef * squared(value - batch.value_target), batch.mask), {}


def max_for_min(params, apply, batch, hparams: ppo.HParams):
    policy, value = apply(params, batch.observation)
    ratio = jnp.exp(policy.log_prob(batch.action) - batch.log_prob)
    clipped = jnp.clip(ratio, 1.0 - hparams.clip, 1.0 + hparams.clip)
    objective = jnp.maximum(ratio * batch.advantage, clipped * batch.advantage)  # wrong
    return mean(-objective + hparams.value_coef * squared(value - batch.value_target), batch.mask), {}


def drives_away(params, apply, batch, hparams: ppo.HParams):
    policy, value = apply(params, batch.observation)
    ratio = jnp.exp(policy.log_prob(batch.action) - batch.log_prob)
    objective = ratio * batch.advantage + 3.0 * batch.policy.kl(policy)  # wrong
    return mean(-objective + hparams.value_coef * squared(value - batch.value_target), batch.mask), {}


def clips_alone(params, apply, batch, hparams: ppo.HParams):
    policy, value = apply(params, batch.observation)
    ratio = jnp.exp(policy.log_prob(batch.action) - batch.log_prob)
    objective = jnp.clip(ratio, 1.0 - hparams.clip, 1.0 + hparams.clip) * batch.advantage  # wrong
    return mean(-objective + hparams.value_coef * squared(value - batch.value_target), batch.mask), {}


def time_limit_is_an_end(params, apply, batch, hparams: a2c.HParams):
    policy, value = apply(params, batch.observation)
    goes_on = 1.0 - (batch.terminated | batch.truncated)
    target = batch.reward + hparams.gamma * goes_on * batch.next_value
    gain = policy_gradient(policy.log_prob(batch.action), lax.stop_gradient(target - value))
    return mean(gain + hparams.value_coef * squared(value - target), batch.mask), {}
