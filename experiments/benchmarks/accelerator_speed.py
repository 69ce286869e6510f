"""How fast is training on this device? The programs are those of `compare`; steps count for all seeds together.

A block has places for `width` seeds. More seeds are more blocks, one after another on one accelerator; places without a
seed are computed all the same, so that one seed in a block of 32 pays for 32.
"""

import dataclasses
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax

import envs
from algos import ppo
from experiments.benchmarks.our_side import over_at_once
from experiments.benchmarks.scaling import num_steps
from experiments.lab.definition.contenders import contenders
from experiments.lab.machine import devices
from experiments.lab.running.chunks import advanced
from experiments.lab.running.programs import Programs, compile_programs, in_blocks, side_by_side, trial_arrays

STEPS = 10**9  # the budget that schedules are made for: more than is trained here
REPEATS = 3
NOT_DETERMINISTIC = "--xla_gpu_deterministic_ops=false"
XLAS_OWN = "default"  # precision of products: on recent GPUs what is multiplied is rounded to 11 bits


@dataclass(frozen=True)
class Setting:
    """What is compiled once, and the numbers of seeds that it trains."""

    algorithm: str
    environment: str
    width: int
    seeds: tuple[int, ...]
    num_envs: int | None = None  # None: the lab's setting
    num_steps: int | None = None
    flags: str = ""  # beside XLA_FLAGS
    products: str | None = None  # their precision, None: the lab's


def cartpole(num_envs: int, width: int, *seeds: int, **lever) -> Setting:
    """Returns PPO at CleanRL's settings but for the environments, as `scaling` has it."""
    return Setting("ppo", "CartPole-v1", width, seeds, num_envs, num_steps(num_envs), **lever)


BREAKOUT = "Breakout-MinAtar"
# what is worth most comes first: the time may run out
SETTINGS = (
    cartpole(256, 32, 1, 8, 64),
    cartpole(256, 1, 1, 8),
    cartpole(4096, 32, 1, 8, 64),
    cartpole(4096, 1, 1, 8),
    Setting("ppo", BREAKOUT, 32, (1, 64)),
    Setting("dqn", BREAKOUT, 32, (1, 64)),
    Setting("trpo", "CartPole-v1", 32, (1, 64)),
    cartpole(256, 8, 1, 8, 64),
    cartpole(256, 64, 64),
    cartpole(256, 32, 64, flags=NOT_DETERMINISTIC),
    cartpole(256, 32, 64, products=XLAS_OWN),
    Setting("ppo", BREAKOUT, 1, (1,)),
    Setting("dqn", BREAKOUT, 1, (1,)),
    Setting("trpo", "CartPole-v1", 1, (1,)),
    cartpole(4096, 8, 8, 64),
    cartpole(4096, 64, 64),
    Setting("ppo", BREAKOUT, 32, (64,), flags=NOT_DETERMINISTIC),
    Setting("ppo", BREAKOUT, 32, (64,), products=XLAS_OWN),
    Setting("ppo", BREAKOUT, 8, (8, 64), 1024, 8),
    Setting("trpo", "Pendulum-v1", 32, (1, 64)),
)
QUICK_SETTINGS = (Setting("ppo", "CartPole-v1", 2, (1, 2), 4, 8),)


def rows(settings: Sequence[Setting], seconds: float) -> Iterator[Callable[[], dict]]:
    """Yields what makes each row. seconds: of each timing, about."""
    for setting in settings:
        programs: list[Any] = []  # compiled by the setting's first row, and let go after its last
        for seeds in setting.seeds:
            yield partial(measured, setting, seeds, seconds, programs)


