"""Many copies of one environment stepped together, with automatic resets and exact episode statistics.

A rollout's randomness is drawn before it begins: `draw` gives, for every step and environment, the step's key and a
fresh episode's first state. Inside the scan a reset is then a selection, not a computation.

Agents are folded into the batch, here and nowhere else: what is [B, N, ...] in the environment is [B N, ...] to whoever learns,
row b N + n. An agent that has ended is gone until the episode has: its rows act no more, earn nothing (unless the reward is the
team's) and their value is 0.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from envs.core import Env, TimeStep


@struct.dataclass
class VectorState:
    """B running episodes, R rows: B, or B N of N agents."""

    environment: Any  # [B, ...]
    observation: jax.Array  # [R, ...], what the next action answers
    episode_return: jax.Array  # [B] float32, undiscounted, so far; of agents the mean over them
    episode_length: jax.Array  # [B] int32, so far
    gone: jax.Array | None = None  # [B, N] bool, which agents have ended; None: there is one


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
    takes_part: Callable[[VectorState], tuple[jax.Array, jax.Array]] | None = None  # -> (acting, live) [R]

    @property
    def num_rows(self) -> int:
        """How many rows a batch has at each step."""
        return self.num_envs * (self.env.agents or 1)


def vectorize(env: Env, num_envs: int) -> VectorEnv:
    """Returns `num_envs` auto-resetting copies of `env`.

    `TimeStep.observation` is the observation reached, before any reset; the state's is the one after it.
    Environment i begins the same under one key for any `num_envs` above i. An episode of `env.max_steps` steps is
    truncated there, whether the environment sees to it itself or not.
    """
    if num_envs < 1:
        raise ValueError(f"num_envs must be 1 or more, not {num_envs}")
    if env.agents is not None:
        return _folded(env, num_envs)

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


def _folded(env: Env, num_envs: int) -> VectorEnv:
    """Returns `vectorize` of an environment with agents: everything but the environment's own state in rows."""

    def fold(x):
        return x.reshape(-1, *x.shape[2:])

    def reset(key):
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(num_envs))
        state, observation = jax.vmap(env.reset)(keys)
        nothing, nobody = jnp.zeros(num_envs, jnp.float32), jnp.zeros((num_envs, env.agents), bool)
        return VectorState(state, fold(observation), nothing, jnp.zeros(num_envs, jnp.int32), nobody)

    def draw(key, num_steps):
        key_step, key_reset = jax.random.split(key)
        step_keys = jax.random.split(key_step, (num_steps, num_envs))
        reset_keys = jax.random.split(key_reset, (num_steps, num_envs))
        environment, observation = jax.vmap(jax.vmap(env.reset))(reset_keys)
        return Draws(step_keys, environment, jax.vmap(fold)(observation))

    def step(state, draws, action):
        action = action.reshape(num_envs, env.agents, *action.shape[1:])
        environment, reached = jax.vmap(env.step)(draws.key, state.environment, action)
        episode_length = state.episode_length + 1
        late = (episode_length >= env.max_steps)[:, None]
        ends, gone = own_ends(env, reached, state.gone, late)
        ended = jnp.all(gone, axis=1)
        episode_return = state.episode_return + jnp.mean(ends.reward, axis=1)
        selected = jnp.repeat(ended, env.agents)
        state = VectorState(
            environment=_where(ended, draws.reset_environment, environment),
            observation=_where(selected, draws.reset_observation, fold(reached.observation)),
            episode_return=jnp.where(ended, 0.0, episode_return),
            episode_length=jnp.where(ended, 0, episode_length),
            gone=gone & ~ended[:, None],
        )
        return state, jax.tree.map(fold, ends), Episode(ended, episode_return, episode_length)

    def takes_part(state):
        live = ~state.gone
        acting = live if env.acting is None else live & jax.vmap(env.acting)(state.environment)
        return fold(acting), fold(live)

    return VectorEnv(env, num_envs, reset, draw, step, takes_part)


def own_ends(env: Env, reached: TimeStep, gone: jax.Array, late) -> tuple[TimeStep, jax.Array]:
    """Returns (the step as each agent has it, all [..., N], who is gone after it [..., N]).

    gone: who was before it. late: whether the time limit has come, to be broadcast. An agent's own end ends its rewards; where
    they are the team's, a gone agent goes on being paid until the episode's end, and only that is an end. Who ends at the
    time limit is truncated; who was gone by then has no value there, but where the reward is the team's: then it is truncated too.
    """
    terminated, truncated = (_each_agent(x, gone) for x in (reached.terminated, reached.truncated))
    truncated = truncated | late
    reward = jnp.broadcast_to(jnp.asarray(reached.reward, jnp.float32), gone.shape)
    after = gone | terminated | truncated
    if env.reward_convention == "team":
        over = jnp.all(after, axis=-1, keepdims=True)
        stopped = jnp.any(truncated & ~terminated & ~gone, axis=-1, keepdims=True)
        terminated = over & jnp.where(gone, ~stopped, terminated)
        truncated = over & jnp.where(gone, stopped, truncated)
    else:
        reward = jnp.where(gone, 0.0, reward)
        terminated, truncated = terminated | gone, truncated & ~gone
    return reached.replace(reward=reward, terminated=terminated, truncated=truncated), after


def _each_agent(flag, like):
    """Returns a flag of the episode [...], or of each agent [..., N], as one of each agent."""
    return jnp.broadcast_to(flag if flag.ndim == like.ndim else flag[..., None], like.shape)


def _where(condition, on_true, on_false):
    """Selects whole environments: `condition` [B] against pytrees of [B, ...]."""

    def select(x, y):
        return jnp.where(condition.reshape(condition.shape + (1,) * (x.ndim - 1)), x, y)

    return jax.tree.map(select, on_true, on_false)
