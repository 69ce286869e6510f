"""Is an accelerator right, does it keep a seed's bits, and how fast is it? `python -m experiments.benchmarks.accelerator`

Three tables, of the programs that every experiment runs: exact checks against NumPy, scipy and the CPU; the bits of a seed
run twice, alone, elsewhere in its block and cut elsewhere; environment steps per second for several numbers of seeds and
block widths. What is worth most comes first, and each row is written when it is there.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from experiments.lab.commands.cli import BadInput, count, each_once, run_command
from experiments.lab.machine import devices, flags, folders, hardware

SECTIONS = ("checks", "bits", "speed")
SHARES = {
    "checks": 0.25,
    "bits": 0.55,
    "speed": 1.0,
}  # of the budget, after which a section's next rows wait till the end
ALGORITHMS = ("ppo", "trpo", "dqn", "a2c", "npg", "pgql", "reinforce")
FIRST = 7  # settings are timed before PureJaxRL
QUICK_WIDTH = 3
QUICK_SIZES = {"num_envs": 2, "num_steps": 8, "hidden_sizes": (8,), "buffer_size": 200, "warmup_steps": 40} | {
    "num_epochs": 1, "num_minibatches": 2, "value_epochs": 1, "value_minibatches": 2,
}  # fmt: skip


@dataclass(frozen=True)
class Args:
    """Check an accelerator's results and bits, and measure its speed, by the programs that every experiment runs."""

    sections: tuple[str, ...] = SECTIONS
    """Which of: checks, bits, speed."""
    algos: tuple[str, ...] = ALGORITHMS
    """Whose bits are compared."""
    budget: count("--budget") = 360
    """Seconds after which no further row is begun."""
    out: Path | None = None
    """A JSON file of the rows, written anew after each."""
    quick: bool = False
    """Small sizes and one speed: a trial of the command. A CPU takes them anyway."""
    purejaxrl: Path | None = None
    """A checkout of PureJaxRL, whose PPO is timed too, in a process of its own."""
    purejaxrl_packages: Path | None = None
    """A folder of packages that are put before all others for PureJaxRL: gymnax before 1.0, which it needs."""


@dataclass
class Report:
    """The rows so far, and what they belong to."""

    facts: dict[str, Any]
    rows: list[dict[str, Any]]


def main(args: Args) -> int:
    """Prints and writes the tables and returns the exit status: 1 where a row is wrong or could not be made."""
    each_once("each section and each algorithm", args.sections, args.algos)
    for chosen, known in ((args.sections, SECTIONS), (args.algos, ALGORITHMS)):
        if unknown := [name for name in chosen if name not in known]:
            raise BadInput(f"unknown: {unknown[0]}; choose from: {', '.join(known)}")
    if args.purejaxrl and not (args.purejaxrl / "purejaxrl" / "ppo.py").exists():
        raise BadInput(f"--purejaxrl {args.purejaxrl} is no checkout of PureJaxRL: it has no purejaxrl/ppo.py")
    started = time.perf_counter()
    if not args.quick:  # compiling is measured: from nothing
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folders.temporary() / "programs")
    devices.start()
    quick = args.quick or devices.on_cpu()
    report = Report(facts(), [])
    print(*(f"{name}: {value}" for name, value in report.facts.items()), sep="\n", flush=True)
    due = [(section, make_row) for section in args.sections for make_row in makers(section, args, quick)]
    for share in (SHARES, dict.fromkeys(SECTIONS, 1.0)):
        left = []
        for section, make_row in due:
            if time.perf_counter() - started > share[section] * args.budget:
                left.append((section, make_row))
            else:
                add(report, section, make_row, args.out)
        due = left
    for section in args.sections:
        show(section, [row for row in report.rows if row["section"] == section])
    print(*best_widths(report.rows), sep="\n")
    if due:
        print(f"rows left out after {args.budget} seconds, --budget: {len(due)}")
    return int(not report.rows or any("failed" in row or row.get("right") is False for row in report.rows))


def makers(section: str, args: Args, quick: bool) -> Iterator[partial]:
    """Yields what makes each row of a section."""
    from experiments.benchmarks import accelerator_bits, accelerator_checks, accelerator_peer, accelerator_speed
    from experiments.lab.definition.experiment import VMAPPED

    if section == "checks":
        yield from accelerator_checks.rows()
    elif section == "bits":
        width, sizes = (QUICK_WIDTH, QUICK_SIZES) if quick else (VMAPPED["accelerator"], {})
        yield from accelerator_bits.rows(args.algos, width, sizes, in_processes=1 if quick else 2)
    else:
        settings = accelerator_speed.QUICK_SETTINGS if quick else accelerator_speed.SETTINGS
        seconds = 0.05 if quick else 0.7
        yield from accelerator_speed.rows(settings[:FIRST], seconds)
        if args.purejaxrl:
            yield from accelerator_peer.rows(args.purejaxrl, args.purejaxrl_packages, quick)
        yield from accelerator_speed.rows(settings[FIRST:], seconds)


