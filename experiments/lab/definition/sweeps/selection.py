"""What a sweep found. One set of seeds selects the best point, fresh ones report it.

The best of many points is the best under its own seeds by luck too: its return there is too high an estimate. So it is
run again under seeds that had no part in choosing it, with the contenders that were not swept.
"""

import dataclasses
from typing import Any

import numpy as np

from experiments.lab.definition.experiment import Contender, Experiment, Task
from experiments.lab.definition.sweeps.fields import value_of, written
from experiments.lab.definition.sweeps.points import swept_fields
from experiments.lab.judging import looks
from experiments.lab.judging.best import best_in_words, could_be_best
from experiments.lab.judging.criterion import Criterion, figure
from experiments.lab.judging.statistics import as_worst
from experiments.lab.recording.run_folder import listed, with_divergence

BEST = "best"  # the folder, in the run folder of a sweep, of the best points' own run

Figures = dict[str, dict[str, Any]]  # contender: what the summary says of it


def sweeps_of(task: Task) -> dict[str, list[Contender]]:
    """Returns the points of each sweep; a point left alone is no sweep."""
    names = dict.fromkeys(contender.sweep for contender in task.contenders if contender.sweep)
    points = {name: [contender for contender in task.contenders if contender.sweep == name] for name in names}
    return {name: some for name, some in points.items() if len(some) > 1}


def has_sweeps(experiment: Experiment) -> bool:
    """Returns whether any task has a sweep."""
    return any(sweeps_of(task) for task in experiment.tasks)


def ranked(points: list[Contender], figures: Figures, criterion: Criterion) -> list[Contender]:
    """Returns the points, best first: by the IQM of final scores, then by their mean, then in their own order.

    A point under which a seed diverged comes after all under which fewer did, whatever its other seeds earned; that
    decides, by their mean, among those under which as many did.
    """

    def place(point: Contender) -> tuple[float, float, float, float]:
        found = figures[point.name]
        scores = criterion.score(found["final_values"])
        finite = scores[np.isfinite(scores)]
        rest = finite.mean() if finite.size else -np.inf
        return (
            len(found["diverged_seeds"]),
            *(-as_worst(criterion.score(found[name])) for name in ("iqm", "mean")),
            -rest,
        )

    return sorted(points, key=place)


def report_seeds(experiment: Experiment) -> tuple[int, ...]:
    """Returns as many seeds as the experiment has, following its last."""
    first = max(experiment.seeds) + 1
    return tuple(range(first, first + len(experiment.seeds)))


def report_experiment(experiment: Experiment, results: dict[str, Figures]) -> Experiment:
    """Returns the experiment that reports: on each environment with a sweep, the best point of each sweep and what was
    not swept, under fresh seeds. A loss that replaces a swept parent's has the parent's best point for its parent."""
    tasks = []
    for task in experiment.tasks:
        best = {
            name: ranked(points, results[task.environment], task.criterion)[0]
            for name, points in sweeps_of(task).items()
        }
        kept = [one for one in task.contenders if one.sweep not in best or one.name == best[one.sweep].name]
        named = {name: point.name for name, point in best.items()}
        kept = [dataclasses.replace(one, sweep="", parent=named.get(one.parent, one.parent)) for one in kept]
        if best:
            tasks.append(dataclasses.replace(task, contenders=tuple(kept)))
    return dataclasses.replace(experiment, tasks=tuple(tasks), seeds=report_seeds(experiment))


def found(experiment: Experiment, results: dict[str, Figures], reported: dict[str, Figures]) -> dict[str, Any]:
    """Returns what the summary says of the sweeps, by environment and sweep, of those whose points all finished.

    results, reported: figures of the sweep's own run, and of the best points' run as far as there is one.
    """
    return {
        task.environment: {
            name: _found(
                experiment, task.criterion, points, results[task.environment], reported.get(task.environment, {})
            )
            for name, points in sweeps_of(task).items()
            if all(point.name in results.get(task.environment, {}) for point in points)
        }
        for task in experiment.tasks
        if sweeps_of(task)
    }


