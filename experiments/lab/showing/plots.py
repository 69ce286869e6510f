"""Pictures of a run folder: its curves.csv, and what its sweeps found. Made without pyplot: a notebook keeps its backend."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter
from matplotlib.transforms import ScaledTranslation

from experiments.lab.definition.sweeps.fields import written
from experiments.lab.definition.sweeps.selection import in_words
from experiments.lab.judging.criterion import Criterion, criterion_of
from experiments.lab.judging.statistics import iqm, iqm_interval

COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
)  # Okabe and Ito: told apart by all
LINES = ("-", "--", ":", "-.")  # the colours begin again with the next kind of line
BACKGROUND, INK, GRID = "white", "#222222", "#dddddd"
BESIDE = {"frameon": False, "loc": "outside right upper"}  # where a legend covers no curve


def draw_curves(folder: Path, criteria: dict[str, Criterion]) -> Path:
    """Draws the ranking metric against environment steps, one panel an environment: IQM over seeds with its 95% interval.

    criteria: of each environment. Returns the path of the picture, curves.png.
    """
    curves = pd.read_csv(folder / "curves.csv")
    curves = curves[curves.metric == curves.environment.map({name: one.metric for name, one in criteria.items()})]
    environments = list(dict.fromkeys(curves.environment))
    names = list(dict.fromkeys(curves.algorithm))
    figure = Figure(figsize=(1.5 + 6.5 * len(environments), 4.6), layout="constrained")
    panels = figure.subplots(1, len(environments), squeeze=False)
    for panel, environment in zip(panels[0], environments):
        of_environment = curves[curves.environment == environment]
        for index, name in enumerate(names):
            curve = of_environment[of_environment.algorithm == name]
            if not curve.empty:
                returns = curve.pivot(index="seed", columns="env_steps", values="value").dropna(axis=1)
                draw_band(panel, returns, COLOURS[index % len(COLOURS)], line_of(index), label=name)
        panel.set_title(f"{environment}   ({_seeds(curves.seed.nunique())})", color=INK, fontsize=11, loc="left")
        dress(panel, "environment steps", criteria[environment].words, INK, GRID)
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))
    handles = {line.get_label(): line for panel in panels[0] for line in panel.lines if line.get_label() in names}
    figure.legend([handles[name] for name in names if name in handles], [*filter(handles.get, names)], **BESIDE)
    path = folder / "curves.png"
    figure.savefig(path, dpi=160, facecolor=BACKGROUND)
    return path


def draw_band(panel, returns: pd.DataFrame, colour: str, line: str, **named) -> None:
    """Draws the IQM over seeds (rows) at each number of steps (columns) and its 95% interval."""
    low, high = iqm_interval(returns.to_numpy())
    panel.fill_between(returns.columns, low, high, color=colour, alpha=0.18, linewidth=0)
    draw_line(panel, returns.columns, iqm(returns.to_numpy()), line, color=colour, linewidth=1.8, **named)


def draw_line(panel, places, heights, line: str, **named) -> None:
    """Draws a line; a single value that is finite, of which no line can be seen, as a point."""
    alone = np.isfinite(np.asarray(heights, float)).sum() == 1
    panel.plot(places, heights, line, marker="o" if alone else None, markersize=4, **named)


def dress(panel, below: str, beside: str, ink: str, grid: str) -> None:
    """Gives the panel its labels, a light grid and no box."""
    panel.set_xlabel(below, color=ink)
    panel.set_ylabel(beside, color=ink)
    panel.grid(color=grid, linewidth=0.6)
    panel.set_axisbelow(True)
    panel.margins(x=0.01)
    panel.spines[["top", "right"]].set_visible(False)


def line_of(index: int) -> str:
    """Returns the kind of line of the contender with this place in the list."""
    return LINES[index // len(COLOURS) % len(LINES)]


def _seeds(count: int) -> str:
    return f"{count} seeds: IQM and 95% interval" if count > 1 else "one seed"


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


def draw_points(panel, sweep: dict[str, Any], field: str) -> None:
    """Draws a sweep's points against one of its settings. A line joins those that differ in nothing else."""
    best, points = sweep["points"][0], sorted(sweep["points"], key=_by_settings)
    place = set_scale(panel, [point["settings"][field] for point in points])
    lines: dict[str, list[dict[str, Any]]] = {}
    for point in points:
        others = [f"{key}={written(value)}" for key, value in point["settings"].items() if key != field]
        lines.setdefault(", ".join(others), []).append(point)
    told_apart = 1 < len(lines) <= len(COLOURS) and len(lines) < len(points)
    selecting, best_aside = f"selection, {in_words(sweep['selection_seeds'])}", 0.0
    for index, (others, line) in enumerate(lines.items()):
        colour = COLOURS[index] if told_apart else COLOURS[0]
        aside = (
            6.0 * (index - (len(lines) - 1) / 2) if told_apart else 0.0
        )  # so that intervals do not lie on each other
        label = others if told_apart else selecting if index == 0 else None
        draw_estimates(panel, [place(point["settings"][field]) for point in line], line, colour, aside, label=label)
        best_aside = aside if best in line else best_aside
    at, ring = [place(best["settings"][field])], {"markersize": 13, "fillstyle": "none", "linestyle": "none"}
    panel.plot(at, [_height(best)], "o", color=INK, transform=_moved(panel, best_aside), label="best of them", **ring)
    if sweep["report"]:
        label = f"the best again, {in_words(sweep['report_seeds'])}"
        draw_estimates(panel, at, [sweep["report"]], INK, best_aside + 12.0, label=label, marker="D")
    below = {"loc": "upper left", "bbox_to_anchor": (0.0, -0.14), "ncols": 2, "frameon": False, "fontsize": 8}
    panel.legend(title=selecting if told_apart else None, title_fontsize=8, alignment="left", **below)


def draw_estimates(panel, places, estimates, colour: str, aside: float, marker: str = "o", **named) -> None:
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
        panel.plot(
            diverged, [0.03] * len(diverged), "x", color="#D55E00", markersize=9, label="seeds diverged", **bottom
        )


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
