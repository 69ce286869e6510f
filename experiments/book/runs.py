"""Many runs of one method, side by side on the cores: every run under its own key, the same keys at every setting."""

from collections.abc import Callable
from operator import itemgetter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from algos.core.types import Algorithm
from experiments.lab.machine import devices
from experiments.lab.running.programs import in_blocks, side_by_side

SEED = 0


def over_runs(one_run: Callable, runs: int, settings: dict[str, Any] | None = None) -> np.ndarray:
    """Returns one_run(key, **setting) under every key at every setting, [settings, runs, ...]; [runs, ...] without settings.

    settings: arrays [N] by name. One run after another on each core: tables are too small to gain by `vmap`.
    """
    words = np.asarray(jax.random.key_data(jax.random.split(jax.random.key(SEED), runs)))
    points = {name: np.asarray(values, np.float32) for name, values in (settings or {}).items()}
    number = len(next(iter(points.values()))) if points else 1
    tasks = (np.tile(words, (number, 1)), {name: np.repeat(values, runs) for name, values in points.items()})
    lanes = devices.lanes(runs * number)
    places = in_blocks(np.arange(runs * number), -(-runs * number // len(lanes)))
    parts = [jax.tree.map(itemgetter(own), tasks) for own in places]
    every = jax.jit(lambda part: lax.map(lambda task: one_run(jax.random.wrap_key_data(task[0]), **task[1]), part))
    found = side_by_side(lambda lane, part: every(jax.device_put(part, lane)), lanes, parts)
    found = np.concatenate([np.asarray(part) for part in found])[: runs * number]
    return found.reshape(number, runs, *found.shape[1:]) if points else found


def first_episodes(algorithm: Algorithm, hparams, key, number: int, look: Callable) -> jax.Array:
    """Returns look(state, metrics) at the end of each of a run's first episodes, [number]. One step an update."""

    def unfinished(carry):
        return carry[1] < number

    def one_step(carry):
        state, ended, found = carry
        state, metrics = algorithm.step(state, hparams)
        over = metrics["episode_count"] > 0.0
        found = found.at[ended].set(jnp.where(over, look(state, metrics), found[ended]))
        return state, ended + over, found

    begin = (algorithm.init(key, hparams), jnp.int32(0), jnp.zeros(number))
    return lax.while_loop(unfinished, one_step, begin)[2]


def every_update(algorithm: Algorithm, hparams, key, updates: int, look: Callable) -> Any:
    """Returns look(state, metrics) after each of a run's first updates, [updates, ...]."""

    def one_update(state, _):
        state, metrics = algorithm.step(state, hparams)
        return state, look(state, metrics)

    return lax.scan(one_update, algorithm.init(key, hparams), None, updates)[1]


def earned(state, metrics) -> jax.Array:
    """Returns the return of the episode that ended."""
    return metrics["episode_return_sum"]


def took(state, metrics) -> jax.Array:
    """Returns the steps of the episode that ended."""
    return metrics["episode_length_sum"]
