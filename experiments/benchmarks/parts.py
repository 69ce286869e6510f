"""Where the time of one update goes, by the functions of `algos` and `envs`: `python -m experiments.benchmarks.parts`.

What is timed is the update itself, as it is compiled. XLA's profiler gives the time of every kernel, and the program says
from which line each kernel comes: a kernel's time is that of the innermost function of ours on the way to that line, and of
the first of them where XLA made one kernel of several.
"""

import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.lab.commands.cli import BadInput, count, run_command
from experiments.lab.machine import devices

if __name__ == "__main__":
    devices.start()  # before jax starts, and never for those who only import this file

import jax
import jax.numpy as jnp
from jax.profiler import ProfileData
from rich import box
from rich.console import Console
from rich.table import Table

import envs
from envs.names import unknown
from experiments.benchmarks.updates import BUDGET, HERE, compiled
from experiments.lab.definition.settings import ALGORITHMS, contender
from experiments.lab.machine import hardware

TABLE_WIDTH = 110


@dataclass(frozen=True)
class Args:
    """Print where the time of one update goes, with the settings for the environment."""

    algos: tuple[str, ...] = ("reinforce", "a2c", "ppo", "trpo", "dqn")
    """Algorithms."""
    env: str = "CartPole-v1"
    """Environment id."""
    updates: count("--updates") = 5
    """Updates that the profiler watches."""
    rows: count("--rows") = 15
    """Functions that are listed; the rest is one row."""


def main(args: Args) -> int:
    """Prints a table for each algorithm and returns the exit status."""
    jax.config.update("jax_enable_compilation_cache", False)  # what is in it may have another checkout's lines
    missing = [name for name in args.algos if name not in ALGORITHMS]
    if missing or not args.algos:
        raise BadInput(unknown("algorithm", "".join(missing[:1]), list(ALGORITHMS)))
    try:
        env = envs.make(args.env)
        algorithms = {name: contender(name, args.env, BUDGET).make(env) for name in args.algos}
    except ValueError as error:
        raise BadInput(error) from None
    console = Console()
    console.width = max(console.width, TABLE_WIDTH)  # a file is no terminal of 80 columns
    console.print(f"{hardware.processor()}, jax {jax.__version__}, one core", highlight=False, soft_wrap=True)
    for name, algorithm in algorithms.items():
        hparams = jax.tree.map(jnp.float32, contender(name, args.env, BUDGET).hparams)
        update = compiled(algorithm, hparams, 1, {})
        whole, kernels = profiled(update.run, args.updates)
        places = by_function(kernels, sources(update.program.as_text()))
        console.print(table(f"{name} on {env.name}", places, whole, args.rows, algorithm.steps_per_update))
        console.print(f"compiled in {update.compile_seconds:.1f} s\n", highlight=False)
    return 0


def profiled(run: Callable[[int], Any], updates: int) -> tuple[float, Counter]:
    """Returns (microseconds of one update unwatched, of each kernel by its name while the profiler watches)."""
    began = time.process_time()
    run(updates)
    whole = (time.process_time() - began) / updates * 1e6
    kernels: Counter = Counter()
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            run(updates)
        for file in Path(folder).rglob("*.xplane.pb"):
            for plane in ProfileData.from_file(str(file)).planes:
                for event in (event for line in plane.lines for event in line.events):
                    kernels[event.name] += event.duration_ns / 1e3 / updates
    return whole, kernels


def sources(hlo: str) -> dict[str, str]:
    """Returns, for each instruction of a program's text, the innermost function of `algos` or `envs` that it comes from."""
    tables = {
        name: dict(re.findall(r"^(\d+) (.*)$", body, re.MULTILINE))
        for name, body in re.findall(
            r"^(FileNames|FunctionNames|FileLocations|StackFrames)\n(.*?)\n\n", hlo, re.M | re.S
        )
    }
    numbers = {
        name: {at: dict(re.findall(r"(\w+)=(\d+)", text)) for at, text in tables.get(name, {}).items()}
        for name in ("FileLocations", "StackFrames")
    }

    def function(frame: str | None) -> str:
        seen = set()
        while frame in numbers["StackFrames"] and frame not in seen:
            seen.add(frame)
            place = numbers["FileLocations"][numbers["StackFrames"][frame]["file_location_id"]]
            path = Path(tables["FileNames"][place["file_name_id"]].strip('"'))
            if path.is_relative_to(HERE / "algos") or path.is_relative_to(HERE / "envs"):
                return f"{path.relative_to(HERE)} {tables['FunctionNames'][place['function_name_id']].strip(chr(34))}"
            above = int(numbers["StackFrames"][frame]["parent_frame_id"])
            frame = str(above - 1)  # one more than its number is written
        return "elsewhere"

    named = re.findall(r"^\s*(?:ROOT )?%?([\w.\-]+) = (.*)$", hlo, re.MULTILINE)
    found = {}
    for name, text in named:
        opcode = re.search(r"[\])}] ([a-z\-]+)\(", text)
        if opcode and opcode[1] in ("while", "call", "conditional"):
            continue  # its kernels have times of their own
        frame = re.search(r"stack_frame_id=(\d+)", text)
        found[name] = function(frame and frame[1])
    return found


def by_function(kernels: Counter, places: dict[str, str]) -> Counter:
    """Returns the microseconds of each function; what is no kernel of the program is left out."""
    found: Counter = Counter()
    for name, microseconds in kernels.items():
        if name in places:
            found[places[name]] += microseconds
    return found


def table(title: str, places: Counter, whole: float, rows: int, steps: int) -> Table:
    """Returns the functions' shares of the time in kernels, the largest first, and the whole update."""
    shown = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    shown.add_column("function")
    for heading in ("µs an update", "share", "µs a step"):
        shown.add_column(heading, justify="right")
    total = places.total() or 1.0
    listed = places.most_common(rows)
    listed.append((f"{max(len(places) - rows, 0)} others", total - sum(x for _, x in listed)))
    for name, x in listed:
        shown.add_row(name, f"{x:,.1f}", f"{x / total:.1%}", f"{x / steps:.3f}")
    shown.add_row("all kernels, watched", f"{total:,.1f}", "100.0%", f"{total / steps:.3f}", style="bold")
    shown.add_row("whole update, unwatched, CPU time", f"{whole:,.1f}", "", f"{whole / steps:.3f}", style="bold")
    return shown


if __name__ == "__main__":
    run_command(Args, main, "python -m experiments.benchmarks.parts")
