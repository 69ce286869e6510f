"""A finite model as an `Env`: what plans on the model exactly and what learns from samples meet on the same object."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from envs.core import Discrete, Env, TimeStep
from envs.mdp.model import MDP


@struct.dataclass
class State:
    """Where an episode is."""

    index: jax.Array  # int32, the state of the model
    time: jax.Array  # int32, steps taken


def as_env(mdp: MDP, name: str, max_steps: int, features=None) -> Env:
    """Returns the model as an environment that truncates after `max_steps`.

    features: what is observed of each state, [S, ...]; None: one-hot vectors [S]. `Env.model` is the model itself.
    """
    if max_steps < 1:
        raise ValueError(f"max_steps must be 1 or more, not {max_steps}")
    features = None if features is None else np.asarray(features, np.float32)
    first, outcomes = _thresholds(mdp.start), _thresholds(mdp.probability)
    successor, terminated = np.asarray(mdp.successor, np.int32), np.asarray(mdp.terminated)
    reward = np.asarray(mdp.reward, np.float32)

    def observe(index):
        if features is None:
            return jax.nn.one_hot(index, mdp.num_states, dtype=jnp.float32)
        return jnp.asarray(features)[index]

    def reset(key):
        index = _drawn(key, jnp.asarray(first))
        return State(index, jnp.int32(0)), observe(index)

    def step(key, state, action):
        outcome = (state.index, action, _drawn(key, jnp.asarray(outcomes)[state.index, action]))
        index, time = jnp.asarray(successor)[outcome], state.time + 1
        step = TimeStep(
            observe(index), jnp.asarray(reward)[outcome], jnp.asarray(terminated)[outcome], time >= max_steps
        )
        return State(index, time), step

    shape = (mdp.num_states,) if features is None else features.shape[1:]
    bounds = _bounds(mdp, features)
    return Env(name, reset, step, shape, Discrete(mdp.num_actions), max_steps, bounds, model=mdp)


def _thresholds(probability: np.ndarray) -> np.ndarray:
    """Returns cumulative probabilities [..., K], float32. A row's sum, 1 to 1e-8, rounds to 1.0, which no uniform number
    reaches: what comes after the last possible outcome is never drawn."""
    return np.cumsum(probability, axis=-1).astype(np.float32)


def _drawn(key, thresholds) -> jax.Array:
    """Returns the index of an outcome, int32, by one uniform number: how many thresholds [K] it reaches."""
    return jnp.sum(jax.random.uniform(key) >= thresholds, dtype=jnp.int32)


def _bounds(mdp: MDP, features):
    """Returns (low, high) of the observations, or None where a feature never changes."""
    if features is None:
        return np.zeros(mdp.num_states, np.float32), np.ones(mdp.num_states, np.float32)
    low, high = features.min(0), features.max(0)
    return (low, high) if np.all(low < high) else None
