"""Episodes of a finite model, stepped by numbers that were drawn before: what the environment does, without its keys and
observations, so that a scan over it draws nothing."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from envs.mdp.model import MDP


@struct.dataclass
class State:
    """Where an episode is."""

    index: jax.Array  # int32, the state of the model
    time: jax.Array  # int32, steps taken


class Walk(NamedTuple):
    """How episodes of a finite model begin and go on."""

    start: Callable[[jax.Array], State]  # (uniform [...]) -> [...] first states
    step: Callable  # (uniform, State, action) -> (State, reward, terminated, truncated), of one episode


def walk(mdp: MDP, max_steps: int) -> Walk:
    """Returns how episodes of the model begin and go on, truncated after `max_steps`; one uniform number decides each."""
    first, outcomes = thresholds(mdp.start), thresholds(mdp.probability)
    successor, terminated = np.asarray(mdp.successor, np.int32), np.asarray(mdp.terminated)
    reward = np.asarray(mdp.reward, np.float32)
    only = np.flatnonzero(mdp.start > 0.0)

    def start(uniform):
        if only.size == 1:
            index = jnp.full(uniform.shape, only[0], jnp.int32)
        else:
            index = jnp.searchsorted(jnp.asarray(first), uniform, side="right").astype(jnp.int32)
        return State(index, jnp.zeros_like(index))

    def step(uniform, state, action):
        outcome = (state.index, action, drawn(uniform, jnp.asarray(outcomes)[state.index, action]))
        index, time = jnp.asarray(successor)[outcome], state.time + 1
        reached = State(index, time)
        return reached, jnp.asarray(reward)[outcome], jnp.asarray(terminated)[outcome], time >= max_steps

    return Walk(start, step)


def thresholds(probability: np.ndarray) -> np.ndarray:
    """Returns cumulative probabilities [..., K], float32, out of reach from the last possible outcome on, so that no
    rounding can draw an impossible one."""
    last = probability.shape[-1] - 1 - np.argmax(probability[..., ::-1] > 0.0, axis=-1)
    sums = np.cumsum(probability, axis=-1)
    return np.where(np.arange(probability.shape[-1]) >= last[..., None], np.inf, sums).astype(np.float32)


def drawn(uniform, thresholds) -> jax.Array:
    """Returns the index of an outcome, int32: how many thresholds [K] the uniform number reaches."""
    return jnp.sum(uniform >= thresholds, dtype=jnp.int32)
