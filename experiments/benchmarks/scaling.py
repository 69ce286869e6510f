"""How PPO's speed follows from what it is given: `python -m experiments.benchmarks.scaling`.

Total environment steps per second of training, CleanRL's CartPole settings but for what an axis changes, one seed but
where it says more. Every setting has its own process, because a process's cores are fixed when it starts, and is run
as every experiment is, by `experiments.lab.running.runner.train`, until it has trained for some seconds; compiling, evaluation
and the first moments are left out. A setting's figure is the median over the chunks of updates that the runner makes.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from experiments.lab.commands.cli import BadInput, run_command
from experiments.lab.machine import devices, flags, hardware

SECONDS = 3.0  # of training that are measured for each setting
WARM_SECONDS = 0.7  # before them
STEPS = 10**9  # more than any setting takes in that time
BATCH = 8_192  # samples an update may take before rollouts become shorter
MIN_NUM_STEPS, MAX_NUM_STEPS = 8, 128


@dataclass(frozen=True)
class Setting:
    """What one process trains."""

    num_envs: int = 4
    seeds: int = 1
    width: int = 1
    hidden: int = 64  # units in each of two hidden layers
    devices: int = 1


@dataclass(frozen=True)
class Axis:
    """One panel: speeds along lines of settings, line label -> {place on the axis: setting}."""

    title: str
    label: str
    lines: dict[str, dict[int, Setting]]


@dataclass(frozen=True)
class Args:
    """Measure how PPO's training speed follows from environments, seeds, devices, block width and network width.

    Writes a folder with scaling.json, after every setting, and scaling.png. Ctrl-C keeps what is finished.
    """

    axes: tuple[str, ...] = ("envs", "seeds", "devices", "width", "network")
    """Which of: envs, seeds, devices, width, network."""
    out: Path | None = None
    """The folder; must be new or empty. Default: runs/<time>-scaling."""


def main(args: Args) -> int:
    """Measures, writes and draws, and returns the exit status. Raises BadInput."""
    from experiments.lab.commands import signals
    from experiments.lab.recording import records
    from experiments.lab.recording.files import write_json

    axes = all_axes(hardware.cores())
    if not args.axes or len(set(args.axes)) < len(args.axes) or not set(args.axes) <= set(axes):
        raise BadInput(f"name each axis once, from: {', '.join(axes)}; not: {' '.join(args.axes) or 'none'}")
    axes = {name: axes[name] for name in args.axes}
    try:
        folder = records.create(args.out, ["scaling"])
    except ValueError as error:
        raise BadInput(error) from None
    results: dict[Setting, dict[str, Any]] = {}
    interrupted = False
    try:
        with signals.handled(signal.default_int_handler):
            measure_all(settings_of(axes), results, lambda: write_json(folder / "scaling.json", report(results)))
    except KeyboardInterrupt:
        interrupted = True
        print("interrupted: what is finished is kept")
    if results:
        draw(axes, results, folder / "scaling.png")
    print("files:", *sorted(map(str, folder.iterdir())), sep="\n  ")
    return 128 + signal.SIGINT if interrupted else 0


def all_axes(cores: int) -> dict[str, Axis]:
    """Returns the axes on a machine with so many cores. No setting has more devices than cores or blocks of seeds."""

    def fitted(**fields) -> Setting:
        setting = Setting(**fields)
        return replace(setting, devices=min(cores, -(-setting.seeds // setting.width)))

    counts = [n for n in range(1, cores + 1) if cores % n == 0]  # that share out a seed a core evenly
    counts = counts if hasattr(os, "sched_setaffinity") else [cores]
    widths = (1, 2, 5, 10)
    return {
        "envs": Axis("Environments, 1 seed", "environments", {"": {n: fitted(num_envs=n) for n in powers(4, 4096)}}),
        "seeds": Axis("Seeds, all cores", "seeds", {"": {n: fitted(seeds=n) for n in powers(2, 64)}}),
        "devices": Axis(
            f"Devices, {plural(cores, 'seed')}",
            "devices",
            {"": {n: Setting(seeds=cores, devices=n) for n in counts}},
        ),
        "width": Axis(
            "Seeds vmapped into a block",
            "block width",
            {f"{plural(n, 'seed')}": {width: fitted(seeds=n, width=width) for width in widths} for n in (10, 1)},
        ),
        "network": Axis(
            "Network, 1 seed",
            "units in each of two hidden layers",
            {"": {n: fitted(hidden=n) for n in powers(2, 512) if n >= 16}},
        ),
    }


def powers(base: int, last: int) -> list[int]:
    """Returns 1, base, base^2, ... up to `last`."""
    return [base**power for power in range(last.bit_length()) if base**power <= last]


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def settings_of(axes: dict[str, Axis]) -> list[Setting]:
    """Returns the settings of the axes, each once: what two axes share is measured once."""
    every = (setting for axis in axes.values() for line in axis.lines.values() for setting in line.values())
    return list(dict.fromkeys(every))


def num_steps(num_envs: int) -> int:
    """Returns the rollout length: 128 as CleanRL's, less where the batch would grow beyond BATCH, but no less than 8."""
    return max(MIN_NUM_STEPS, min(MAX_NUM_STEPS, BATCH // num_envs))


def measure_all(settings: list[Setting], results: dict[Setting, dict[str, Any]], keep) -> None:
    """Adds each setting's figures to the results and prints a line, one setting at a time; `keep()` after each."""
    from experiments.lab.showing.screen import duration

    started = time.perf_counter()
    for number, setting in enumerate(settings, start=1):
        figures = results[setting] = measure_apart(setting)
        keep()
        left = (time.perf_counter() - started) / number * (len(settings) - number)
        rates = f"{figures['steps_per_second']:>9,.0f} steps/s ({figures['min']:,.0f} to {figures['max']:,.0f})"
        print(f"{number:>2} of {len(settings)}  {described(setting):<75}{rates:<44}{duration(left)} left", flush=True)


def described(setting: Setting) -> str:
    return (
        f"{plural(setting.num_envs, 'environment')} x {num_steps(setting.num_envs)} steps, "
        f"{plural(setting.seeds, 'seed')}, width {setting.width}, {setting.hidden} units, "
        f"{plural(setting.devices, 'device')}"
    )


def measure_apart(setting: Setting) -> dict[str, Any]:
    """Returns the setting's figures, measured in a process of its own. Raises BadInput when that fails."""
    command = f"from experiments.benchmarks import scaling; scaling.answer({json.dumps(asdict(setting))})"
    # the user's own settings would hide an axis
    environment = {name: value for name, value in os.environ.items() if name not in flags.FROM_US}
    # a session of its own: Ctrl-C reaches this process alone, which then ends the other
    asked = subprocess.run(
        [sys.executable, "-c", command],
        env=environment,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )
    if asked.returncode:
        raise BadInput(
            f"the process for {described(setting)} failed with status {asked.returncode}; its error is above"
        )
    return json.loads(asked.stdout.splitlines()[-1])


def answer(fields: dict[str, int]) -> None:
    """Measures one setting in this process and prints its figures as a line of JSON."""
    setting = Setting(**fields)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: setting.devices])
    devices.start()
    rates = chunk_rates(progress(setting))
    figures = {"steps_per_second": statistics.median(rates), "min": min(rates), "max": max(rates), "chunks": len(rates)}
    print(json.dumps(figures | {"devices_used": devices.count()}))


