"""PureJaxRL's PPO on the same device, in a process of its own: it needs gymnax before 1.0, and its own share of memory."""

import os
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from experiments.benchmarks.accelerator_bits import SHARE
from experiments.benchmarks.scaling import num_steps
from experiments.benchmarks.sides import HERE, one_round, start
from experiments.lab.machine import flags

ROUNDS = 3
TRAININGS = ((256, 1), (256, 64), (4096, 1), (4096, 64))  # environments, seeds
QUICK_TRAININGS = ((4, 1),)
UPDATES = 50


def rows(checkout: Path, packages: Path | None, quick: bool) -> Iterator[Callable[[], dict]]:
    """Yields what makes each row. packages: a folder that is put before every other package of this environment."""
    for num_envs, seeds in QUICK_TRAININGS if quick else TRAININGS:
        yield partial(measured, checkout, packages, num_envs, seeds, 2 if quick else UPDATES)


def measured(checkout: Path, packages: Path | None, num_envs: int, seeds: int, updates: int) -> dict:
    """Returns the row of PPO at the settings of our rows, seeds vmapped. Raises RuntimeError where its process ends."""
    environment = {name: value for name, value in os.environ.items() if name not in flags.FROM_US}
    environment["XLA_PYTHON_CLIENT_MEM_FRACTION"] = SHARE
    if packages:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(packages), environment.get("PYTHONPATH")]))
    command = (sys.executable, str(HERE / "serve.py"), str(HERE / "purejaxrl_side.py"), str(checkout.resolve()))
    steps = num_envs * num_steps(num_envs) * updates
    with ExitStack() as stack:
        side = start(stack, command, environment)
        job = (f"ppo-{num_envs}-{num_steps(num_envs)}", seeds, steps)
        one_round(side, job)
        times = [one_round(side, job) for _ in range(ROUNDS)]
    speeds = [seeds * steps / seconds for seconds in times]
    return {
        "what": f"PureJaxRL's PPO on CartPole-v1, {num_envs} x {num_steps(num_envs)}",
        "seeds": seeds,
        "width": seeds,
        "steps_per_second": statistics.median(speeds),
        "slowest": min(speeds),
        "fastest": max(speeds),
        "steady_seconds": statistics.median(times),
        "updates": updates,
        **side.facts,
    }
