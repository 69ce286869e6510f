"""report.html: what a run folder, or several, have to say, in one self-contained file. Every number is `statistics`'s."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from experiments.lab.definition import tuning
from experiments.lab.definition.margins import margins_of
from experiments.lab.definition.sweeps.selection import edge_in_words, in_words
from experiments.lab.judging.criterion import Criterion
from experiments.lab.judging.seed_counts import can_show
from experiments.lab.judging.statistics import Estimate, aggregates, iqm, performance_profile
from experiments.lab.judging.tolerance import new_run
from experiments.lab.judging.verdicts import verdict, verdicts
from experiments.lab.recording.files import write_whole
from experiments.lab.recording.pooling import pooled
from experiments.lab.recording.run_folder import Folder, Result, Unusable, join, read
from experiments.lab.showing.meanings import MEANINGS
from experiments.lab.showing.multiples import MOST, TOGETHER
from experiments.lab.showing.report import figures
from experiments.lab.showing.report.figures import Score, Style
from experiments.lab.showing.report.findings import (
    best_lines,
    common,
    efficiencies,
    improvements,
    most_looks,
    normalised,
    of_the_same_seeds,
    own_margin,
    parent_lines,
    ranked,
    scale_of,
    verdict_lines,
    with_worst,
)
from experiments.lab.showing.report.provenance import cautions, described_folders, seeds_in_words, settings_of
from experiments.lab.showing.report.strategies import strategies
from experiments.lab.showing.screen import duration
from experiments.lab.showing.strategies import is_strategy

SIGN = '<meta name="generator" content="evenhand report">'  # by which a report is known, and may be written anew
SHARE = 0.9  # of the way from the return before training to the best final IQM: the score of sample efficiency
TAUS = 101  # points of a performance profile
MOST_IN_MATRIX = 10
FIRST_METRICS = ("training_return", "kl", "entropy", "clip_fraction", "explained_variance", "td_error", "value_loss")


def write(folder: Path) -> Path:
    """Makes report.html in the run folder from its manifest.json, summary.json and curves.csv, and returns its path.

    Raises Unusable, in one line, when the folder holds no run, a damaged one, or a report.html that is something else.
    """
    return write_joined([folder], folder / "report.html")


def write_joined(paths: Sequence[Path], out: Path, margin: Sequence[str] = ()) -> Path:
    """Makes one report from several run folders, their contenders joined, and returns its path. margin: words as of
    `--margin`, in place of the folders' own. Raises as `write`, and ValueError for such words."""
    every = [read(path) for path in paths]
    environments = list(dict.fromkeys(name for folder in every for name in folder.manifest["environments"]))
    margins = margins_of(margin, environments)
    folders = pooled(every)
    try:
        if out.exists() and SIGN not in out.read_text(encoding="utf-8", errors="replace")[:2000]:
            raise Unusable(f"{out} is not a report and is not written over; name another file with --out")
        write_whole(out, render(folders, every, margins).encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise Unusable(f"cannot write {out}: {error.strerror}; name a file that can be written") from None
    return out


def render(
    folders: Sequence[Folder], every: Sequence[Folder] | None = None, margins: dict[str, float] | None = None
) -> str:
    """Returns the report as HTML. every: the folders as they are, where some are put together in `folders`. margins: by
    environment, in place of the folders' own."""
    every = folders if every is None else every
    joined = join(folders)
    style = figures.styles(list(dict.fromkeys(result.name for results in joined.values() for result in results)))
    page = Environment(
        loader=PackageLoader("experiments.lab.showing.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    page.filters |= {
        "number": number,
        "whole": whole,
        "is_finite": np.isfinite,
        "capitalised": lambda line: line[:1].upper() + line[1:],
    }
    return page.get_template("report.html").render(
        sign=SIGN,
        title=", ".join(joined),
        facts=facts(folders, joined),
        cautions=[*cautions(folders, joined, every), *map(late_margin, (margins or {}).items())],
        overall=overall(joined, style),
        sections=[
            section(environment, results, folders, style, (margins or {}).get(environment))
            for environment, results in joined.items()
        ],
        folders=described_folders(every),
        swatches={name: figures.swatch(each) for name, each in style.items()},
    )


def facts(folders: Sequence[Folder], joined: dict[str, list[Result]]) -> str:
    """Returns in one line what was run."""
    names = {result.name for results in joined.values() for result in results}
    contenders = "one contender" if len(names) == 1 else f"{len(names)} contenders"
    seeds = " or ".join(dict.fromkeys(seeds_in_words(folder.manifest["seeds"]) for folder in folders))
    steps = " or ".join(dict.fromkeys(f"{folder.manifest['steps']:,}" for folder in folders))
    line = f"{contenders}; {seeds}; {steps} environment steps under each seed"
    days = dict.fromkeys(
        str(folder.manifest["date"])[:16].replace("T", " ") for folder in folders if folder.manifest.get("date")
    )
    finished = [result.figures for results in joined.values() for result in results if result.figures]
    ran = f"ran {duration(sum(each['run_seconds'] for each in finished))} without compiling" if finished else ""
    return "; ".join(part for part in (line, " and ".join(days), ran) if part)


def late_margin(named: tuple[str, float]) -> str:
    """Returns what must be known of an environment's margin that the command of the report named."""
    return (
        f"The margin of {named[1]:g} on {named[0]} was named for this report, when the runs were done: one that was chosen to fit "
        "what was seen proves nothing."
    )


def section(
    environment: str,
    results: list[Result],
    folders: Sequence[Folder],
    style: dict[str, Style],
    margin: float | None = None,
) -> dict:
    """Returns what the report says of one environment. margin: None for the folders' own."""
    margin = own_margin(environment, folders) if margin is None else margin
    finished = [result for result in results if result.figures]
    drawn = [result for result in results if result.evaluations.size]
    against_parents, criterion = parent_lines(results, margin), results[0].criterion
    others = [line for line in verdict_lines(environment, results, folders, margin) if line not in against_parents]
    moving = any(np.isfinite(iqm(result.evaluations.to_numpy())).sum() > 1 for result in drawn)  # else one point a line
    timed = [result for result in drawn if result.figures]
    many = len(drawn) > TOGETHER
    return {
        "environment": environment,
        "metric": criterion.words,
        "direction": criterion.direction,
        "parents": against_parents,
        "verdicts": others,
        "margin": margin if others or against_parents else None,
        "best": best_lines(results),
        "sweeps": swept(folders, environment),
        "drawn": [result.name for result in drawn],
        "curves": figures.learning_curves(drawn, style, bands=not many) if moving else None,
        "alone": figures.alone(drawn, style, limits_of(drawn)) if moving and many and len(drawn) <= MOST else [],
        "in_seconds": figures.learning_curves(timed, style, seconds=True, bands=not many) if moving and timed else None,
        "seeds": seed_panels(drawn, style),
        "tuned": tuned(results),
        "finished": [
            {"name": each.name, "seeds": each.seeds, "settings": "", **each.figures}
            | {"new_run": new_run(each.scores, each.criterion)}
            for each in ranked(finished)
        ],
        "scores": score_figure(finished, style) if any(np.isfinite(each.earned).any() for each in finished) else None,
        "profile": profile({result.name: result.scores for result in finished}, style, criterion),
        "matrix": matrix(finished),
        "efficiency": efficiency(results, style),
        "strategies": strategies(results, style),
        "diagnostics": diagnostics(results, style),
        "settings": [settings_of(result) for result in results],
    }


def tuned(results: list[Result]) -> str:
    """Returns whose settings each contender had, as the summary says it; "" of folders that do not say."""
    told = [(each.name, each.figures["settings"]) for each in results if each.figures and "settings" in each.figures]
    return tuning.groups_in_words(tuning.grouped(told))


def swept(folders: Sequence[Folder], environment: str) -> list[dict[str, Any]]:
    """Returns the sweeps of one folder, each with its points best first; none where several folders are joined."""
    sweeps = folders[0].summary.get("sweeps", {}).get(environment, {}) if len(folders) == 1 else {}
    return [
        {
            "name": name,
            **sweep,
            "edge": edge_in_words(sweep),
            "could": sweep.get("best_in_words", ""),
            "panels": figures.sensitivity(sweep),
            "selected_under": in_words(sweep["selection_seeds"]),
            "reported_under": in_words(sweep["report_seeds"]),
        }
        for name, sweep in sweeps.items()
    ]


def score_figure(finished: list[Result], style: dict[str, Style]):
    """Returns the figure of final scores, best first."""
    scores = []
    for result in ranked(finished):
        bounds = [np.nan if each is None else each for each in (result.figures["iqm"], *result.figures["ci95"])]
        scores.append(Score(result.name, Estimate(*bounds), result.earned, np.isin(result.seeds, result.diverged)))
    return figures.final_scores(scores, style, f"final {finished[0].criterion.words}")


def seed_panels(drawn: list[Result], style: dict[str, Style]) -> list[tuple[str, Any]]:
    """Returns a panel of individual seeds for each contender that has a line to draw, all on one scale."""
    shown = [result for result in drawn if (np.isfinite(result.evaluations.to_numpy()).sum(axis=1) > 1).any()]
    limits = limits_of(drawn) if shown else (0.0, 1.0)
    return [(result.name, figures.each_seed(result, style[result.name], limits)) for result in shown]


def limits_of(drawn: list[Result]) -> tuple[float, float]:
    """Returns a scale that has room for every seed of every contender."""
    values = np.concatenate([result.evaluations.to_numpy().ravel() for result in drawn])
    values = values[np.isfinite(values)]
    room = 0.05 * float(np.ptp(values) or 1.0)
    return values.min() - room, values.max() + room


def profile(scores: dict[str, np.ndarray], style: dict[str, Style], criterion: Criterion | None = None):
    """Returns the figure of performance profiles, None where there is nothing to tell apart. criterion: of whose values
    the axis is; None: of normalised scores."""
    finite = np.concatenate([np.ravel(each[np.isfinite(each)]) for each in scores.values()] or [np.zeros(0)])
    if not finite.size or np.ptp(finite) == 0.0:
        return None
    taus = np.linspace(finite.min() - 0.02 * np.ptp(finite), finite.max(), TAUS)
    shares = {name: performance_profile(each, taus) for name, each in scores.items()}
    if criterion is None:
        return figures.profiles(taus, shares, style, "normalised score")
    return figures.profiles(criterion.score(taus), shares, style, f"final {criterion.words}")


def matrix(finished: list[Result]) -> dict | None:
    """Returns P(row > column) for the best contenders; None where no two ran under the same seeds, or under one alone, and
    where all diverged."""
    best = ranked(finished)[:MOST_IN_MATRIX]
    best = [result for result in best if len(result.seeds) > 1]
    if len(best) < 2:
        return None
    scores = {result.name: (result.seeds, result.scores) for result in best}
    cells = improvements(scores)
    if not any(cell for row in cells for cell in row) or not any(np.isfinite(each.scores).any() for each in best):
        return None
    groups = of_the_same_seeds(finished)
    mute = [
        len(group[0].seeds)
        for group in groups
        if len(group) > 1 and not can_show(most_looks(group), 1, len(group) * (len(group) - 1) // 2)
    ]
    return {"names": list(scores), "cells": cells, "left_out": len(finished) - len(best), "mute": mute}


def efficiency(results: list[Result], style: dict[str, Style]) -> dict | str:
    """Returns the steps to the score that lies nine tenths of the way, or in words why there is none."""
    scale = scale_of(results)
    if isinstance(scale, str):
        return scale
    found = efficiencies(results, scale.at(SHARE))
    last = {result.name: result.evaluations.columns[-1] for result in results if result.name in found}
    rows = [
        {
            "name": result.name,
            "found": found[result.name],
            "first": np.fmin.reduce(found[result.name].steps),
            "never": [seed for seed, steps in zip(result.seeds, found[result.name].steps) if np.isnan(steps)],
        }
        for result in results
        if result.name in found
    ]
    value = results[0].criterion.score
    return {
        "start": value(scale.start),
        "best": value(scale.best),
        "score": value(scale.at(SHARE)),
        "rows": rows,
        "figure": figures.reached(found, last, style),
    }


def diagnostics(results: list[Result], style: dict[str, Style]) -> list[tuple[str, Any, str]]:
    """Returns a small panel for each training metric that has a finite value, the telling ones first, with its meaning; ""
    for a metric of a user's own loss."""
    rows = [result.curves[np.isfinite(result.curves.value)] for result in results]
    metrics = list(dict.fromkeys(metric for each in rows for metric in each.metric))
    metrics = [metric for metric in metrics if metric != results[0].criterion.metric and not is_strategy(metric)]
    metrics.sort(key=lambda metric: FIRST_METRICS.index(metric) if metric in FIRST_METRICS else len(FIRST_METRICS))
    return [
        (metric.replace("_", " "), figures.diagnostic(results, style, metric), MEANINGS.get(metric, ""))
        for metric in metrics
    ]


def overall(joined: dict[str, list[Result]], style: dict[str, Style]) -> dict | str | None:
    """Returns what holds over all environments, on normalised scores, or in words why nothing does; None for one."""
    if len(joined) < 2:
        return None
    shared = common(joined)
    if isinstance(shared, str):
        return shared
    names, scales = shared
    runs = normalised(names, joined, scales)
    looks = most_looks(joined[next(iter(scales))])
    worst = with_worst(runs)
    estimates = {name: aggregates(worst[name]) for name in names}
    order = sorted(names, key=lambda name: -estimates[name]["iqm"].value)
    scores = [Score(name, estimates[name]["iqm"], worst[name].ravel(), np.isnan(runs[name]).ravel()) for name in order]
    parents = {result.name: result.parent for result in joined[next(iter(scales))]}
    parents = {name: parent for name, parent in parents.items() if {name, parent} <= runs.keys()}
    value = {environment: joined[environment][0].criterion.score for environment in scales}
    return {
        "scales": {name: (value[name](scale.start), value[name](scale.best)) for name, scale in scales.items()},
        "parents": [verdict(name, parent, runs[name], runs[parent], looks=looks) for name, parent in parents.items()],
        "verdicts": verdicts(names, list(runs.values()), looks=looks),
        "rows": [(name, estimates[name]) for name in order],
        "names": order,
        "scores": figures.final_scores(scores, style, "normalised score"),
        "profile": profile(runs, style),
        "cells": improvements({name: ((), runs[name]) for name in order}) if len(names) > 1 else None,
    }


def number(value: float | None) -> str:
    """Returns a measured number as the report shows it, with digits by its size."""
    if value is None or not np.isfinite(value):
        return "–"
    size = abs(value)
    if 0.0 < size < 0.1:
        return f"{float(value):.3g}".replace("-", "−")
    decimals = 0 if size >= 10_000.0 else 1 if size >= 100.0 else 2 if size >= 1.0 else 3
    return f"{round(float(value), decimals) + 0.0:,.{decimals}f}".replace("-", "−")  # + 0.0: no negative zero


def whole(value: float) -> str:
    """Returns a number of steps as the report shows it."""
    return f"{value:,.0f}" if np.isfinite(value) else "–"
