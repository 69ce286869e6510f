"""A point on a line is to be brought to rest at 0 (a skeleton to copy; docs/environments.md has the contract).

    v' = v + 0.1 a,   x' = x + 0.1 v',   reward = -(x'^2 + 0.1 a^2),   a in [-1, 1]

An episode ends by itself where the point leaves the line, |x| > 2, and is cut after 100 steps.
"""

import jax
import jax.numpy as jnp
from flax import struct

from envs import Box, Env, TimeStep

STEP, EDGE, MAX_STEPS = 0.1, 2.0, 100


@struct.dataclass
class State:
    """Where the point is, and how fast; all that changes is in here."""

    x: jax.Array
    v: jax.Array


def point(edge: float = EDGE) -> Env:
    """Returns the environment. edge: how far the line goes, `--env "FILE.py:point"` takes the default."""

    def observe(state):
        return jnp.stack([state.x, state.v])

    def reset(key):
        state = State(x=jax.random.uniform(key, (), minval=-1.0, maxval=1.0), v=jnp.float32(0.0))
        return state, observe(state)

    def step(key, state, action):
        push = action[0]
        v = state.v + STEP * push
        state = State(x=state.x + STEP * v, v=v)
        reward = -(state.x**2 + 0.1 * push**2)
        left = jnp.abs(state.x) > edge  # terminated: what follows is worth 0, here the best there is
        return state, TimeStep(observe(state), reward - 100.0 * left, left, False)  # so that leaving has to cost

    return Env("point", reset, step, observation_shape=(2,), action=Box((-1.0,), (1.0,)), max_steps=MAX_STEPS)
