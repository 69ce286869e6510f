"""What is compiled for one contender, and how its trials are computed beside one another.

Trials run in blocks of a fixed width: `vmap` inside a block, blocks side by side, each on a device of its own, which on
CPU is a core. A program knows one block and one device: it depends on the width, never on how many seeds, cores or devices
there are, so a seed's bits are the same alone or among a hundred others, and more seeds compile nothing anew.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jax.sharding import SingleDeviceSharding

from algos.core.loop import Sums, advance, no_metrics
from algos.core.rollout import advance_evaluation, begin_evaluation
from algos.core.types import Algorithm
from envs import Env
from experiments.lab.judging.judges import Judge
from experiments.lab.machine import devices, flags

BASE_SEED = 0
FEW_STEPS = 2_000  # of filling a replay memory take less time than making it fast does


class Trials(NamedTuple):
    """One block: leaves [width, ...]."""

    key_eval: jax.Array
    hparams: Any
    state: Any
    sums: Sums  # of metrics, since the last evaluation


class Programs(NamedTuple):
    """The compiled functions of one contender, on one device."""

    begin: Callable  # (seed, hparams) -> Trials
    advance: Callable  # (state, sums, hparams, num_updates) -> (state, sums); `state` is given up
    begin_evaluation: Callable | None = None  # (key_eval, point) -> Evaluation
    advance_evaluation: Callable | None = (
        None  # (state, evaluation, num_steps) -> (Evaluation, params are finite [width])
    )
    judge: Callable | None = (
        None  # (state, key_eval, point) -> ({metric: values [width, n]}, params are finite [width])
    )
    told: Callable | None = (
        None  # by the host, of what `judge` found of one trial: {metric: values [n]}; None: the same
    )


def trial_arrays(seeds: Sequence[int], hparams: Sequence[Any]) -> tuple[np.ndarray, Any]:
    """Returns (seeds, hyperparameters) of every trial, arrays [trials]: the first hyperparameters under every seed, the
    second under every seed, and so on."""
    every = jax.tree.map(lambda *values: np.repeat(np.asarray(values, np.float32), len(seeds)), *hparams)
    return np.tile(np.asarray(seeds, np.uint32), len(hparams)), every


def in_blocks(trials: Any, width: int) -> list[Any]:
    """Returns arrays [trials] as blocks of [width]; the last is filled up with its last trial, to be thrown away."""

    def cut(values):
        return np.pad(values, (0, -len(values) % width), mode="edge").reshape(-1, width)

    cut_up = jax.tree.map(cut, trials)
    return [jax.tree.map(itemgetter(index), cut_up) for index in range(len(jax.tree.leaves(cut_up)[0]))]


def side_by_side(function: Callable, programs: Sequence[Programs], blocks: Iterable[Any]) -> list[Any]:
    """Returns function(programs, block) of every block, as many at a time as there are lanes, a lane's blocks one after
    another."""
    blocks = list(blocks)

    def in_turn(lane: int) -> list[Any]:
        return [jax.block_until_ready(function(programs[lane], block)) for block in blocks[lane :: len(programs)]]

    with ThreadPoolExecutor(len(programs)) as pool:
        found = list(pool.map(in_turn, range(len(programs))))
    return [found[place % len(programs)][place // len(programs)] for place in range(len(blocks))]


def compile_programs(
    env: Env,
    algorithm: Algorithm,
    hparams,
    lanes: Sequence[jax.Device],
    width: int,
    judged_by: Judge | int,
    is_light: bool = False,
) -> list[Programs]:
    """Returns the programs of each lane, compiled side by side. judged_by: a judge, or the number of episodes of an
    evaluation. is_light: the environment's resets take no time to speak of, so that none is spent on making them fast."""
    algorithm = algorithm._replace(
        step=jax.jit(algorithm.step, inline=True)
    )  # traced once, for its metrics and to train

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

    begin = in_turn(begin, width) if devices.on_cpu() else over_block(begin, width)
    train = over_block(train, width, shared=3)
    number, seed = np.int32(0), np.zeros(width, np.uint32)
    given = seed, over_trials(hparams, seed)
    block = jax.eval_shape(begin, *given)
    trained = block.state, block.sums, block.hparams, number
    functions = {"begin": (begin, given), "advance": (train, trained)}
    if isinstance(judged_by, int):
        begin_test, test = over_block(begin_test, width, shared=1), over_block(test, width, shared=2)
        tested = block.state, jax.eval_shape(begin_test, block.key_eval, number), number
        functions["begin_evaluation"] = begin_test, (block.key_eval, number)
        functions["advance_evaluation"] = test, tested
    else:
        functions["judge"] = over_block(judged, width, shared=2), (block.state, block.key_eval, number)
    short = {"begin_evaluation"} if algorithm.steps_in_init > FEW_STEPS else {"begin", "begin_evaluation"}
    once = short if is_light else set()
    programs = compile_given(lanes, functions, once) if env.text else compile_on(lanes, jitted(functions), once)
    on_host = None if isinstance(judged_by, int) or judged_by.on_host is None else judged_by.told
    return [of_lane._replace(told=on_host) for of_lane in programs]


