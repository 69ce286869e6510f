"""What a run shows: a live line for each contender while it goes, then the table of results."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Any

from rich import box
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from experiments.lab.definition import tuning
from experiments.lab.definition.experiment import Experiment, families, label
from experiments.lab.judging.criterion import criterion_of, figure
from experiments.lab.judging.statistics import as_worst
from experiments.lab.running import runner
from experiments.lab.showing.plan import wrapped

PLAIN_SHARE = 0.25  # where the output is no terminal: a line at each quarter


@dataclass
class Line:
    """What is known of one family of contenders."""

    environment: str
    name: str
    status: str = "waiting"
    compiling_since: float = 0.0
    share: float = 0.0
    steps_per_second: float = 0.0
    last_value: float | None = None
    seconds_left: float | None = None
    told: float = 0.0  # the share at the last plain line
    faulty: bool = False  # whether the environment gave what is not finite


def shown(events: Iterable[runner.Event], experiment: Experiment, console: Console) -> Iterator[runner.Event]:
    """Yields the events on, having shown them: live in a terminal, as plain lines elsewhere."""
    lines = {
        (task.environment, family[0].name): Line(task.environment, label(family))
        for task in experiment.tasks
        for family in families(task)
    }
    if not console.is_terminal:
        for event in events:
            line = lines[event.task.environment, event.family[0].name]
            warn(line, event, console)
            update(line, event)
            tell(line, event, console)
            yield event
        return
    with Live(get_renderable=lambda: draw(lines.values()), console=console, refresh_per_second=8):
        for event in events:
            line = lines[event.task.environment, event.family[0].name]
            warn(line, event, console)
            update(line, event)
            yield event


def warn(line: Line, event: runner.Event, console: Console) -> None:
    """Prints, the first time, that the environment gave what is not finite, and under which seeds."""
    faulty = (
        [str(row[0]) for row in event.rows if row[2] == runner.FAULTS] if isinstance(event, runner.Evaluated) else []
    )
    if faulty and not line.faulty:
        line.faulty = True
        text = faults_in_words(event.contender.name, line.environment, faulty)
        console.print(f"after {event.rows[0][1]:,} environment steps {text}", highlight=False, soft_wrap=True)


def faults_in_words(name: str, environment: str, seeds: Iterable[str]) -> str:
    """Returns that the environment is at fault, not the contender."""
    return (
        f"{name}: {environment} gave rewards or observations that are not finite, for finite actions, under seeds "
        f"{', '.join(map(str, seeds))}: a fault of the environment, not of the algorithm or its settings; "
        "python -m experiments.doctor says where it begins"
    )


def update(line: Line, event: runner.Event) -> None:
    """Takes into the line what the event says."""
    match event:
        case runner.Compiling():
            line.status, line.compiling_since = "compiling", time.perf_counter()
        case runner.Compiled():
            line.status = "compiled"
        case runner.Progress():
            line.status, line.share = "running", event.share
            line.steps_per_second = event.env_steps / event.run_seconds
            line.seconds_left = event.run_seconds * (1.0 - event.share) / event.share if event.share else None
        case runner.Evaluated():
            line.last_value = event.mean_value
        case runner.Finished():
            line.status = f"compiled {event.compile_seconds:.0f} s, ran {event.run_seconds:.0f} s"
            line.seconds_left = None


def draw(lines: Iterable[Line]) -> Table:
    """Returns the lines as a table without borders; the environment is named where there are several."""
    lines, table = list(lines), Table.grid(padding=(0, 1))
    several = len({line.environment for line in lines}) > 1
    for _ in range(4):
        table.add_column(no_wrap=True)
    for _ in range(2):
        table.add_column(no_wrap=True, justify="right")
    for line in lines:
        status = line.status
        if status == "compiling":
            status = f"compiling {time.perf_counter() - line.compiling_since:.0f} s"
        elif line.seconds_left is not None:
            status = f"{duration(line.seconds_left)} left"
        table.add_row(
            line.environment if several else "",
            f"[bold]{line.name}[/]",
            ProgressBar(total=1.0, completed=line.share, width=10),
            status,
            f"{line.steps_per_second / 1000.0:,.0f}k steps/s" if line.share else "",
            "" if line.last_value is None else evaluated("eval", line),
        )
    return table


def tell(line: Line, event: runner.Event, console: Console) -> None:
    """Prints a plain line where the event is worth one."""
    where = f"{line.environment} {line.name}:"
    match event:
        case runner.Compiling():
            console.print(where, "compiling", highlight=False, soft_wrap=True)
        case runner.Finished() if event.contender is event.family[-1]:
            console.print(where, line.status, highlight=False, soft_wrap=True)
        case runner.Evaluated() if line.share >= line.told + PLAIN_SHARE:
            line.told = line.share // PLAIN_SHARE * PLAIN_SHARE  # else a late line would put off all that follow
            rate, left = f"{line.steps_per_second:,.0f} steps/s", duration(line.seconds_left)
            result = evaluated(event.task.criterion.words, line)
            console.print(where, f"{line.share:.0%}, {rate}, {result}, {left} left", highlight=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """Returns 75 as '1:15'."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def evaluated(what: str, line: Line) -> str:
    """Returns what there is to say of the last evaluation."""
    if isfinite(line.last_value):
        return f"{what} {figure(line.last_value)}"
    return "the environment gave what is not finite" if line.faulty else "a seed diverged"


