"""Pictures of a run folder: its curves.csv, and what its sweeps found. Made without pyplot: a notebook keeps its backend."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from matplotlib.transforms import ScaledTranslation

from experiments.lab.definition.sweeps.fields import written
from experiments.lab.definition.sweeps.selection import in_words
from experiments.lab.judging.criterion import Criterion, criterion_of
from experiments.lab.showing import multiples
from experiments.lab.showing.lines import (
    BACKGROUND,
    COLOURS,
    GRID,
    INK,
    colour_of,
    draw_band,
    dress,
    in_thousands,
    line_of,
)

BESIDE = {"frameon": False, "loc": "outside right upper"}  # where a legend covers no curve


class Theme(NamedTuple):
    """The colours that a sweep is drawn in."""

    series: Sequence[str] = COLOURS
    ink: str = INK
    bad: str = "#D55E00"


ON_PAPER = Theme()


def draw_curves(folder: Path, criteria: dict[str, Criterion]) -> Path:
    """Draws the ranking metric against environment steps: IQM over seeds with its 95% interval. A few contenders share a panel,
    one an environment; of more each has its own, before the lines of the others; of very many there are lines alone.

    criteria: of each environment. Returns the path of the picture, curves.png.
    """
    curves = pd.read_csv(folder / "curves.csv")
    curves = curves[curves.metric == curves.environment.map({name: one.metric for name, one in criteria.items()})]
    names = list(dict.fromkeys(curves.algorithm))
    tables = {environment: by_contender(rows) for environment, rows in curves.groupby("environment", sort=False)}
    many, seeds = max(map(len, tables.values())), curves.seed.nunique()
    if multiples.TOGETHER < many <= multiples.MOST:
        titles = {name: f"{name}   ({_seeds(seeds)}; grey: the others)" for name in tables}
        figure = multiples.drawn(tables, names, titles, lambda name: criteria[name].words)
    else:
        figure = _together(tables, names, criteria, seeds, bands=many <= multiples.TOGETHER)
    path = folder / "curves.png"
    figure.savefig(path, dpi=160, facecolor=BACKGROUND)
    return path


def by_contender(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Returns each contender's values, [seeds, env_steps], at the steps where every seed has one."""
    return {
        name: curve.pivot(index="seed", columns="env_steps", values="value").dropna(axis=1)
        for name, curve in rows.groupby("algorithm", sort=False)
    }


def _together(tables, names: list[str], criteria: dict[str, Criterion], seeds: int, bands: bool) -> Figure:
    """Returns a picture with a panel an environment."""
    figure = Figure(figsize=(1.5 + 6.5 * len(tables), 4.6), layout="constrained")
    panels = figure.subplots(1, len(tables), squeeze=False)
    for panel, (environment, some) in zip(panels[0], tables.items()):
        for name, values in some.items():
            index = names.index(name)
            draw_band(panel, values, colour_of(index), line_of(index), bands, label=name)
        panel.set_title(f"{environment}   ({_seeds(seeds, bands)})", color=INK, fontsize=11, loc="left")
        dress(panel, "environment steps", criteria[environment].words, INK, GRID)
        panel.xaxis.set_major_formatter(in_thousands())
    handles = {line.get_label(): line for panel in panels[0] for line in panel.lines if line.get_label() in names}
    figure.legend([handles[name] for name in names if name in handles], [*filter(handles.get, names)], **BESIDE)
    return figure


def _seeds(count: int, bands: bool = True) -> str:
    return f"{count} seeds: IQM{' and 95% interval' if bands else ''}" if count > 1 else "one seed"


