"""What an environment is here: pure functions and static facts, and nothing else."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct


class Discrete(NamedTuple):
    """Actions 0 to n - 1, as int32 scalars."""

    n: int

    @property
    def shape(self) -> tuple[int, ...]:
        return ()

    def clip(self, action: jax.Array) -> jax.Array:
        """Returns the action as it is: a discrete action has no bounds to exceed."""
        return action


class Box(NamedTuple):
    """Real action vectors [d] between `low` and `high` (tuples of d floats)."""

    low: tuple[float, ...]
    high: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.low),)

    def clip(self, action: jax.Array) -> jax.Array:
        """Returns the action moved to the nearest point of the box, elementwise."""
        return jnp.clip(action, np.asarray(self.low, action.dtype), np.asarray(self.high, action.dtype))


@struct.dataclass
class TimeStep:
    """What one step gives. `terminated`: the episode ended by itself, the value of what follows is 0.
    `truncated`: a time limit cut it. Both can be true; termination then decides bootstrapping."""

    observation: jax.Array  # of the state reached, also when the episode ends there
    reward: jax.Array  # float32
    terminated: jax.Array  # bool
    truncated: jax.Array  # bool


class Env(NamedTuple):
    """One environment. `step` never resets; `envs.vectorize` does."""

    name: str
    reset: Callable[[jax.Array], tuple[Any, jax.Array]]  # (key) -> (state, observation)
    step: Callable[[jax.Array, Any, jax.Array], tuple[Any, TimeStep]]  # (key, state, action)
    observation_shape: tuple[int, ...]
    action: Discrete | Box
    max_steps: int  # the time limit, in environment steps
    observation_bounds: tuple[np.ndarray, np.ndarray] | None = (
        None  # (low, high); None where one is infinite or unknown
    )
    model: Any = None  # the finite model (`envs.mdp.MDP`) that the environment samples, where it is one