def progress(setting: Setting) -> Iterable[tuple[float, int]]:
    """Yields (seconds since compiling ended, environment steps of all seeds) whenever the runner has made a chunk."""
    from algos import ppo
    from experiments.lab.definition.experiment import Contender, Experiment, Task
    from experiments.lab.running import runner

    config = ppo.Config(setting.num_envs, num_steps(setting.num_envs), hidden_sizes=(setting.hidden, setting.hidden))
    contender = Contender("ppo", ppo, config, ppo.HParams(total_steps=float(STEPS)))
    task = Task("CartPole-v1", (contender,))
    seeds = tuple(range(setting.seeds))
    experiment = Experiment((task,), seeds, STEPS, evaluations=1, eval_episodes=1, width=setting.width)
    for event in runner.train(experiment, task, (contender,), task.make()):
        if isinstance(event, runner.Progress):
            yield event.run_seconds, event.env_steps


def chunk_rates(progress: Iterable[tuple[float, int]]) -> list[float]:
    """Returns steps per second of each chunk that lies after WARM_SECONDS, until they add up to SECONDS.

    The first chunk is a single update, the next are sized by it: neither is what training comes to.
    """
    rates: list[float] = []
    started = before = None
    for seconds, steps in progress:
        if before is not None and before[0] - started >= WARM_SECONDS:
            rates.append((steps - before[1]) / (seconds - before[0]))
        started = seconds if started is None else started
        before = seconds, steps
        if seconds - started >= WARM_SECONDS + SECONDS and rates:
            return rates
    return rates


def report(results: dict[Setting, dict[str, Any]]) -> dict[str, Any]:
    """Returns what scaling.json holds."""
    from experiments.lab.recording import commits, manifest

    rows = [
        asdict(setting) | {"num_steps": num_steps(setting.num_envs)} | figures for setting, figures in results.items()
    ]
    return {
        "command": manifest.command_line(),
        "machine": hardware.processor(),
        "cores": hardware.cores(),
        "date": str(date.today()),
        "versions": manifest.versions(),
        "git": commits.of_this_code(),
        "settings": rows,
    }


