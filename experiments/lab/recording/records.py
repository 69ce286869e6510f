"""The run folder: what a run writes as it goes, and the summary that readers judge it by."""

import csv
import itertools
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from experiments.lab.commands.cli import BadInput
from experiments.lab.definition import tuning
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.judging import tolerance
from experiments.lab.judging.best import best_in_words, could_be_best
from experiments.lab.judging.looks import rows_of
from experiments.lab.judging.statistics import iqm, iqm_interval
from experiments.lab.judging.tolerance import new_run
from experiments.lab.judging.verdicts import verdict, verdicts
from experiments.lab.recording.files import file_name, require_text
from experiments.lab.recording.run_folder import COLUMNS, CURVES, header_of, with_divergence
from experiments.lab.running import runner

RUNS, MOST_NAMES = "runs", 3  # where runs go that are given no folder, and how many environments its name tells

Results = dict[str, dict[str, dict[str, Any]]]  # environment: contender: figures, of those that finished


def create(folder: Path | None, names: Sequence[str]) -> Path:
    """Makes the run folder, or where none is named a new one called after the time and the names, and returns it.

    Raises ValueError when it cannot be written or already holds a run.
    """
    require_text(folder or Path(RUNS))
    try:
        folder = _new(names) if folder is None else folder
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ValueError(f"{folder} is not empty; name a new folder, nothing is ever written over")
        probe = folder / "manifest.json"
        probe.touch()
        probe.unlink()
    except OSError as error:
        where = folder or Path(RUNS).absolute()
        raise ValueError(f"cannot write to {where}: {error.strerror}; name a folder that can be written") from None
    return folder


def create_for(names: Sequence[str], out: Path | None) -> Path:
    """Returns what `create` makes for a command that has nothing else to check. Raises BadInput where that cannot be."""
    try:
        return create(out, names)
    except ValueError as error:
        raise BadInput(error) from None


def _new(names: Sequence[str]) -> Path:
    """Makes runs/<time>-<names>, numbered where another run began in the same second, and returns it. Raises OSError."""
    told = [*names[:MOST_NAMES], f"and {len(names) - MOST_NAMES} more"] if len(names) > MOST_NAMES + 1 else names
    name = f"{datetime.now():%Y-%m-%d-%H%M%S}-{file_name('-'.join(told).replace(' ', '-'))}"
    for ending in itertools.chain([""], map("-{}".format, itertools.count(2))):
        folder = Path(RUNS) / f"{name}{ending}"
        with suppress(FileExistsError):
            folder.mkdir(parents=True)
            return folder


def append_curves(folder: Path, event: runner.Evaluated) -> None:
    """Adds the rows of one evaluation to curves.csv. `repr` writes a float so that it reads back to the same one. A run that
    an earlier version began gets no seconds."""
    path = folder / CURVES
    new = not path.exists() or not path.stat().st_size
    width = len(header_of(path))
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(COLUMNS)
        where = (event.task.environment, event.contender.name)
        writer.writerows(
            (*where, seed, env_steps, metric, repr(value), f"{event.seconds:.3f}")[:width]
            for seed, env_steps, metric, value in event.rows
        )


def cut_curves(folder: Path, size: int) -> None:
    """Takes away what was written to curves.csv after its first `size` bytes: a run that goes on writes it again."""
    if (folder / CURVES).exists():
        with (folder / CURVES).open("r+b") as file:
            file.truncate(size)


def summarise(
    results: Results,
    experiment: Experiment,
    interrupted: bool = False,
    looks: list[list[int]] | None = None,
    margins: dict[str, float] | None = None,
) -> dict[str, Any]:
    """Returns the summary of the contenders that finished. looks: the seeds that each look at the run added. margins: of
    environments, differences that are too small to matter."""
    environments = {
        task.environment: {
            **task.criterion._asdict(),
            "algorithms": described(results[task.environment], task, experiment.seeds),
            **_judged(results[task.environment], task, experiment.seeds, looks, (margins or {}).get(task.environment)),
        }
        for task in experiment.tasks
        if task.environment in results
    }
    seen = {"looks": looks} if looks else {}
    return {"interrupted": interrupted, "seeds": list(experiment.seeds), **seen, "environments": environments}


def described(results: dict[str, Any], task: Task, seeds: tuple[int, ...]) -> dict[str, Any]:
    """Returns the results with whose settings each contender had, in words, and where a single new run of it would lie."""
    told = {one.name: tuning.settings_in_words(one, task.environment) for one in task.contenders}
    return {
        name: {
            **found,
            "settings": told[name],
            "new_run": tolerance.told(new_run(scores(found, task, seeds), task.criterion)),
        }
        for name, found in results.items()
    }


def scores(figures: dict[str, Any], task: Task, seeds: tuple[int, ...]) -> np.ndarray:
    """Returns a contender's final score of each seed, of which more is better, NaN where it diverged, [seeds]."""
    return task.criterion.score(with_divergence(figures["final_values"], seeds, figures["diverged_seeds"]))


def figures(event: runner.Finished) -> dict[str, Any]:
    """Returns what the summary says of one contender."""
    values = np.asarray(event.final_values)
    return {
        "iqm": float(iqm(values)),
        "ci95": [float(bound) for bound in iqm_interval(values)],
        "mean": float(values.mean()),
        "final_values": event.final_values,
        "diverged_seeds": event.diverged,
        "faulty_seeds": list(event.faulty),  # the environment's fault, not the contender's
        "env_steps": event.env_steps,
        "compile_seconds": round(event.compile_seconds, 3),
        "run_seconds": round(event.run_seconds, 3),
        "steps_per_second": round(event.env_steps * len(values) / event.run_seconds, 1),
    }


def _judged(
    algorithms: dict[str, Any],
    task: Task,
    seeds: tuple[int, ...],
    looks: list[list[int]] | None,
    margin: float | None,
) -> dict[str, Any]:
    """Returns the verdicts in words, whether each new loss is ahead of its parent, then whether the best is ahead of each
    other one; which contenders could be the best; and the margin, where one was named.

    A diverged seed counts as the worst result. Points of a sweep have no verdict: these seeds select among them.
    """
    parents = {one.name: one.parent for one in task.contenders if one.name in algorithms and not one.sweep}
    found = {name: scores(figures, task, seeds) for name, figures in algorithms.items() if name in parents}
    new = [(name, parent) for name, parent in parents.items() if parent in found]
    rows = rows_of(looks, seeds)
    asked = {"looks": rows, "margin": margin, "criterion": task.criterion}
    lines = [verdict(name, parent, found[name], found[parent], **asked) for name, parent in new]
    lines += verdicts(list(found), list(found.values()), told=tuple(map(frozenset, new)), **asked)
    could = could_be_best(list(found), list(found.values()), rows)
    named = {} if margin is None else {"margin": margin}
    return {**named, "verdicts": lines, "could_be_best": could, "best_in_words": best_in_words(could, len(found), rows)}
