"""Jumanji's environments (Bonnet et al. 2024, arXiv 2306.09884) as `Env`: all that knows jumanji."""

from typing import Any

import jax
import jax.numpy as jnp
import jumanji
import numpy as np
from jumanji import specs

from envs.core import Discrete, Env, TimeStep
from envs.names import unknown

MAX_STEPS = 1000  # of those that have no limit of their own


def names() -> tuple[str, ...]:
    """Returns the ids that jumanji knows."""
    return tuple(sorted(jumanji.registered_environments()))


def make(name: str, part: str | None = None, max_steps_in_episode: int | None = None, **fields) -> Env:
    """Returns jumanji's environment of that id; `fields` go to its constructor.

    part: the one part of the observation that is shown, by its name; by default all of them, as one vector of float32.
    Raises ValueError for an unknown id, part or field, and for actions that are not one whole number.
    """
    if name not in names():
        raise ValueError(unknown("environment of jumanji", name, names()))
    try:
        env = jumanji.make(name, **fields)
    except TypeError as error:
        raise ValueError(f"jumanji/{name}: {error}") from None
    if type(env.action_spec) is not specs.DiscreteArray:
        raise ValueError(f"jumanji/{name} has actions {env.action_spec.shape}; one whole number alone is supported")

    def observe(observation):
        if part is None:
            leaves = [jnp.ravel(leaf).astype(jnp.float32) for leaf in jax.tree.leaves(observation)]
            return jnp.concatenate(leaves)
        shown = jnp.asarray(getattr(observation, part))
        return shown if shown.dtype == jnp.bool_ else shown.astype(jnp.float32)

    def reset(key):
        state, first = env.reset(key)
        return state, observe(first.observation)

    def step(key, state, action):
        state, reached = env.step(state, action)
        terminated = reached.last() & (reached.discount == 0.0)
        reward = jnp.asarray(reached.reward, jnp.float32).reshape(())
        return state, TimeStep(observe(reached.observation), reward, terminated, reached.last() & ~terminated)

    _check_part(env, name, part)
    shape = jax.eval_shape(reset, jax.random.key(0))[1].shape
    limit = max_steps_in_episode or int(getattr(env, "time_limit", None) or MAX_STEPS)
    return Env(f"jumanji/{name}", reset, step, shape, Discrete(int(np.asarray(env.action_spec.num_values))), limit)


def _check_part(env: Any, name: str, part: str | None) -> None:
    given = jax.eval_shape(env.reset, jax.random.key(0))[1].observation
    known = getattr(given, "_fields", None) or tuple(vars(given))
    if part is not None and not (part in known and hasattr(getattr(given, part), "shape")):
        arrays = ", ".join(one for one in known if hasattr(getattr(given, one), "shape"))
        raise ValueError(f"jumanji/{name} shows no {part!r}; its parts are: {arrays}")
