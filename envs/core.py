"""What an environment is here: pure functions and static facts, and nothing else."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

NO_BOUND = float(np.finfo(np.float32).max) / 2.0  # from here on a bound of actions is none; gymnax writes it for inf


@dataclass(frozen=True)
class Discrete:
    """Actions `start` to start + n - 1, as int32 scalars. A policy chooses 0 to n - 1. Raises ValueError for n < 1."""

    n: int
    start: int = 0

    def __post_init__(self):
        if not all(isinstance(number, (int, np.integer)) for number in (self.n, self.start)) or self.n < 1:
            raise ValueError(f"Discrete has whole numbers, n of 1 or more, not n={self.n!r}, start={self.start!r}")

    @property
    def shape(self) -> tuple[int, ...]:
        return ()

    def to_environment(self, action: jax.Array) -> jax.Array:
        """Returns what the environment is given for a policy's choice, 0 to n - 1."""
        return action + self.start if self.start else action


@dataclass(frozen=True)
class Box:
    """Real actions between `low` and `high`: numbers, or arrays of one shape (kept as nested tuples); no bound: inf.

    A policy acts in units of the box, by one vector [size]: its -1 is `low`, its 1 is `high`. A side without a bound is
    not scaled: 1 there is 1. Raises ValueError for bounds of two shapes, and where low is not below high.
    """

    low: Any
    high: Any

    def __post_init__(self):
        low, high = np.asarray(self.low, np.float64), np.asarray(self.high, np.float64)
        if low.shape != high.shape or not low.size or not np.all(low < high):
            raise ValueError(f"Box needs low < high, both of one shape, not low={self.low!r}, high={self.high!r}")
        object.__setattr__(self, "low", _nested(low.tolist()))
        object.__setattr__(self, "high", _nested(high.tolist()))

    @property
    def shape(self) -> tuple[int, ...]:
        return np.shape(self.low)

    @property
    def size(self) -> int:
        return np.size(self.low)

    def to_environment(self, action: jax.Array) -> jax.Array:
        """Returns what the environment is given, [..., *shape], for a policy's action [..., size]; beyond ±1 clipped."""
        low, high = np.ravel(self.low), np.ravel(self.high)
        has_low, has_high = low > -NO_BOUND, high < NO_BOUND
        half = np.where(has_low & has_high, (high - low) / 2.0, 1.0)
        middle = np.where(has_low, low + half, np.where(has_high, high - half, 0.0))
        if np.any(middle != 0.0) or np.any(half != 1.0):  # [-1, 1] is not touched, to the bit
            action = np.asarray(middle, action.dtype) + np.asarray(half, action.dtype) * action
        low, high = np.where(has_low, low, -np.inf), np.where(has_high, high, np.inf)
        action = jnp.clip(action, np.asarray(low, action.dtype), np.asarray(high, action.dtype))
        return action.reshape(*action.shape[:-1], *self.shape)


def _nested(values):
    return tuple(map(_nested, values)) if isinstance(values, list) else values


@struct.dataclass
class TimeStep:
    """What one step gives. `terminated`: the episode ended by itself, the value of what follows is 0.
    `truncated`: a time limit cut it. Both can be true; termination then decides bootstrapping."""

    observation: jax.Array  # of the state reached, also when the episode ends there
    reward: jax.Array  # float32
    terminated: jax.Array  # bool
    truncated: jax.Array  # bool


class Layout(NamedTuple):
    """What the numbers of an agent's observation are: one vector [own | state | legal].

    own: what the agent sees. state: what only a critic may read (a centralised critic). legal: one number an action, 1.0
    where it is legal. Where none is, as for an agent that is not to move, it does not matter what is chosen.
    """

    own: int
    state: int = 0
    legal: int = 0


CONVENTIONS = ("individual", "team")


class Env(NamedTuple):
    """One environment. `step` never resets; `envs.vectorize` does.

    With `agents` N, reset gives observations [N, *observation_shape], step takes actions [N, ...] and gives observations [N,
    ...] and rewards [N]; `terminated` and `truncated` are of the episode, or of each agent, [N]. All agents have one action
    space and one observation shape.
    """

    name: str
    reset: Callable[[jax.Array], tuple[Any, jax.Array]]  # (key) -> (state, observation)
    step: Callable[[jax.Array, Any, jax.Array], tuple[Any, TimeStep]]  # (key, state, action)
    observation_shape: tuple[int, ...]  # three axes are an image (height, width, channels): flatten what is none
    action: Discrete | Box
    max_steps: int  # an episode is truncated after so many steps, if it has not ended before
    observation_bounds: tuple[np.ndarray, np.ndarray] | None = (
        None  # (low, high); None where one is infinite or unknown
    )
    model: Any = None  # the finite model (`envs.mdp.MDP`) that the environment samples, where it is one
    observe: Callable[[jax.Array], jax.Array] | None = None  # (state of the model) -> what is observed of it
    text: Any = None  # the facts of a language task (`envs.text.Text`), where it is one
    draw: Callable[[Any, Any], np.ndarray] | None = None  # (state, observation), NumPy's -> uint8 [height, width, 3]
    agents: int | None = None  # how many act together; None: one, without an axis of its own
    acting: Callable[[Any], jax.Array] | None = None  # (state) -> [N] bool, whose action counts; None: everyone's
    waits: int = 0  # the most steps that an agent waits between two of its decisions
    layout: Layout | None = None  # what an agent's observation is made of; None: all of it is the agent's own
    reward_convention: str | None = None  # one of CONVENTIONS: rewards of one's own, or the same one for the team
    ids: bool = False  # whether agents' observations begin with their numbers, one-hot (`envs.agents.with_ids`)
    game: Any = None  # what is played (`envs.games.GameTree`), with an information set for each observation