def captions(algorithms: dict[str, Any]) -> Iterator[str]:
    """Yields what a table says below: whose settings each contender had, and the steps of each where they differ."""
    told = tuning.grouped((name, figures["settings"]) for name, figures in algorithms.items() if "settings" in figures)
    if told:
        yield tuning.groups_in_words(told)
    steps = {name: figures["env_steps"] for name, figures in algorithms.items()}
    if len(set(steps.values())) > 1:  # updates are whole: who makes large ones stops short of the budget
        yield "steps of a seed: " + ", ".join(f"{name} {number:,}" for name, number in steps.items())


def told(lines: Iterable[str], console: Console) -> str:
    """Returns sentences, a line each; in a terminal, cut between words where they are longer than it is wide."""
    text = "\n".join(lines)
    return wrapped(text, console.width) if console.is_terminal else text


def results_tables(summary: dict[str, Any]) -> Iterator[Table]:
    """Yields a table for each environment, best IQM first."""
    num_seeds = len(summary["seeds"])
    seeds = f"{num_seeds} seeds" if num_seeds > 1 else "one seed, which allows no interval"
    for environment, results in summary["environments"].items():
        criterion = criterion_of(results)
        below = "" if criterion.higher_is_better else f", {criterion.direction}"
        title = f"{environment}: final {criterion.words}{below}, {seeds}"
        table = Table(
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            collapse_padding=True,
            title=title,
            title_justify="left",
            title_style="bold",
        )
        table.add_column("algorithm", overflow="fold")  # cut, two points of a sweep would be twins
        for heading in ("IQM", "95% interval", "mean", "steps/s", "compile s", "run s"):
            table.add_column(heading, justify="right", no_wrap=True)
        algorithms = results["algorithms"].items()
        for name, figures in sorted(algorithms, key=lambda item: -as_worst(criterion.score(item[1]["iqm"]))):
            low, high = figures["ci95"]
            interval = f"{figure(low)} to {figure(high)}" if isfinite(as_worst(low)) else figure(None)
            table.add_row(
                name,
                figure(figures["iqm"]),
                interval if num_seeds > 1 else "",
                figure(figures["mean"]),
                f"{figures['steps_per_second']:,.0f}",
                f"{figures['compile_seconds']:.1f}",
                f"{figures['run_seconds']:.1f}",
            )
        table.caption = "\n".join(captions(results["algorithms"])) or None
        table.caption_justify = "left"
        yield table
