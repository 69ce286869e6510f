"""Many copies of one environment stepped together, with automatic resets and exact episode statistics.

A rollout's randomness is drawn before it begins: `draw` gives, for every step and environment, the step's key and a
fresh episode's first state. Inside the scan a reset is then a selection, not a computation.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from envs.core import Env, TimeStep


@struct.dataclass
class VectorState:
    """B running episodes."""

    environment: Any  # [B, ...]
    observation: jax.Array  # [B, ...], what the next action answers
    episode_return: jax.Array  # [B] float32, undiscounted, so far
    episode_length: jax.Array  # [B] int32, so far


@struct.dataclass
class Draws:
    """The randomness of T steps of B environments."""

    key: jax.Array  # [T, B]
    reset_environment: Any  # [T, B, ...]
    reset_observation: jax.Array  # [T, B, ...]


@struct.dataclass
class Episode:
    """Return and length of the episodes that ended at a step; meaningless where `ended` is false."""

    ended: jax.Array
    episode_return: jax.Array
    length: jax.Array
    fault: jax.Array | None = None  # where the environment gave what is not finite; filled in after a rollout


class VectorEnv(NamedTuple):
    """Copies of an environment as pure functions; arrays are [num_envs, ...]."""

    env: Env
    num_envs: int
    reset: Callable[[jax.Array], VectorState]  # (key)
    draw: Callable[[jax.Array, int], Draws]  # (key, num_steps)
    step: Callable[[VectorState, Draws, jax.Array], tuple[VectorState, TimeStep, Episode]]  # draws of one step


def vectorize(env: Env, num_envs: int) -> VectorEnv:
    """Returns `num_envs` auto-resetting copies of `env`.

    `TimeStep.observation` is the observation reached, before any reset; the state's is the one after it.
    Environment i begins the same under one key for any `num_envs` above i. An episode of `env.max_steps` steps is
    truncated there, whether the environment sees to it itself or not.
    """
    if num_envs < 1:
        raise ValueError(f"num_envs must be 1 or more, not {num_envs}")

    def reset(key):
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(num_envs))
        state, observation = jax.vmap(env.reset)(keys)
        return VectorState(state, observation, jnp.zeros(num_envs, jnp.float32), jnp.zeros(num_envs, jnp.int32))

    def draw(key, num_steps):
        key_step, key_reset = jax.random.split(key)
        step_keys = jax.random.split(key_step, (num_steps, num_envs))
        reset_keys = jax.random.split(key_reset, (num_steps, num_envs))
        return Draws(step_keys, *jax.vmap(jax.vmap(env.reset))(reset_keys))

    def step(state, draws, action):
        environment, reached = jax.vmap(env.step)(draws.key, state.environment, action)
        episode_length = state.episode_length + 1
        reached = reached.replace(
            reward=jnp.asarray(reached.reward, jnp.float32),  # what follows computes in its dtype
            truncated=reached.truncated | (episode_length >= env.max_steps),
        )
        ended = reached.terminated | reached.truncated
        episode_return = state.episode_return + reached.reward
        state = VectorState(
            environment=_where(ended, draws.reset_environment, environment),
            observation=_where(ended, draws.reset_observation, reached.observation),
            episode_return=jnp.where(ended, 0.0, episode_return),
            episode_length=jnp.where(ended, 0, episode_length),
        )
        return state, reached, Episode(ended, episode_return, episode_length)

    return VectorEnv(env, num_envs, reset, draw, step)


def _where(condition, on_true, on_false):
    """Selects whole environments: `condition` [B] against pytrees of [B, ...]."""

    def select(x, y):
        return jnp.where(condition.reshape(condition.shape + (1,) * (x.ndim - 1)), x, y)

    return jax.tree.map(select, on_true, on_false)