def measured(setting: Setting, seeds: int, seconds: float, kept: list[Any]) -> dict:
    """Returns the row of one number of seeds."""
    row = {"what": described(setting), **dataclasses.asdict(setting), "seeds": seeds}
    with levers(setting.flags, setting.products):
        kept += [] if kept else [compiled(setting)]
    ((algorithm, hparams, programs, compile_seconds),) = kept
    config = algorithm_config(setting)
    row |= {"num_envs": num_envs(config), "num_steps": config.num_steps, "compile_seconds": compile_seconds}
    blocks = in_blocks(trial_arrays(range(seeds), [hparams]), setting.width)
    blocks = side_by_side(lambda on, block: on.begin(*block), programs, blocks)

    def timed(updates: int) -> float:
        started = time.perf_counter()
        blocks[:] = side_by_side(partial(advanced, updates), programs, blocks)
        return time.perf_counter() - started

    timed(1)
    updates = max(1, round(seconds / timed(1)))
    if updates > 1:  # one update alone is mostly the cost of the call
        updates = max(1, round(updates * seconds / timed(updates)))
    times = [timed(updates) for _ in range(REPEATS)]
    steps = seeds * algorithm.steps_per_update * updates
    return row | {
        "steps_per_second": steps / statistics.median(times),
        "slowest": steps / max(times),
        "fastest": steps / min(times),
        "steady_seconds": statistics.median(times),
        "updates": updates,
        "blocks": len(blocks),
        "program_bytes": program_bytes(programs[0]),
        "peak_bytes": (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use"),  # of the process so far
    }


def described(setting: Setting) -> str:
    """Returns what is trained, in words."""
    config = algorithm_config(setting)
    words = [f"{setting.algorithm} on {setting.environment}, {num_envs(config)} x {config.num_steps}"]
    words += [setting.flags] if setting.flags else []
    words += [f"products {setting.products}"] if setting.products else []
    return ", ".join(words)


def compiled(setting: Setting) -> tuple[Any, Any, list[Programs], float]:
    """Returns (algorithm, hyperparameters, programs of each lane, seconds that compiling them took)."""
    env = envs.make(setting.environment)
    (contender,) = contenders((setting.algorithm,), setting.environment, STEPS)
    algorithm = dataclasses.replace(contender, config=algorithm_config(setting)).make(env)
    lanes = devices.lanes(-(-max(setting.seeds) // setting.width))
    started = time.perf_counter()
    programs = compile_programs(over_at_once(env), algorithm, contender.hparams, lanes, setting.width, 1)
    return algorithm, contender.hparams, programs, time.perf_counter() - started


def algorithm_config(setting: Setting):
    """Returns the lab's settings for the environment, with what the row changes; PPO on CartPole has CleanRL's."""
    (contender,) = contenders((setting.algorithm,), setting.environment, STEPS)
    cleanrl = setting.algorithm == "ppo" and setting.environment == "CartPole-v1"
    config = ppo.Config() if cleanrl else contender.config
    changed = {name: getattr(setting, name) for name in ("num_envs", "num_steps") if getattr(setting, name)}
    return dataclasses.replace(config, **changed)


def num_envs(config) -> int:
    return getattr(config, "num_envs", 1)  # tabular methods act in one


@contextmanager
def levers(flags: str, products: str | None) -> Iterator[None]:
    """Has programs compiled meanwhile with more of XLA's flags, and products of another precision."""
    flags_before, products_before = os.environ.get("XLA_FLAGS", ""), jax.config.jax_default_matmul_precision
    os.environ["XLA_FLAGS"] = f"{flags_before} {flags}".strip()
    if products:
        jax.config.update("jax_default_matmul_precision", products)
    try:
        yield
    finally:
        os.environ["XLA_FLAGS"] = flags_before
        jax.config.update("jax_default_matmul_precision", products_before)


def program_bytes(programs: Programs) -> int:
    """Returns the memory that the training program of one block takes: arguments, results and what lies between."""
    sizes = programs.advance.memory_analysis()
    kinds = ("argument", "output", "temp")
    return sum(getattr(sizes, f"{kind}_size_in_bytes") for kind in kinds) - sizes.alias_size_in_bytes
