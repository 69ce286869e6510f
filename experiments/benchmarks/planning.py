"""Planning speed beside QuantEcon and a fused numba loop: `python -m experiments.benchmarks.planning`.

Random sparse models (Garnet, 4 actions, 5 successors), float64, gamma 0.99. The figures are one sweep over all states, and
the seconds from the model to values within 1e-6 of the best, with the processor's seconds of either and the true error. Every side
computes in a process of its own, on one core or on both; compiling, and one solution to warm up, are left out. QuantEcon's
time begins when its own model is built, ours when we are given the arrays.
"""

import json
import os
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

import numpy as np
import platformdirs
import tyro
from rich.console import Console
from rich.table import Table

from envs.mdp import problems
from experiments.benchmarks.sides import HERE, install
from experiments.lab.commands import signals
from experiments.lab.machine import hardware

REQUIREMENTS = ("quantecon==0.11.4", "numba")  # the last QuantEcon for Python 3.11
GAMMA, TOLERANCE = 0.99, 1e-6


def main(
    states: tuple[int, ...] = (10_000, 100_000, 1_000_000), rounds: int = 5, peers_folder: Path | None = None
) -> None:
    """Prints seconds of a sweep and of a solution, ours and the peers'.

    Args:
        states: sizes of the models, a table each.
        rounds: how often each figure is measured in its process; the least counts.
        peers_folder: has the peers' virtual environment; pip makes and fills what is missing. Default: in the cache.
    """
    if not states or min(states) < 10 or rounds < 1:
        raise SystemExit("give models of 10 states or more and at least one round")
    folder = (peers_folder or Path(platformdirs.user_cache_dir("evenhand")) / "peers") / "quantecon"
    peer = (str(install(folder, REQUIREMENTS)), "-I", str(HERE / "planning_peers.py"))
    ours = (sys.executable, "-m", "experiments.benchmarks.planning_side")
    for size in states:
        with tempfile.TemporaryDirectory() as scratch:
            files = str(Path(scratch) / "model.npz"), str(Path(scratch) / "best.npy")
            write(size, *files)
            sides = {
                "ours, 1 core": (ours, 1),
                "peers, 1 core": (peer, 1),
                "ours, all cores": (ours, hardware.cores()),
            }
            rows = [
                (f"{name}: {row.pop('what')}", row)
                for name, (command, cores) in sides.items()
                for row in measured((*command, *files, str(rounds)), cores)
            ]
        Console(width=110).print(table(f"{size:,} states x 4 actions x 5 successors", rows))
    print(f"seconds, the least of {rounds} rounds; gamma {GAMMA}, to {TOLERANCE} of the best values, float64")
    print(f"{hardware.processor()}, {hardware.cores()} cores, {date.today()}; {', '.join(REQUIREMENTS)}")


def write(size: int, model: str, best: str) -> None:
    """Writes the arrays of a model, and its best values to 1e-10."""
    from algos.tabular.planning import modified_policy_iteration

    mdp = problems.garnet(size, 4, 5)
    np.savez(model, successor=mdp.successor, probability=mdp.probability, reward=mdp.reward[..., 0])
    np.save(best, modified_policy_iteration.solve(mdp, GAMMA, 1e-10).value)


def measured(command: tuple[str, ...], cores: int) -> list[dict]:
    """Returns the rows that a side prints, from a process that may use so many cores."""
    allowed = ",".join(map(str, sorted(os.sched_getaffinity(0))[:cores]))
    flags = f"--xla_cpu_multi_thread_eigen=false --xla_force_host_platform_device_count={cores}"
    environment = {**os.environ, "XLA_FLAGS": flags, "NPROC": "1"}
    asked = subprocess.run(
        ("taskset", "-c", allowed, *command), env=environment, stdout=subprocess.PIPE, encoding="utf-8", check=True
    )
    return json.loads(asked.stdout.splitlines()[-1])


def table(title: str, rows: list[tuple[str, dict]]) -> Table:
    """Returns seconds, iterations and true errors, a row a method."""
    shown = Table(title=title, title_justify="left")
    shown.add_column("side: method", no_wrap=True)
    for column in ("sweep, ms", "to 1e-6, s", "CPU, s", "iterations", "error"):
        shown.add_column(column, justify="right")
    for name, row in rows:
        shown.add_row(
            name,
            *(f"{row[key] * unit:.{digits}f}" if key in row else "" for key, unit, digits in FIGURES),
            str(row.get("iterations", "")),
            f"{row['error']:.1e}" if "error" in row else "",
        )
    return shown


FIGURES = (("sweep", 1e3, 2), ("solution", 1.0, 3), ("cpu", 1.0, 4))

if __name__ == "__main__":
    signals.handle(signals.at_once("interrupted"))
    tyro.cli(main)
