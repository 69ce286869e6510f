"""The report's figures: inline SVG whose colours are the page's CSS variables, so that light, dark and print all fit.

A figure is drawn at the size it has on a phone, 72 units to the inch; a wide page scales it up.
"""

import re
from collections.abc import Sequence
from hashlib import sha256
from io import StringIO
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from markupsafe import Markup, escape
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from experiments.lab.judging.criterion import criterion_of
from experiments.lab.judging.statistics import Efficiency, Estimate, iqm
from experiments.lab.recording.run_folder import Result
from experiments.lab.showing.lines import COLOURS, draw_band, draw_line, dress, line_of, on_lines
from experiments.lab.showing.multiples import TOGETHER, draw_one
from experiments.lab.showing.plots import Theme, draw_points

PANEL, SMALL = (5.0, 3.2), (2.45, 1.75)  # inches
STEPS = "environment steps"
LOGARITHMIC = 100.0  # positive values that span more than this factor are drawn on a logarithmic scale
INK, GRID, BAD, FAINT = "#fd0001", "#fd0002", "#fd0003", "#fd0004"  # stand for var(--ink), ... until the SVG is made
SERIES = tuple(f"#fd01{index:02x}" for index in range(len(COLOURS)))  # stand for var(--s0), ...
FONTS = {"svg.fonttype": "none", "svg.hashsalt": "evenhand", "font.size": 10.0}
INKED = {name: INK for name in ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")}


class Style(NamedTuple):
    """How a contender is drawn, the same in every figure."""

    colour: str
    line: str


class Score(NamedTuple):
    """A contender's row in a figure of final scores."""

    name: str
    estimate: Estimate
    runs: np.ndarray  # one score a run
    diverged: np.ndarray  # bool, one a run


def styles(names: Sequence[str]) -> dict[str, Style]:
    """Returns a style for each name; seven colours, then the same with another kind of line."""
    return {name: Style(SERIES[index % len(SERIES)], line_of(index)) for index, name in enumerate(names)}


def swatch(style: Style) -> Markup:
    """Returns a short piece of the contender's line, for a legend."""
    dashes = {"-": "none", "--": "7 3", ":": "2 2", "-.": "7 2 2 2"}[style.line]
    line = f'<path d="M0 5H24" style="stroke: {style.colour}; stroke-width: 3; stroke-dasharray: {dashes}"/>'
    return Markup(_themed(f'<svg class="swatch" viewBox="0 0 24 10" aria-hidden="true">{line}</svg>'))


def learning_curves(
    results: Sequence[Result], style: dict[str, Style], seconds: bool = False, bands: bool = True
) -> Markup:
    """Returns the ranking metric against steps: IQM over seeds, and its 95% interval if there are to be bands. seconds:
    against the seconds that a contender ran, all its seeds together; of those that finished."""
    with matplotlib.rc_context(FONTS | INKED):
        figure, panel = new_panel(PANEL)
        for result in results:
            if result.evaluations.size and (result.figures or not seconds):
                draw_band(panel, in_seconds(result) if seconds else result.evaluations, *style[result.name], bands)
        dress(panel, "seconds" if seconds else STEPS, results[0].criterion.words, INK, GRID)
        if not seconds:  # of which 500m would be half a one
            panel.xaxis.set_major_formatter(EngFormatter(sep=""))
        return as_svg(figure, f"Learning curves of all contenders against {'seconds' if seconds else 'steps'}")


def alone(results: Sequence[Result], style: dict[str, Style], limits: tuple[float, float]) -> list[tuple[str, Markup]]:
    """Returns a panel for each contender: IQM over seeds and its 95% interval, before the IQMs of the others."""
    tables, panels = {result.name: result.evaluations for result in results if result.evaluations.size}, []
    for name in tables:
        with matplotlib.rc_context(FONTS | INKED):
            figure, panel = new_panel(SMALL)
            draw_one(panel, name, tables, *style[name], FAINT)
            _dress_small(panel, limits)
            panels.append((name, as_svg(figure, f"{name}: learning curve, those of the others behind it")))
    return panels


def in_seconds(result: Result) -> pd.DataFrame:
    """Returns the evaluations of a contender that finished, by seconds in place of steps; where its folder tells none, the time
    that it ran is spread evenly over its steps."""
    evaluations, seconds = result.evaluations, result.seconds
    if seconds.isna().any():
        seconds = evaluations.columns * (result.figures["run_seconds"] / result.figures["env_steps"])
    return evaluations.set_axis(np.asarray(seconds), axis=1)


def each_seed(result: Result, style: Style, limits: tuple[float, float]) -> Markup:
    """Returns one contender's curves, a line a seed; seeds that diverged in the colour of warnings."""
    with matplotlib.rc_context(FONTS | INKED):
        figure, panel = new_panel(SMALL)
        for seed, returns in result.evaluations.iterrows():
            colour, line = (BAD, ":") if seed in result.diverged else style
            draw_line(panel, returns.index, returns, line, color=colour, linewidth=0.9, alpha=0.8)
        _dress_small(panel, limits)
        return as_svg(figure, f"{result.name}: one line a seed")


def diagnostic(results: Sequence[Result], style: dict[str, Style], metric: str) -> Markup:
    """Returns one training metric against steps: IQM over the seeds that have a value, and their middle half where few share
    the panel."""
    told = [result for result in results if (result.curves.metric == metric).any()]
    with matplotlib.rc_context(FONTS | INKED):
        figure, panel = new_panel(SMALL)
        for result in told:
            values = result.curves[result.curves.metric == metric].groupby("env_steps").value
            if len(values):
                colour, line = style[result.name]
                centre: pd.Series = values.agg(lambda x: float(iqm(x.to_numpy())))
                if len(told) <= TOGETHER:
                    low, high = (values.quantile(share).where(centre.notna()) for share in (0.25, 0.75))
                    panel.fill_between(low.index, low, high, color=colour, alpha=0.18, linewidth=0)
                draw_line(panel, centre.index, centre, line, color=colour, linewidth=1.2)
        _dress_small(panel)
        values = np.concatenate([line.get_ydata() for line in panel.lines if line.get_xdata().size > 1] or [[]])
        values = values[np.isfinite(values)]
        if values.size and values.min() > 0.0 and values.max() > LOGARITHMIC * values.min():
            panel.set_yscale("log")
        return as_svg(figure, f"{metric} of each contender")


def sensitivity(sweep: dict[str, Any]) -> list[tuple[str, Markup]]:
    """Returns each swept setting with the final values of the sweep's points against it: IQM and 95% interval."""
    panels = []
    points = [
        {**point, "settings": {name: _hashable(value) for name, value in point["settings"].items()}}
        for point in sweep["points"]
    ]
    sweep = {**sweep, "points": points}
    for field in points[0]["settings"]:
        with matplotlib.rc_context(FONTS | INKED):
            figure, panel = new_panel((PANEL[0], PANEL[1] + 0.5))
            dress(panel, field, f"final {criterion_of(sweep).words}", INK, GRID)
            panel.margins(x=0.09)
            draw_points(panel, sweep, field, Theme(SERIES, INK, BAD))
            panels.append((field, as_svg(figure, f"Final values of the sweep's points against {field}")))
    return panels


def final_scores(scores: Sequence[Score], style: dict[str, Style], below: str) -> Markup:
    """Returns each contender's score with its interval, and every run as a point; a diverged one is a cross."""
    with matplotlib.rc_context(FONTS | INKED):
        names = [on_lines(score.name) for score in scores]
        row_height = max(0.42, *(0.18 * (name.count("\n") + 1) for name in names))
        figure, panel = new_panel((PANEL[0], 0.9 + row_height * len(scores)))
        finite = np.concatenate([score.runs[np.isfinite(score.runs)] for score in scores])
        leftmost = finite.min() if finite.size else 0.0
        for row, (name, estimate, runs, diverged) in enumerate(scores):
            colour, places = style[name].colour, np.where(np.isfinite(runs), runs, leftmost)
            heights = row + 0.26 + np.zeros(len(runs))
            panel.scatter(places[~diverged], heights[~diverged], s=9, color=colour, alpha=0.55, linewidth=0)
            panel.scatter(places[diverged], heights[diverged], s=26, color=BAD, marker="x", linewidth=1.4)
            panel.plot([estimate.low, estimate.high], [row, row], color=colour, linewidth=6, alpha=0.35)
            panel.plot([estimate.value], [row], "o", color=colour, markersize=7)
        dress(panel, below, "", INK, GRID)
        panel.grid(visible=False, axis="y")
        panel.margins(x=0.03)
        panel.set_yticks(range(len(scores)), names)
        panel.set_ylim(len(scores) - 0.4, -0.6)
        return as_svg(figure, f"{below} of each contender")


def profiles(taus: np.ndarray, shares: dict[str, Estimate], style: dict[str, Style], below: str) -> Markup:
    """Returns the share of runs that are better than each value, with the interval at each where few share the panel."""
    with matplotlib.rc_context(FONTS | INKED):
        figure, panel = new_panel(PANEL)
        for name, share in shares.items():
            colour, line = style[name]
            if len(shares) <= TOGETHER:
                panel.fill_between(taus, share.low, share.high, color=colour, alpha=0.15, linewidth=0, step="post")
            panel.step(taus, share.value, line, where="post", color=colour, linewidth=1.8)
        dress(panel, below, "share of runs better", INK, GRID)
        panel.set_ylim(-0.02, 1.02)
        return as_svg(figure, "Performance profile of each contender")


def reached(efficiencies: dict[str, Efficiency], last: dict[str, int], style: dict[str, Style]) -> Markup:
    """Returns the share of seeds that have reached a score after so many steps; last: where each contender ended."""
    with matplotlib.rc_context(FONTS | INKED):
        figure, panel = new_panel(PANEL)
        for name, efficiency in efficiencies.items():
            colour, line = style[name]
            steps = np.sort(efficiency.steps[np.isfinite(efficiency.steps)])
            share = np.arange(1, len(steps) + 1) / len(efficiency.steps)
            steps, share = [0, *steps, last[name]], [0.0, *share, len(steps) / len(efficiency.steps)]
            panel.step(steps, share, line, where="post", color=colour, linewidth=1.8)
        dress(panel, STEPS, "share of seeds at the score", INK, GRID)
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))
        panel.set_ylim(-0.02, 1.02)
        return as_svg(figure, "Share of seeds that have reached the score")


