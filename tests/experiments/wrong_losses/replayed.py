"""Losses on DQN, each with one fault, at the line that ends in `# wrong`."""

import jax.numpy as jnp

from algos import dqn
from algos.core import losses
from algos.core.losses import mean, squared


def target_leaks(params, apply, batch, hparams: dqn.HParams):
    q = losses.action_value(apply(params, batch.observation), batch.action)
    next_value = jnp.max(apply(params, batch.next_observation), axis=-1)  # wrong
    target = batch.reward + batch.discount * (1.0 - batch.terminated) * next_value
    return mean(squared(target - q), batch.mask), {}


def target_leaks_through_one_call(params, apply, batch, hparams: dqn.HParams):
    both = apply(params, jnp.stack([batch.observation, batch.next_observation]))  # wrong
    target = batch.reward + batch.discount * (1.0 - batch.terminated) * jnp.max(both[1], axis=-1)
    return mean(squared(target - losses.action_value(both[0], batch.action)), batch.mask), {}


def climbs(params, apply, batch, hparams: dqn.HParams):
    q = losses.action_value(apply(params, batch.observation), batch.action)
    next_value = jnp.max(apply(batch.target_params, batch.next_observation), axis=-1)
    target = batch.reward + batch.discount * (1.0 - batch.terminated) * next_value
    return -mean(squared(target - q), batch.mask), {}


def on_policy_field(params, apply, batch, hparams: dqn.HParams):
    q = losses.action_value(apply(params, batch.observation), batch.action)
    return mean(squared(q - batch.value_target), batch.mask), {}  # wrong


def ignores_terminated(params, apply, batch, hparams: dqn.HParams):
    q = losses.action_value(apply(params, batch.observation), batch.action)
    next_value = jnp.max(apply(batch.target_params, batch.next_observation), axis=-1)
    error = batch.reward + batch.discount * next_value - q
    return mean(squared(error), batch.mask), {}  # wrong


def bootstraps_at_the_end_alone(params, apply, batch, hparams: dqn.HParams):
    q = losses.action_value(apply(params, batch.observation), batch.action)
    next_value = jnp.max(apply(batch.target_params, batch.next_observation), axis=-1)
    error = batch.reward + batch.discount * batch.terminated * next_value - q
    return mean(squared(error), batch.mask), {}  # wrong