def add(report: Report, section: str, make_row: partial, out: Path | None) -> None:
    """Adds a row to the report, prints how long it took and writes the file. What cannot be made is a row that says why."""
    from experiments.lab.recording.files import write_json

    began = time.perf_counter()
    try:
        row = make_row()
    except (
        Exception
    ) as error:  # out of memory, or an operation that the device lacks: the other rows are still worth having
        why = (str(error) or type(error).__name__).strip().splitlines()[0]
        row = {"what": " ".join(map(str, make_row.args[:2])), "failed": f"{type(error).__name__}: {why}"[:300]}
    row = {"section": section, **row, "row_seconds": time.perf_counter() - began}
    report.rows.append(row)
    shown = (
        f"{name} {value}" for name, cell in COLUMNS[section].items() if "failed" not in row and (value := cell(row))
    )
    print(f"{row['row_seconds']:6.1f} s  {section}:", row.get("failed") or ", ".join(shown), flush=True)
    if out:
        write_json(out, {**report.facts, "rows": report.rows})


def facts() -> dict[str, Any]:
    """Returns what the rows belong to."""
    import jax

    from experiments.lab.recording import commits, manifest

    first = jax.devices()[0]
    return {
        "device": f"{jax.device_count()} x {first.device_kind} ({first.platform})",
        "processor": f"{hardware.processor()}, {hardware.cores()} cores",
        "memory": (first.memory_stats() or {}).get("bytes_limit"),
        "versions": {"python": sys.version.split()[0], **manifest.versions()},
        "flags": flags.in_force(devices.platform()),
        "git": commits.of_this_code(),
        "command": manifest.command_line(),
        "date": str(date.today()),
    }


def show(section: str, rows: list[dict[str, Any]]) -> None:
    """Prints the rows of a section as a table."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=section, title_justify="left", title_style="bold")
    for heading in COLUMNS[section]:
        table.add_column(heading, justify="left" if heading == "what" else "right", overflow="fold")
    for row in rows:
        cells = (
            [str(row["what"]), row["failed"]] if "failed" in row else [cell(row) for cell in COLUMNS[section].values()]
        )
        table.add_row(*cells)
    console = Console()
    console.width = max(console.width, 150)  # a file is no terminal of 80 columns
    console.print(table, highlight=False)


def best_widths(rows: list[dict[str, Any]]) -> list[str]:
    """Returns a line for each training that was timed at several widths: the fastest, and how many times as fast it is."""
    speeds: dict[tuple[str, int], dict[int, float]] = {}
    for row in rows:
        if "width" in row and "steps_per_second" in row:
            speeds.setdefault((row["what"], row["seeds"]), {})[row["width"]] = row["steps_per_second"]
    lines = []
    for (what, seeds), of_width in speeds.items():
        best = max(of_width, key=of_width.get)
        others = [f"{of_width[best] / speed:.2f} of {width}" for width, speed in of_width.items() if width != best]
        lines += [f"{what}, seeds {seeds}: width {best} is fastest, times {', '.join(others)}"] if others else []
    return lines


def yes(row: dict, name: str) -> str:
    return {True: "yes", False: "NO"}.get(row.get(name), "")


def number(row: dict, name: str, form: str, unit: float = 1.0) -> str:
    return "" if row.get(name) is None else format(row[name] / unit, form)


COLUMNS: dict[str, dict[str, Callable[[dict], str]]] = {
    "checks": {
        "what": lambda row: row["what"],
        "error": lambda row: number(row, "error", ".1e"),
        "allowed": lambda row: number(row, "tolerance", ".1e"),
        "right": lambda row: yes(row, "right"),
        "by XLA's own products": lambda row: number(row, "error of XLA's own products", ".1e"),
    },
    "bits": {
        "what": lambda row: row["what"],
        **{
            name: lambda row, name=name: yes(row, name)
            for name in ("twice", "alone", "elsewhere", "cut", "seeds differ")
        },
    },
    "speed": {
        "what": lambda row: row["what"],
        "seeds": lambda row: str(row["seeds"]),
        "width": lambda row: str(row.get("width", "")),
        "steps/s": lambda row: number(row, "steps_per_second", ",.0f"),
        "slowest": lambda row: number(row, "slowest", ",.0f"),
        "fastest": lambda row: number(row, "fastest", ",.0f"),
        "compile, s": lambda row: number(row, "compile_seconds", ".1f"),
        "steady, s": lambda row: number(row, "steady_seconds", ".2f"),
        "block, MB": lambda row: number(row, "program_bytes", ",.1f", 1e6),
        "peak so far, MB": lambda row: number(row, "peak_bytes", ",.0f", 1e6),
    },
}

if __name__ == "__main__":
    run_command(Args, main, "python -m experiments.benchmarks.accelerator")