def _found(
    experiment: Experiment, criterion: Criterion, points: list[Contender], figures: Figures, reported: Figures
) -> dict[str, Any]:
    order = ranked(points, figures, criterion)
    best, swept = order[0].name, swept_fields(points, points[0].sweep)
    report, settings = reported.get(best), [{field: value_of(point, field) for field in swept} for point in order]
    scores = [_scores(figures[point.name], experiment.seeds, criterion) for point in order]
    could = could_be_best([point.name for point in order], scores)
    return {
        "points": [
            {
                "name": point.name,
                "settings": values,
                **{name: figures[point.name][name] for name in ("iqm", "ci95", "diverged_seeds")},
            }
            for point, values in zip(order, settings)
        ],
        "best": best,
        "at_edge": at_edge(settings),
        "could_be_best": could,
        "best_in_words": best_in_words(could, len(order), looks.one(len(experiment.seeds)), what="point"),
        **criterion._asdict(),
        "selection_seeds": list(experiment.seeds),
        "report_seeds": list(report_seeds(experiment)),
        "report": {name: report[name] for name in ("iqm", "ci95", "diverged_seeds")} if report else None,
    }


def _scores(figures: dict[str, Any], seeds: tuple[int, ...], criterion: Criterion) -> np.ndarray:
    return criterion.score(with_divergence(figures["final_values"], seeds, figures["diverged_seeds"]))


def at_edge(settings: list[dict[str, Any]]) -> list[str]:
    """Returns in words which settings of the best point, the first, are the lowest or the highest number that was tried: a
    better one may lie beyond. Nothing lies below 0."""
    words = []
    for field, value in settings[0].items():
        tried = [each[field] for each in settings]
        if any(isinstance(one, bool) or not isinstance(one, (int, float)) for one in tried):
            continue
        low, high = min(tried), max(tried)
        if low < high and (value == high or value == low != 0):
            end = "highest" if value == high else "lowest"
            words.append(f"{field}={written(value)} is the {end} of {written(low)} to {written(high)}")
    return words


def edge_in_words(sweep: dict[str, Any]) -> str:
    """Returns that a better point may lie beyond the range of a sweep; "" where its best lies inside."""
    edges = sweep.get("at_edge")
    return (
        f"the best lies at the edge of what was tried: {', '.join(edges)}; a better one may lie beyond" if edges else ""
    )


def selected(sweeps: dict[str, Any]) -> list[str]:
    """Returns in words how the points of each sweep did, best first."""
    lines = []
    for environment, of_environment in sweeps.items():
        for name, sweep in of_environment.items():
            seeds = in_words(sweep["selection_seeds"])
            lines.append(f"{environment}, sweep of {name}: {len(sweep['points'])} points under {seeds}, best first")
            for place, point in enumerate(sweep["points"], start=1):
                lines.append(f"{place:>4}. {point['name'].removeprefix(name).strip()}: {estimate(point)}")
            lines += filter(None, [edge_in_words(sweep), sweep["best_in_words"]])
    return lines


def concluded(sweeps: dict[str, Any]) -> list[str]:
    """Returns in words the best point of each sweep, under the seeds that selected it and under the fresh ones."""
    lines = []
    for environment, of_environment in sweeps.items():
        for name, sweep in of_environment.items():
            best = sweep["points"][0]
            lines += [
                f"{environment}, sweep of {name}: best of {len(sweep['points'])} points is {best['name']}",
                f"  selection, {in_words(sweep['selection_seeds'])}: {estimate(best)}; it was picked by these seeds",
                f"  report, {in_words(sweep['report_seeds'])}: {estimate(sweep['report'])}; quote this one",
            ]
            lines += [f"  {line}" for line in [edge_in_words(sweep)] if line]
    return lines


def estimate(figures: dict[str, Any]) -> str:
    """Returns the IQM with its interval, and what diverged, in words."""
    iqm, low, high = as_worst([figures["iqm"], *figures["ci95"]])
    between = f" [{figure(low)}, {figure(high)}]" if np.isfinite(low) and np.isfinite(high) else ""
    diverged = f", diverged under {in_words(figures['diverged_seeds'])}" if figures["diverged_seeds"] else ""
    value = f"IQM {figure(iqm)}" if np.isfinite(iqm) else "no IQM"
    return f"{value}{between}{diverged}"


def in_words(seeds) -> str:
    """Returns 'seeds 0 to 9', or the seeds one by one where they do not follow each other."""
    return f"seed{'s' if len(seeds) > 1 else ''} {listed(seeds)}"
