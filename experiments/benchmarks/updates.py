"""What an update costs beside another checkout's, or beside its own with other options or another block width.

    python -m experiments.benchmarks.updates --algos ppo dqn --envs Breakout-MinAtar --against ../before
    python -m experiments.benchmarks.updates --algos ppo --envs CartPole-v1 --width 5
    python -m experiments.benchmarks.updates --algos ppo --envs CartPole-v1 --options xla_cpu_prefer_vector_width=256

Both are compiled in one process and take turns, in processor seconds of one core, so that whatever else the machine does
meets both. The arithmetic is that of an update's matrix products at the speed of one large product, timed among them.
"""

import importlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from experiments.lab.commands.cli import BadInput, count, run_command
from experiments.lab.machine import devices

if __name__ == "__main__":
    devices.start()  # before jax starts, and never for those who only import this file

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from rich.console import Console

from envs.names import unknown
from experiments.lab.definition.settings import ALGORITHMS, contender
from experiments.lab.machine import flags, hardware

HERE = Path(__file__).parents[2]
BUDGET = 1_000_000  # environment steps that schedules end with; no schedule costs time
LARGE = 1024  # rows, columns and depth of the product that gives the speed of arithmetic


@dataclass(frozen=True)
class Args:
    """Print what one update costs, with the settings for the environment, beside another."""

    algos: tuple[str, ...] = ("ppo", "dqn")
    """Algorithms."""
    envs: tuple[str, ...] = ("Breakout-MinAtar",)
    """Environment ids."""
    against: Path = HERE
    """Checkout that the other update is of."""
    width: count("--width") = 1
    """Trials in a block of the other update."""
    options: tuple[str, ...] = ()
    """XLA's options of the other program, name=value."""
    rounds: count("--rounds") = 9
    """Turns of each."""
    seconds: float = 1.0
    """Length of a turn."""


class Update(NamedTuple):
    """A compiled loop of updates."""

    run: Callable[[int], Any]
    steps: int  # of the environment, in one update of all trials
    flops: float  # of its matrix products
    program: Any  # as it is compiled
    compile_seconds: float


def main(args: Args) -> int:
    """Prints a line for each algorithm and environment and returns the exit status."""
    if missing := [name for name in args.algos if name not in ALGORITHMS]:
        raise BadInput(unknown("algorithm", missing[0], list(ALGORITHMS)))
    if not (args.against / "algos").is_dir():
        raise BadInput(f"{args.against} is no checkout: it has no folder algos")
    if malformed := [word for word in args.options if "=" not in word]:
        raise BadInput(f"options are name=value, not {malformed[0]!r}")
    truths = {"true": True, "false": False}
    given = (word.split("=", 1) for word in args.options)
    others = {option: truths.get(value.lower(), value) for option, value in given}
    console = Console(width=200)
    console.print(f"{hardware.processor()}, jax {jax.__version__}, one core", highlight=False)
    for name in args.algos:
        for env in args.envs:
            try:
                ours = update(HERE, name, env, 1, {})
                other = update(args.against.resolve(), name, env, args.width, others)
            except (ValueError, jax.errors.JaxRuntimeError) as error:  # the latter for an option that XLA does not know
                raise BadInput(str(error).partition("\n")[0]) from None
            console.print(line(f"{name} on {env}", ours, other, args.rounds, args.seconds), highlight=False)
    return 0


def update(checkout: Path, name: str, environment: str, width: int, options: dict[str, str | bool]) -> Update:
    """Returns the update of a checkout's algorithm, with the settings that it has here, for so many trials."""
    ours = contender(name, environment, BUDGET)
    with loaded(checkout, ours.algorithm.__name__) as (module, envs):
        config = module.Config(**known(module.Config, ours.config))
        hparams = jax.tree.map(jnp.float32, module.HParams(**known(module.HParams, ours.hparams)))
        return compiled(module.make(envs.make(environment), config), hparams, width, options)


