"""Environments with agents whose every number is known, to find out what becomes of it."""

import jax
import jax.numpy as jnp

from envs import Discrete, Env, Layout, TimeStep

AGENTS, LENGTH = 3, 4


def constants(permutation=range(AGENTS), convention="individual", scale=1.0, death=None, layout=None):
    """Returns an environment in which agent a of the episode with number e sees (e, a, t) and earns e + 10 a + 100 action.

    Episodes are truncated after LENGTH steps. permutation: where each agent sits. scale: of agent 0's reward and observation once it is dead. death:
    the step in which agent 0 ends, None: nobody ends alone.
    """
    seat = jnp.array(list(permutation))

    def seen(state):
        number, time = state
        alike = jnp.ones(AGENTS)
        told = jnp.stack([number * alike, seat.astype(jnp.float32), time * alike], axis=1)
        return (
            told
            if death is None
            else jnp.where(((seat == 0) & (time > death))[:, None], scale * (told + scale - 1.0), told)
        )

    def reset(key):
        state = (jnp.round(100.0 * jax.random.uniform(key)) / 128.0, jnp.float32(0.0))
        return state, seen(state)

    def step(key, state, action):
        number, time = state
        dead = jnp.zeros(AGENTS, bool) if death is None else (seat == 0) & (time > death)
        ends = jnp.zeros(AGENTS, bool) if death is None else (seat == 0) & (time == death)
        reward = (number + 10.0 * seat + 100.0 * action) * jnp.where(dead, scale, 1.0)
        state = (number, time + 1.0)
        return state, TimeStep(seen(state), reward, ends, jnp.zeros((), bool))

    return Env(
        "Constants", reset, step, (3,), Discrete(2), LENGTH,
        agents=AGENTS, layout=layout, reward_convention=convention,
    )  # fmt: skip


def different():
    """Returns the game of one round in which two are paid 1 each if they choose unlike actions, and see nothing."""

    def reset(key):
        return jnp.int32(0), jnp.ones((2, 1))

    def step(key, state, action):
        reward = jnp.broadcast_to((action[0] != action[1]).astype(jnp.float32), 2)
        return state, TimeStep(jnp.ones((2, 1)), reward, jnp.ones((), bool), jnp.zeros((), bool))

    return Env(
        "Different", reset, step, (1,), Discrete(2), 1, agents=2, layout=Layout(1), reward_convention="team"
    )  # fmt: skip


def knows_more():
    """Returns an environment of two agents with a state that only a critic may read, and a third action that is not legal."""

    def seen(time):
        own, state = jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.full((2, 2), 1.0 + time)
        return jnp.concatenate([own, state, jnp.array([[1.0, 1.0, 0.0]] * 2)], axis=1)

    def reset(key):
        return jnp.float32(0.0), seen(0.0)

    def step(key, time, action):
        time = time + 1.0
        reward = jnp.array([1.0, 3.0]) * action
        return time, TimeStep(seen(time), reward, time >= 3.0, jnp.zeros((), bool))

    return Env(
        "KnowsMore", reset, step, (7,), Discrete(3), 5,
        agents=2, layout=Layout(2, 2, 3), reward_convention="individual",
    )  # fmt: skip