def draw(axes: dict[str, Axis], results: dict[Setting, dict[str, Any]], path: Path) -> None:
    """Draws a panel for each axis: medians, with lines from the slowest to the fastest chunk."""
    from matplotlib.figure import Figure

    from experiments.lab.showing.lines import BACKGROUND, INK

    columns = min(3, len(axes) + 1)
    rows = -(-(len(axes) + 1) // columns)
    figure = Figure(figsize=(4.6 * columns, 3.6 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for panel, axis in zip(panels, axes.values()):
        draw_axis(panel, axis, results)
    for panel in panels[len(axes) :]:
        panel.axis("off")
    panels[len(axes)].text(0.0, 1.0, notes(), va="top", fontsize=9, color=INK, linespacing=1.5)
    figure.supylabel("environment steps per second, all seeds together", color=INK, fontsize=10)
    figure.savefig(path, dpi=160, facecolor=BACKGROUND)


def draw_axis(panel, axis: Axis, results: dict[Setting, dict[str, Any]]) -> None:
    from matplotlib.ticker import EngFormatter, FixedLocator, LogLocator, NullLocator, StrMethodFormatter

    from experiments.lab.showing.lines import COLOURS, GRID, INK

    for (label, line), colour, side in zip(axis.lines.items(), COLOURS, ("max", "min")):
        measured = {place: results[setting] for place, setting in line.items() if setting in results}
        draw_line(panel, measured, label, colour, side)
    places = sorted({place for line in axis.lines.values() for place in line})
    panel.set(xscale="log", yscale="log")
    panel.set_title(axis.title, loc="left", fontsize=11, color=INK)
    panel.set_xlabel(axis.label, color=INK)
    panel.xaxis.set(major_locator=FixedLocator(places), minor_locator=NullLocator())
    panel.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    panel.yaxis.set(major_locator=LogLocator(subs=(1.0, 2.0, 5.0)), minor_locator=NullLocator())
    panel.yaxis.set_major_formatter(EngFormatter(sep=""))
    panel.tick_params(labelsize=8)
    panel.grid(color=GRID, linewidth=0.6)
    panel.margins(x=0.08, y=0.2)
    panel.spines[["top", "right"]].set_visible(False)


def draw_line(panel, measured: dict[int, dict[str, Any]], label: str, colour: str, side: str) -> None:
    """Draws one line of a panel, its figures beyond the bars' end that `side` names: max or min."""
    if not measured:
        return
    speeds = [figures["steps_per_second"] for figures in measured.values()]
    spread = [(figures["min"], figures["max"]) for figures in measured.values()]
    panel.vlines(list(measured), *zip(*spread), color=colour, alpha=0.35, linewidth=3)
    panel.plot(list(measured), speeds, "o-", color=colour, linewidth=1.8, markersize=4)
    for place, figures in measured.items():
        panel.annotate(short(figures["steps_per_second"]), (place, figures[side]), ha="center", fontsize=8,
                       xytext=(0, 5 if side == "max" else -12), textcoords="offset points", color=colour)  # fmt: skip
    panel.annotate(label, (list(measured)[-1], speeds[-1]), xytext=(10, 0), textcoords="offset points", va="center",
                   fontsize=9, color=colour)  # fmt: skip


def short(speed: float) -> str:
    """Returns 165,432 as '165k', 8,930 as '8.9k' and 1,234,567 as '1.2M'."""
    if speed >= 999_500:
        return f"{speed / 1e6:.1f}M"
    return f"{speed / 1e3:.0f}k" if speed >= 9_950 else f"{speed / 1e3:.1f}k"


def notes() -> str:
    """Returns what the figures belong to."""
    from experiments.lab.recording import manifest

    return "\n".join([
        "PPO on CartPole-v1, CleanRL's settings:",
        "4 environments x 128 steps, 4 epochs of 4 minibatches,",
        "two towers of 64-64 units; each panel changes one thing.",
        f"Beyond {BATCH // MAX_NUM_STEPS} environments rollouts are shorter, so that a",
        f"batch has {BATCH:,} samples, but never under {MIN_NUM_STEPS} steps;",
        "minibatches grow with the batch.",
        "Dots: medians over chunks of training of half a second",
        "or one update. Bars: slowest to fastest chunk.",
        "",
        f"{hardware.processor()}, {hardware.cores()} cores, jax {manifest.versions()['jax']}, {date.today()}",
    ])  # fmt: skip


if __name__ == "__main__":
    run_command(Args, main, "python -m experiments.benchmarks.scaling")