def compiled(algorithm, hparams, width: int, options: dict[str, str | bool]) -> Update:
    """Returns the algorithm's compiled update, after some."""

    def of_block(function):
        return jax.vmap(function) if width > 1 else lambda x: jax.tree.map(lambda x: x[None], function(_first(x)))

    def train(carry, updates):
        def add(_, carry):
            state, metrics = step(carry[0])
            return state, jax.tree.map(jnp.add, carry[1], metrics)

        return lax.fori_loop(0, updates, add, carry)

    step = of_block(lambda state: algorithm.step(state, hparams))
    state = jax.jit(of_block(lambda key: algorithm.init(key, hparams)))(jax.random.split(jax.random.key(0), width))
    metrics = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(step, state)[1])
    carry = state, metrics  # as in a run: what no metric asks for would be left out
    one = jax.make_jaxpr(step)(state)
    began = time.perf_counter()
    lowered = jax.jit(train, donate_argnums=0).lower(carry, jnp.int32(1))  # or a replay memory would be copied
    program = lowered.compile(compiler_options=flags.options(devices.platform()) | options)
    seconds = time.perf_counter() - began

    def run(updates: int):
        nonlocal carry
        carry = jax.block_until_ready(program(carry, jnp.int32(updates)))

    run(3)
    return Update(run, algorithm.steps_per_update * width, flops(one.jaxpr), program, seconds)


def _first(x):
    return jax.tree.map(lambda x: x[0], x)


@contextmanager
def loaded(checkout: Path, algorithm: str) -> Iterator[tuple[Any, Any]]:
    """Gives (the algorithm's module, envs) of a checkout, whose modules are the ones to be imported meanwhile."""
    if checkout == HERE:
        yield importlib.import_module(algorithm), importlib.import_module("envs")
        return
    mine = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in ("algos", "envs")}
    sys.path.insert(0, str(checkout))
    try:
        yield importlib.import_module(algorithm), importlib.import_module("envs")
    finally:
        sys.path.remove(str(checkout))
        for name in [name for name in sys.modules if name.split(".")[0] in ("algos", "envs")]:
            del sys.modules[name]
        sys.modules.update(mine)


def known(kind: type, values: Any) -> dict[str, Any]:
    """Returns those fields of `values` that the other checkout's class has too."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in vars(values).items() if name in names}


def flops(jaxpr) -> float:
    """Returns the floating-point operations of a program's matrix products, a multiplication and an addition being two."""
    total = 0.0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            depth = np.prod([equation.invars[0].aval.shape[axis] for axis in contracted])
            total += 2.0 * depth * np.prod(equation.outvars[0].aval.shape)
        times = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        total += times * sum(flops(inner) for inner in inside(equation))
    return total


def inside(equation) -> Iterator:
    """Yields the programs that an equation calls; of a loop the test too."""
    for value in equation.params.values():
        for one in value if isinstance(value, (tuple, list)) else (value,):
            if hasattr(one, "jaxpr"):
                yield one.jaxpr
            elif hasattr(one, "eqns"):
                yield one


def line(title: str, ours: Update, other: Update, rounds: int, seconds: float) -> str:
    """Returns what both cost, the ratio pair by pair, and the share of ours that its arithmetic alone would take."""
    matrix = jnp.ones((LARGE, LARGE))
    products = jax.jit(lambda x, n: lax.fori_loop(0, n, lambda _, y: x @ y * 1e-3, x))
    product = products.lower(matrix, jnp.int32(1)).compile(compiler_options=flags.options(devices.platform()))

    def multiply(times: int):
        return jax.block_until_ready(product(matrix, jnp.int32(times)))

    costs: list[list[float]] = [[], [], []]
    runs = ours.run, other.run, multiply
    lengths = [max(1, round(share * seconds / cost(run, 1))) for run, share in zip(runs, (1.0, 1.0, 0.2))]
    for _ in range(rounds):
        for run, length, found in zip(runs, lengths, costs):
            found.append(cost(run, length))
    ours_, other_ = (np.array(found) / update.steps for found, update in zip(costs, (ours, other)))
    ratio = other_ / ours_
    arithmetic = np.median(np.array(costs[2]) / (2.0 * LARGE**3) * ours.flops / np.array(costs[0]))
    return (
        f"{title:28s} {statistics.median(costs[0]) * 1e3:9.3f} ms an update, {1 / np.median(ours_):9,.0f} steps/s; "
        f"other {1 / np.median(other_):9,.0f}; ratio {np.median(ratio):.3f} ({ratio.min():.3f} to {ratio.max():.3f}); "
        f"{ours.flops / ours.steps / 1e6:.2f} MFLOP a step, {arithmetic:.0%} of the time"
    )


def cost(run: Callable[[int], Any], length: int) -> float:
    """Returns the processor seconds of one of `length` updates."""
    began = time.process_time()
    run(length)
    return (time.process_time() - began) / length


if __name__ == "__main__":
    run_command(Args, main, "python -m experiments.benchmarks.updates")
