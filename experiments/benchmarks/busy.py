"""What speed is left on a machine with other things to do: `python -m experiments.benchmarks.busy --before CHECKOUT`.

Unit: environment steps per second of wall clock, PPO on CartPole at the settings of `peers`, all seeds together, compiling
left out, and its share of what the same side makes with no other process. Each other process keeps one core busy.

The sides take turns, each in a process that stays alive: this code, other checkouts of it, and rejax with our flags.
"""

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from functools import partial
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from experiments.benchmarks.peers import REJAX, STEPS_MULTIPLE, take_turns
from experiments.benchmarks.sides import Side, command, environment, one_round, start
from experiments.lab.commands import signals
from experiments.lab.machine import hardware

ROOT = Path(__file__).parents[2]
WORKLOAD = "ppo"


def main(
    before: tuple[Path, ...] = (),
    busy: tuple[int, ...] = (0, 1, 2),
    seeds: int = 10,
    steps: int = 409_600,
    rounds: int = 3,
    peers_folder: Path | None = None,
) -> None:
    """Prints environment steps per second beside so many busy processes, and the share of the quiet speed that is kept.

    Args:
        before: checkouts of this code as it was before.
        busy: how many other processes keep a core busy, a column each; the first is what the others are a share of.
        seeds: how many seeds train together.
        steps: environment steps of each seed; cut to a multiple of 10,240.
        rounds: how often each side is timed, in turn, after one round to warm up.
        peers_folder: has the virtual environments of `peers`; with it rejax takes part.
    """
    steps -= steps % STEPS_MULTIPLE
    if steps <= 0 or rounds <= 0 or seeds <= 0 or not busy or min(busy) < 0:
        raise SystemExit(f"give at least one seed, one round, one number of processes and {STEPS_MULTIPLE} steps")
    found = {}
    with ExitStack() as stack:
        sides = {str(place): ours(stack, place.resolve(), seeds) for place in before}
        sides["this code"] = ours(stack, ROOT, seeds)
        if peers_folder is not None:
            peer = Side("rejax, our flags, sharded", workloads=(WORKLOAD,), **REJAX, our_flags=True)
            sides[peer.name] = start(stack, command(peer, seeds, peers_folder), environment(peer, seeds))
        trainers = {name: partial(one_round, side, (WORKLOAD, seeds, steps)) for name, side in sides.items()}
        for number in busy:
            with others(number):
                found[number] = take_turns(trainers, rounds)
    Console().print(table(found, seeds * steps))
    print(f"{rounds} rounds in turn, {seeds} seeds, {steps:,} steps a seed; {hardware.processor()}, ", end="")
    print(f"{hardware.cores()} cores, {date.today()}")


def ours(stack: ExitStack, checkout: Path, seeds: int):
    """Returns the started process of this code as a checkout has it: -P, else the folder one stands in came first."""
    variables = environment(Side("", "", ()), seeds) | {"PYTHONPATH": str(checkout)}
    return start(stack, (sys.executable, "-P", "-m", "experiments.benchmarks.our_side", str(seeds)), variables)


@contextmanager
def others(number: int) -> Iterator[None]:
    """Has so many processes keep a core busy each, for a while."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"], env=os.environ) for _ in range(number)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def table(found: dict[int, dict[str, list[float]]], steps: int) -> Table:
    """Returns medians of environment steps per second, and what share of the first column's each is."""
    shown = Table(title=f"{WORKLOAD}, beside processes that keep a core busy each", title_justify="left")
    shown.add_column("side")
    for number in found:
        shown.add_column(f"{number} busy", justify="right")
    first = next(iter(found))
    for name in found[first]:
        speeds = [steps / statistics.median(seconds[name]) for seconds in found.values()]
        shown.add_row(name, f"{speeds[0]:,.0f}", *(f"{speed:,.0f} ({speed / speeds[0]:.0%})" for speed in speeds[1:]))
    return shown


if __name__ == "__main__":
    signals.handle(signals.at_once("interrupted"))
    tyro.cli(main)
