"""Many runs of one method, spread over the devices: every run under its own key, the same keys at every setting."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from algos.core.types import Algorithm

SEED = 0


def over_runs(one_run: Callable, runs: int, settings: dict[str, Any] | None = None) -> np.ndarray:
    """Returns one_run(key, **setting) under every key at every setting, [settings, runs, ...]; [runs, ...] without settings.

    settings: arrays [N] by name. One run after another on each device: tables are too small to gain by `vmap`.
    """
    keys = jax.random.split(jax.random.key(SEED), runs)
    points = {name: jnp.asarray(values, jnp.float32) for name, values in (settings or {}).items()}
    number = len(next(iter(points.values()))) if points else 1
    every = {name: jnp.repeat(values, runs) for name, values in points.items()}
    tasks = (jnp.tile(keys, number), every)
    mesh = Mesh(np.array(jax.devices()), ("device",))
    total = -(-runs * number // mesh.size) * mesh.size  # filled up, to be thrown away
    tasks = jax.tree.map(lambda x: x[np.arange(total) % len(x)], tasks)
    spec = PartitionSpec("device")

    def one_device(tasks):
        return lax.map(lambda task: one_run(task[0], **task[1]), tasks)

    spread = jax.shard_map(one_device, mesh=mesh, in_specs=(spec,), out_specs=spec, check_vma=False)
    found = np.asarray(jax.jit(spread)(tasks))[: runs * number]
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


def earned(state, metrics) -> jax.Array:
    """Returns the return of the episode that ended."""
    return metrics["episode_return_sum"]


def took(state, metrics) -> jax.Array:
    """Returns the steps of the episode that ended."""
    return metrics["episode_length_sum"]
