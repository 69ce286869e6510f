"""Features by the words of a configuration, of what an environment shows.

    observation     what is observed, as it is: one-hot vectors are a table
    aggregation:10  ten groups along each dimension        polynomial:5, fourier:5   up to that order
    tiles:8x8       eight tilings, eight tiles along each dimension

All but the first are of a point in [0, 1]^D: of the observation between its bounds; of a finite model whose states are
observed one-hot, of a state's cell, or of its place among the states that do not only name an end.
"""

import re
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from algos.linear import features
from algos.linear.features import Active, Features
from envs import Env
from envs.mdp.model import terminal_states

FORMS = "observation, aggregation:N, polynomial:N, fourier:N, tiles:TILINGSxTILES"
MAKERS = {"aggregation": features.aggregation, "polynomial": features.polynomial, "fourier": features.fourier}


def features_of(env: Env, words: str) -> Features:
    """Returns the features that the words name; "": observation for a finite model, tiles:8x8 for all else. Raises ValueError
    for words that name none, and where there is no bound to an observation."""
    words = words or ("tiles:8x8" if env.model is None else "observation")
    if words == "observation":
        if is_one_hot(env):
            return features.seen_as(features.table(env.model.num_states), _hottest)
        return features.identity(int(np.prod(env.observation_shape)))
    kind, _, sizes = words.partition(":")
    if kind == "tiles" and re.fullmatch(r"\d+x\d+", sizes):
        tilings, tiles = map(int, sizes.split("x"))
        see, dimensions = point_of(env)
        return features.seen_as(features.tile_coding(dimensions, tilings, tiles), see)
    if kind not in MAKERS or not sizes.isdecimal():
        raise ValueError(f"features must be one of {FORMS}, not {words!r}")
    see, dimensions = point_of(env)
    return features.seen_as(MAKERS[kind](dimensions, int(sizes)), see)


def point_of(env: Env) -> tuple[Callable, int]:
    """Returns (observation -> point in [0, 1]^D, D). Raises ValueError where an observation has no bounds."""
    if is_one_hot(env):
        points = places(env.model)
        return lambda observation: jnp.asarray(points, float)[_hottest(observation)], points.shape[1]
    if env.observation_bounds is None:
        raise ValueError(f"{env.name} does not say between which bounds it is observed: take features=observation")
    return between(*env.observation_bounds)


def between(low, high) -> tuple[Callable, int]:
    """Returns (observation -> point in [0, 1]^D, D) of bounds; what is beyond them is at the border."""
    low, high = np.ravel(np.asarray(low, np.float32)), np.ravel(np.asarray(high, np.float32))
    return lambda observation: jnp.clip((jnp.ravel(observation) - low) / (high - low), 0.0, 1.0), low.size


def places(mdp) -> np.ndarray:
    """Returns the middle of each state's cell in [0, 1]^2, or of its place in [0, 1], [S, D]."""
    if mdp.cell is not None:
        return (mdp.cell + 0.5) / (np.max(mdp.cell, axis=0) + 1.0)
    counted = ~terminal_states(mdp)
    rank = np.clip(np.cumsum(counted) - 1, 0, None)
    return ((rank + 0.5) / max(counted.sum(), 1))[:, None]


def is_one_hot(env: Env) -> bool:
    """Returns whether the environment shows which state of its model it is in, and nothing else."""
    return env.model is not None and env.observation_shape == (env.model.num_states,)


def of_states(env: Env, chosen: Features) -> Active:
    """Returns the features of every state of a finite model, NumPy arrays [S, k]."""
    with jax.ensure_compile_time_eval():
        observations = jax.vmap(env.observe)(jnp.arange(env.model.num_states))
        return jax.tree.map(np.asarray, jax.lax.map(chosen.of, observations))


def num_active(env: Env, chosen: Features) -> int:
    """Returns k, how many features of an observation may be other than 0."""
    return jax.eval_shape(lambda key: chosen.of(env.reset(key)[1]), jax.random.key(0)).index.shape[0]


def state_of(env: Env) -> Callable:
    """Returns observation -> state, int32, of a finite model: the one that shows what is nearest to it."""
    if is_one_hot(env):
        return _hottest
    with jax.ensure_compile_time_eval():
        shown = np.asarray(jax.vmap(env.observe)(jnp.arange(env.model.num_states))).reshape(env.model.num_states, -1)
    return lambda x: jnp.argmin(jnp.sum((shown - jnp.ravel(x)) ** 2, axis=1)).astype(jnp.int32)


def _hottest(observation) -> jax.Array:
    return jnp.argmax(observation).astype(jnp.int32)
