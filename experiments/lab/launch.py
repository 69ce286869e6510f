"""Launches an experiment: checks it, shows it, records it, and keeps what is finished whatever happens."""

import math
from datetime import datetime
from pathlib import Path

import jax
from rich.console import Console

import envs
from algos.core.types import Algorithm
from experiments.lab import devices, plots, records, runner, screen
from experiments.lab.cli import BadInput
from experiments.lab.experiment import Contender, Experiment

INTERRUPTED = 130  # the exit status of a process that Ctrl-C ended


def check(experiment: Experiment) -> None:
    """Raises ValueError, in one line, for an experiment that cannot run. Compiles nothing."""
    for task in experiment.tasks:
        env = envs.make(task.environment, **task.fields)
        for contender in task.contenders:
            algorithm = contender.make(env)
            needed = algorithm.steps_in_init + algorithm.steps_per_update
            if experiment.steps < needed:
                raise ValueError(f"steps must be {needed} or more: {contender.name} takes as many for its first update")
            check_memory(algorithm, contender, task.environment, len(experiment.seeds))


def check_memory(algorithm: Algorithm, contender: Contender, where: str, num_seeds: int) -> None:
    """Raises ValueError when the states of all seeds, which live side by side, do not fit in free memory."""
    state = jax.eval_shape(algorithm.init, jax.random.key(0), contender.hparams)
    needed = num_seeds * sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    free = devices.free_memory()
    if needed > free:
        buffer = getattr(contender.config, "buffer_size", None)
        most = f", most of it the replay buffers of {buffer:,} transitions" if buffer else ""
        raise ValueError(
            f"{contender.name} on {where} needs {needed / 2**30:,.1f} GiB for {num_seeds} seeds{most}; "
            f"{free / 2**30:,.1f} GiB are free"
        )


def default_folder(experiment: Experiment) -> Path:
    """Returns runs/<time>-<environments>."""
    names = "-".join(task.environment for task in experiment.tasks)
    return Path("runs") / f"{datetime.now():%Y-%m-%d-%H%M%S}-{names}"


def launch(experiment: Experiment, folder: Path) -> int:
    """Runs the experiment into the folder and returns the exit status: 0, or 130 when Ctrl-C ended it early.

    Raises BadInput before anything compiles when the experiment cannot run or the folder cannot be written.
    """
    try:
        check(experiment)
        records.create(folder)
    except ValueError as error:
        raise BadInput(error) from None
    records.write_manifest(folder, experiment, records.command_line())
    console = Console()
    console.print(announcement(experiment), highlight=False, soft_wrap=True)
    finished: list[runner.Finished] = []
    interrupted = False
    try:
        for event in screen.shown(runner.run(experiment), experiment, console):
            record(event, folder, experiment, finished)
    except KeyboardInterrupt:
        interrupted = True
        console.print("interrupted: what is finished is kept", highlight=False)
    summary = records.summarise(finished, experiment, interrupted)
    records.write_json(folder / "summary.json", summary)
    if (folder / "curves.csv").exists():
        plots.draw_curves(folder)
    for table, results in zip(screen.results_tables(summary), summary["environments"].values()):
        console.print(table)
        console.print(*results["verdicts"], "", sep="\n", highlight=False, soft_wrap=True)
    for event in finished:
        if event.diverged:
            console.print(
                f"{event.contender.name}: parameters are not finite for seeds {event.diverged}", highlight=False
            )
    console.print(
        "files:", *sorted(str(path) for path in folder.iterdir()), sep="\n  ", highlight=False, soft_wrap=True
    )
    return INTERRUPTED if interrupted else 0


def record(event: runner.Event, folder: Path, experiment: Experiment, finished: list[runner.Finished]) -> None:
    """Writes what the event brings, at once: a run that is killed leaves all that came before."""
    if isinstance(event, runner.Evaluated):
        records.append_curves(folder, event)
    elif isinstance(event, runner.Finished):
        finished.append(event)
        records.write_json(folder / "summary.json", records.summarise(finished, experiment))


def announcement(experiment: Experiment) -> str:
    """Returns what will run, in words."""
    seeds = f"seeds {experiment.seeds[0]} to {experiment.seeds[-1]}" if len(experiment.seeds) > 1 else "seed 0"
    rows = [
        f"{task.environment}: {', '.join(contender.name for contender in task.contenders)}; {seeds}; "
        f"{experiment.steps:,} steps each"
        for task in experiment.tasks
    ]
    machine = records.device()
    return "\n".join([*rows, f"on {machine['count']} {machine['platform']} devices ({machine['machine']})"])