def all_finite(params) -> jax.Array:
    """Returns whether every parameter is finite, a scalar."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(params)]))


def compile_given(
    lanes: Sequence[jax.Device], functions: dict[str, tuple[Callable, Any]], once: Collection[str]
) -> list[Programs]:
    """Returns the programs of every lane, to which what the functions close over is an argument: the parameters of a
    reference policy, of a reward model, and the data of a run. So they are the same programs for every reference, and the
    compilation cache has them."""
    with devices.exact_products():
        parted = {name: with_constants_apart(*of_one) for name, of_one in functions.items()}
    apart = {name: (called, (constants, *functions[name][1])) for name, (called, constants) in parted.items()}
    programs = compile_on(lanes, jitted(apart, state=1), once)

    def bound(device: jax.Device, of_lane: Programs) -> Programs:
        own = {name: jax.device_put(constants, device) for name, (_, constants) in parted.items()}
        return Programs(**{name: partial(getattr(of_lane, name), constants) for name, constants in own.items()})

    return [bound(device, of_lane) for device, of_lane in zip(lanes, programs)]


def with_constants_apart(function: Callable, shapes: Any) -> tuple[Callable, list[Any]]:
    """Returns (function of (constants, *arguments), constants): the arrays that `function` closes over."""
    closed, result = jax.make_jaxpr(function, return_shape=True)(*shapes)

    def called(constants, *arguments):
        leaves = jaxpr_as_fun(ClosedJaxpr(closed.jaxpr, constants))(*jax.tree.leaves(arguments))
        return jax.tree.unflatten(jax.tree.structure(result), leaves)

    return called, [jnp.asarray(x) for x in closed.consts]


def jitted(functions: dict[str, tuple[Callable, Any]], state: int = 0) -> dict[str, tuple[Any, Any]]:
    """Returns the functions jitted, with the shapes of their arguments. state: the place of the one that `advance` gives up."""
    given_up = {"advance": state}
    return {
        name: (jax.jit(function, donate_argnums=given_up.get(name, ())), shapes)
        for name, (function, shapes) in functions.items()
    }


def compile_on(
    lanes: Sequence[jax.Device], functions: dict[str, tuple[Any, Any]], once: Collection[str] = ()
) -> list[Programs]:
    """Returns the programs of every lane, each compiled for the shapes of its arguments: what the first lane compiles, the
    others, lowered meanwhile, find in the compilation cache. once: the names of those that are compiled to run once."""
    options = [(flags.options_of_once if name in once else flags.options)(devices.platform()) for name in functions]

    def lowered(device: jax.Device) -> list[Any]:
        with devices.exact_products():
            return [function.lower(*_placed(shapes, device)) for function, shapes in functions.values()]

    def compiled(program: Any, options: dict) -> Callable:
        return program.compile(compiler_options=options)

    with ThreadPoolExecutor() as pool:  # XLA compiles outside Python's lock
        first = pool.map(compiled, lowered(lanes[0]), options)
        others = [lowered(device) for device in lanes[1:]]
        found = [list(first), *(list(pool.map(compiled, of_lane, options)) for of_lane in others)]
    return [Programs(**dict(zip(functions, of_lane))) for of_lane in found]


def over_trials(hparams, seed):
    """Returns the hyperparameters as float32 arrays of the shape of `seed`, one value a trial."""
    return jax.tree.map(lambda value: np.full(seed.shape, value, np.float32), hparams)


def over_block(function: Callable, width: int, shared: int | None = None) -> Callable:
    """Returns `function` of one trial as a function of a block, [width, ...]; the argument of that number is shared."""

    def of_block(*args):
        axes = tuple(None if number == shared else 0 for number in range(len(args)))
        if width > 1:
            return jax.vmap(function, axes)(*args)
        args = [arg if axis is None else jax.tree.map(lambda x: x[0], arg) for axis, arg in zip(axes, args)]
        return jax.tree.map(lambda x: x[None], function(*args))

    return of_block


def in_turn(function: Callable, width: int) -> Callable:
    """Returns `function` of one trial as a function of a block, [width, ...], that takes one trial after another: products
    of one vector, of which first weights are made, have other bits side by side."""
    if width == 1:
        return over_block(function, width)
    return lambda *args: lax.map(lambda trial: function(*trial), args)


def in_seed_order(blocks: Sequence[Any], num_trials: int) -> Any:
    """Returns pytrees of [width, ...] as one pytree of NumPy arrays [num_trials, ...], filling thrown away."""
    return jax.tree.map(lambda *leaves: np.concatenate([np.asarray(leaf) for leaf in leaves])[:num_trials], *blocks)


def _placed(arguments, device: jax.Device):
    """Returns the shapes of the arguments, on the device."""
    place = SingleDeviceSharding(device)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), arguments)