def new_panel(size: tuple[float, float]):
    """Returns a figure of so many inches, and its one panel."""
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots()


def _dress_small(panel, limits: tuple[float, float] | None = None) -> None:
    dress(panel, "", "", INK, GRID)
    panel.tick_params(labelsize=8.5, length=2)
    panel.xaxis.set_major_formatter(EngFormatter(sep=""))
    panel.xaxis.set_major_locator(MaxNLocator(3))
    panel.yaxis.set_major_locator(MaxNLocator(4))
    if limits:
        panel.set_ylim(*limits)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def as_svg(figure: Figure, label: str) -> Markup:
    """Returns the figure as an SVG element with ids of its own and no size of its own."""
    file = StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = file.getvalue()
    mark = f"f{sha256(text.encode()).hexdigest()[:8]}-"
    body = text[text.index(">", text.index("<svg")) + 1 :]
    body = re.sub(r'(\bid="|url\(#|href="#)', rf"\1{mark}", body)
    width, height = (72.0 * inches for inches in figure.get_size_inches())
    opening = f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">'
    return Markup(_themed(opening + body))


def _themed(svg: str) -> str:
    names = {INK: "ink", GRID: "grid", BAD: "bad", FAINT: "others"} | {
        colour: f"s{index}" for index, colour in enumerate(SERIES)
    }
    for colour, name in names.items():
        svg = svg.replace(colour, f"var(--{name})")
    return svg
