"""What is compiled for one contender, and how trials lie on devices.

Trials run in blocks of a fixed width, one block a device at a time: `vmap` inside a block, `shard_map` over devices, a
host loop over groups of blocks. The programs depend on the width and on the number of devices, never on how many seeds
there are: a seed's bits are the same alone or among a hundred others, and more seeds compile nothing anew.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from algos.core.loop import Sums, advance, no_metrics
from algos.core.rollout import advance_evaluation, begin_evaluation
from algos.core.types import Algorithm
from envs import Env
from experiments.lab.judges import Judge

BASE_SEED = 0
TRIALS, SAME = PartitionSpec("device"), PartitionSpec()


class Trials(NamedTuple):
    """One group of blocks, a block on every device: leaves [devices, width, ...]."""

    key_eval: jax.Array
    hparams: Any
    state: Any
    sums: Sums  # of metrics, since the last evaluation


class Programs(NamedTuple):
    """The compiled functions of one contender."""

    begin: Callable  # (seed, hparams) -> Trials
    advance: Callable  # (state, sums, hparams, num_updates) -> (state, sums); `state` is given up
    begin_evaluation: Callable | None = None  # (key_eval, point) -> Evaluation
    advance_evaluation: Callable | None = (
        None  # (state, evaluation, num_steps) -> (Evaluation, params are finite [...])
    )
    judge: Callable | None = (
        None  # (state, key_eval, point) -> ({metric: values [..., n]}, parameters are finite [...])
    )


def trial_mesh(num_trials: int, width: int) -> Mesh:
    """Returns the devices to use: all, or fewer when there are fewer blocks."""
    devices = jax.devices()[: -(-num_trials // width)]
    return Mesh(np.array(devices), ("device",))


def trial_arrays(seeds: Sequence[int], hparams: Sequence[Any]) -> tuple[np.ndarray, Any]:
    """Returns (seeds, hyperparameters) of every trial, arrays [trials]: the first hyperparameters under every seed, the
    second under every seed, and so on."""
    every = jax.tree.map(lambda *values: np.repeat(np.asarray(values, np.float32), len(seeds)), *hparams)
    return np.tile(np.asarray(seeds, np.uint32), len(hparams)), every


def in_groups(trials: Any, mesh: Mesh, width: int) -> list[Any]:
    """Returns arrays [trials] as arrays [devices, width]; the last is filled up with its last trial, to be thrown away."""

    def cut(values):
        padded = np.pad(values, (0, -len(values) % (mesh.size * width)), mode="edge")
        return padded.reshape(-1, mesh.size, width)

    cut_up = jax.tree.map(cut, trials)
    return [jax.tree.map(itemgetter(index), cut_up) for index in range(len(jax.tree.leaves(cut_up)[0]))]


def compile_programs(
    env: Env, algorithm: Algorithm, hparams, mesh: Mesh, width: int, judged_by: Judge | int
) -> Programs:
    """Returns the programs, compiled side by side. judged_by: a judge, or the number of episodes of an evaluation."""

    def begin(seed, hparams):
        key_run, key_eval = jax.random.split(jax.random.fold_in(jax.random.key(BASE_SEED), seed))
        state = algorithm.init(key_run, hparams)
        return Trials(key_eval, hparams, state, no_metrics(algorithm, state, hparams))

    def train(state, sums, hparams, num_updates):
        return advance(algorithm, state, hparams, sums, num_updates)

    def begin_test(key_eval, point):
        return begin_evaluation(env, jax.random.fold_in(key_eval, point), judged_by)

    def test(state, evaluation, num_steps):
        def act(key, observation):
            return algorithm.act(state, key, observation, False)

        return advance_evaluation(env, act, evaluation, num_steps), all_finite(state.params)

    def judged(state, key_eval, point):
        key = jax.random.fold_in(key_eval, point)
        return judged_by.measured(algorithm, env, state, key), all_finite(state.params)

    seed, number = jnp.zeros((mesh.size, width), jnp.uint32), jnp.int32(0)
    begin = spread(begin, mesh, width, (TRIALS, TRIALS))
    trials = _placed(jax.eval_shape(begin, seed, over_trials(hparams, seed)), mesh)
    train = spread(train, mesh, width, (TRIALS, TRIALS, TRIALS, SAME))
    lowered = {
        "begin": jax.jit(begin).lower(seed, over_trials(hparams, seed)),
        "advance": jax.jit(train, donate_argnums=0).lower(trials.state, trials.sums, trials.hparams, number),
    }
    if isinstance(judged_by, int):
        begin_test = spread(begin_test, mesh, width, (TRIALS, SAME))
        evaluation = _placed(jax.eval_shape(begin_test, trials.key_eval, number), mesh)
        test = spread(test, mesh, width, (TRIALS, TRIALS, SAME))
        lowered["begin_evaluation"] = jax.jit(begin_test).lower(trials.key_eval, number)
        lowered["advance_evaluation"] = jax.jit(test).lower(trials.state, evaluation, number)
    else:
        judged = spread(judged, mesh, width, (TRIALS, TRIALS, SAME))
        lowered["judge"] = jax.jit(judged).lower(trials.state, trials.key_eval, number)
    with ThreadPoolExecutor() as pool:  # XLA compiles outside Python's lock
        return Programs(**dict(zip(lowered, pool.map(lambda program: program.compile(), lowered.values()))))


def all_finite(params) -> jax.Array:
    """Returns whether every parameter is finite, a scalar."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(params)]))


def over_trials(hparams, seed):
    """Returns the hyperparameters as float32 arrays of the shape of `seed`, one value a trial."""
    return jax.tree.map(lambda value: jnp.full(seed.shape, value, jnp.float32), hparams)


def spread(function: Callable, mesh: Mesh, width: int, specs: tuple[PartitionSpec, ...]) -> Callable:
    """Returns `function` of one trial as a function of [devices, width, ...] arrays; arguments of spec SAME are shared."""
    axes = tuple(0 if spec == TRIALS else None for spec in specs)

    def one_block(*args):
        args = [jax.tree.map(lambda x: x[0], arg) if axis == 0 else arg for axis, arg in zip(axes, args)]
        if width > 1:
            return jax.tree.map(lambda x: x[None], jax.vmap(function, axes)(*args))
        args = [jax.tree.map(lambda x: x[0], arg) if axis == 0 else arg for axis, arg in zip(axes, args)]
        return jax.tree.map(lambda x: x[None, None], function(*args))

    return jax.shard_map(one_block, mesh=mesh, in_specs=specs, out_specs=TRIALS, check_vma=False)


def in_seed_order(groups: Sequence[Any], num_trials: int) -> Any:
    """Returns pytrees of [devices, width, ...] as one pytree of NumPy arrays [num_trials, ...], filling thrown away."""

    def join(*leaves):
        arrays = [np.asarray(leaf) for leaf in leaves]
        return np.concatenate([array.reshape(-1, *array.shape[2:]) for array in arrays])[:num_trials]

    return jax.tree.map(join, *groups)


def _placed(shapes, mesh: Mesh):
    """Returns the shapes with the placement that the programs give and take."""
    sharding = NamedSharding(mesh, TRIALS)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes)
