"""Brax's environments (Freeman et al. 2021, arXiv 2106.13281) as `Env`: all that knows brax."""

import warnings

import jax.numpy as jnp
import numpy as np

from envs.core import Box, Env, TimeStep
from envs.names import unknown

MAX_STEPS = 1000  # the limit that Brax's own training sets


def names() -> tuple[str, ...]:
    """Returns the names that brax knows."""
    from brax import envs

    return tuple(sorted(envs._envs))


def make(name: str, max_steps_in_episode: int = MAX_STEPS, backend: str = "generalized", **fields) -> Env:
    """Returns brax's environment of that name, without its wrappers; `fields` go to its constructor.

    Raises ValueError for an unknown name or field.
    """
    from brax import envs

    if name not in names():
        raise ValueError(unknown("environment of brax", name, names()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that brax is looked after no more
        try:
            env = envs.get_environment(name, backend=backend, **fields)
        except TypeError as error:
            raise ValueError(f"brax/{name}: {error}") from None

    def reset(key):
        state = env.reset(key)
        return state, state.obs.astype(jnp.float32)

    def step(key, state, action):
        state = env.step(state, action)
        timed_out = jnp.asarray(state.info.get("time_out", 0.0)) > 0.0
        reward, ended = jnp.asarray(state.reward, jnp.float32), jnp.asarray(state.done) > 0.0
        return state, TimeStep(state.obs.astype(jnp.float32), reward, ended & ~timed_out, timed_out)

    one = np.ones(env.action_size)
    return Env(f"brax/{name}", reset, step, (env.observation_size,), Box(-one, one), max_steps_in_episode)