def draw_sensitivity(folder: Path, sweeps: dict[str, Any]) -> Path:
    """Draws the final return against each swept setting, a row for each sweep: IQM and 95% interval of every point.

    sweeps: one or more, as `selection.found` returns them. Returns the path of the picture, sensitivity.png.
    """
    rows = [(environment, name, sweep) for environment, some in sweeps.items() for name, sweep in some.items()]
    columns = max(1, *(len(sweep["points"][0]["settings"]) for _, _, sweep in rows))
    size = (1.0 + 5.6 * columns, 0.6 + 4.2 * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for panels, (environment, name, sweep) in zip(grid, rows):
        settings = list(sweep["points"][0]["settings"])
        for panel, field in zip(panels, settings):
            dress(panel, field, f"final {criterion_of(sweep).words}", INK, GRID)
            panel.margins(x=0.09)
            draw_points(panel, sweep, field)
        panels[0].set_title(f"{environment}: {name}   (IQM and 95% interval)", color=INK, fontsize=11, loc="left")
        for panel in panels[len(settings) :]:
            panel.set_visible(False)
    path = folder / "sensitivity.png"
    figure.savefig(path, dpi=160, facecolor=BACKGROUND)
    return path


def draw_points(panel, sweep: dict[str, Any], field: str, theme: Theme = ON_PAPER) -> None:
    """Draws a sweep's points against one of its settings. A line joins those that differ in nothing else."""
    best, points = sweep["points"][0], sorted(sweep["points"], key=_by_settings)
    place = set_scale(panel, [point["settings"][field] for point in points])
    lines: dict[str, list[dict[str, Any]]] = {}
    for point in points:
        others = [f"{key}={written(value)}" for key, value in point["settings"].items() if key != field]
        lines.setdefault(", ".join(others), []).append(point)
    told_apart = 1 < len(lines) <= len(theme.series) and len(lines) < len(points)
    selecting, best_aside = f"selection, {in_words(sweep['selection_seeds'])}", 0.0
    for index, (others, line) in enumerate(lines.items()):
        colour = theme.series[index if told_apart else 0]
        aside = (
            6.0 * (index - (len(lines) - 1) / 2) if told_apart else 0.0
        )  # so that intervals do not lie on each other
        label = others if told_apart else selecting if index == 0 else None
        at = [place(point["settings"][field]) for point in line]
        draw_estimates(panel, at, line, colour, aside, theme.bad, label=label)
        best_aside = aside if best in line else best_aside
    at, ring = [place(best["settings"][field])], {"markersize": 13, "fillstyle": "none", "linestyle": "none"}
    panel.plot(
        at, [_height(best)], "o", color=theme.ink, transform=_moved(panel, best_aside), label="best of them", **ring
    )
    if sweep["report"]:
        label = f"the best again, {in_words(sweep['report_seeds'])}"
        draw_estimates(panel, at, [sweep["report"]], theme.ink, best_aside + 12.0, theme.bad, label=label, marker="D")
    below = {"loc": "upper left", "bbox_to_anchor": (0.0, -0.14), "ncols": 2, "frameon": False, "fontsize": 8}
    panel.legend(title=selecting if told_apart else None, title_fontsize=8, alignment="left", **below)


def draw_estimates(panel, places, estimates, colour: str, aside: float, bad: str, marker: str = "o", **named) -> None:
    """Draws IQMs with their intervals, joined, `aside` points to the right of where they belong; a cross at the foot of
    each that a seed diverged under. One that is not finite leaves a gap."""
    heights = np.array([_height(one) for one in estimates])
    bounds = np.array([one["ci95"] for one in estimates], np.float64)
    reach = np.nan_to_num(np.abs(bounds - heights[:, None])).T
    where = _moved(panel, aside)
    panel.errorbar(
        places, heights, yerr=reach, fmt=f"{marker}-", color=colour, linewidth=1.4, elinewidth=1.0, capsize=3,
        markersize=5, transform=where, **named,
    )  # fmt: skip
    for reached in (heights - reach[0], heights + reach[1]):  # what is moved aside does not stretch the axes by itself
        panel.update_datalim(np.column_stack([np.asarray(places, float), reached]))
    panel.autoscale_view()
    diverged = [place for place, one in zip(places, estimates) if one["diverged_seeds"]]
    if diverged:
        bottom = {"transform": panel.get_xaxis_transform(), "clip_on": False}
        panel.plot(diverged, [0.03] * len(diverged), "x", color=bad, markersize=9, label="seeds diverged", **bottom)


def set_scale(panel, values: list) -> Callable[[Any], float]:
    """Gives the panel an axis that suits the values, marked at each where there is room, and returns where a value lies.

    Logarithmic where the values, 0 left out, are spaced more evenly by ratios; in order where they are no numbers.
    """
    distinct = list(dict.fromkeys(values))
    if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in distinct):
        panel.set_xticks(range(len(distinct)), [written(value) for value in distinct])
        return distinct.index
    positive = sorted(value for value in distinct if value > 0)
    if min(distinct) >= 0 and log_spaced(positive):
        panel.set_xscale("symlog", linthresh=positive[0], linscale=0.5) if 0 in distinct else panel.set_xscale("log")
    along = np.sort(panel.xaxis.get_transform().transform(np.array(distinct, float)))
    if np.diff(along).min() > 0.08 * np.ptp(along):  # room for every value to be written
        panel.set_xticks(distinct, [written(value) for value in distinct])
        panel.set_xticks([], minor=True)
    elif panel.get_xscale() == "log":
        panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if np.ptp(along) < 3.0 else (1.0,)))
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        panel.xaxis.set_minor_formatter(NullFormatter())
    return float


def log_spaced(positive: list[float]) -> bool:
    """Returns whether the numbers, in order, are spaced more evenly by ratios than by differences; two: a decade apart."""
    if len(positive) < 3:
        return len(positive) == 2 and positive[1] >= 10 * positive[0]
    gaps = [np.diff(scale) for scale in (np.log(positive), np.asarray(positive, float))]
    by_ratio, by_difference = (gap.std() / gap.mean() for gap in gaps)
    return bool(by_ratio < by_difference)


def _by_settings(point: dict[str, Any]) -> list[tuple[float, str]]:
    values = point["settings"].values()
    return [(float(value), "") if isinstance(value, (int, float)) else (0.0, written(value)) for value in values]


def _height(estimate: dict[str, Any]) -> float:
    return np.nan if estimate["iqm"] is None else estimate["iqm"]


def _moved(panel, points: float):
    return panel.transData + ScaledTranslation(points / 72.0, 0.0, panel.figure.dpi_scale_trans)
