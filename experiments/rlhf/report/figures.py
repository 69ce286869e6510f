"""The pipeline report's figures, as the lab's report draws its own."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.ticker import EngFormatter, PercentFormatter
from scipy.stats import binomtest

from experiments.lab.judging.statistics import iqm
from experiments.lab.showing.lines import draw_band, dress
from experiments.lab.showing.report.figures import FONTS, GRID, INK, INKED, PANEL, SERIES, Style, as_svg, new_panel
from experiments.rlhf.frontier import ENOUGH

GREY = "#8a8f94"
CURVE = (3.6, 2.7)  # inches


def against_steps(
    curves: pd.DataFrame, metric: str, words: str, styles: dict[str, Style], before: float | None = None
) -> Markup:
    """Returns a metric of evaluations against tokens: IQM over seeds and its 95% interval. before: the reference's."""
    with matplotlib.rc_context(FONTS | INKED):
        figure, panel = new_panel(CURVE)
        for name, style in styles.items():
            own = curves[(curves.algorithm == name) & (curves.metric == metric)]
            if len(own):
                draw_band(panel, own.pivot(index="seed", columns="env_steps", values="value").dropna(axis=1), *style)
        if before is not None:
            panel.axhline(before, color=GREY, linewidth=1.0, linestyle=":")
        dress(panel, "tokens, ends and padding included", words, INK, GRID)
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))
        return as_svg(figure, f"{words} of each contender")


def frontier(summary: dict[str, Any], curves: pd.DataFrame, styles: dict[str, Style], gain: str) -> Markup:
    """Returns the gain, `proxy` or `gold`, against the divergence: contenders with their intervals over seeds and the way
    that each went, the optimum, best of n; for gold, what the correlation foretold."""
    with matplotlib.rc_context(FONTS | INKED):
        figure, panel = new_panel(PANEL)
        sure = [point for point in summary["optimum"] if point["effective_samples"] >= ENOUGH]
        guessed = summary["optimum"][max(len(sure) - 1, 0) :]
        reach = 1.08 * furthest(summary)
        panel.plot(*_columns(sure, gain), "-", color=INK, linewidth=2.0)
        panel.plot(*_columns(guessed, gain), ":", color=INK, linewidth=2.0)
        panel.plot(*_columns(summary["best_of_n"], gain), "--", color=GREY, linewidth=1.5, marker=".")
        if gain == "gold":
            kl = np.linspace(0.0, reach, 80)
            panel.plot(
                kl, summary["predicted_slope"]["gold_gain_per_root_two_kl"] * np.sqrt(2.0 * kl), "-.", color=GREY
            )
        for name, found in summary["contenders"].items():
            colour, _ = styles[name]
            panel.plot(*way(summary, curves, name, gain), "-", color=colour, linewidth=1.0, alpha=0.6)
            at = found["kl"]["iqm"], found[f"{gain}_gain"]["iqm"]
            bars = [_reach(found["kl"]), _reach(found[f"{gain}_gain"])]
            panel.errorbar(*at, xerr=bars[0], yerr=bars[1], fmt="o", color=colour, markersize=6, capsize=3, zorder=5)
        panel.axhline(0.0, color=INK, linewidth=0.6)
        panel.set_xlim(0.0, reach)
        dress(panel, "KL(policy || reference), nats an answer", f"{gain} reward above the reference's", INK, GRID)
        panel.margins(x=0.0)
        return as_svg(figure, f"{gain} gain against divergence")


def calibration(points: Sequence[Sequence[float]]) -> Markup:
    """Returns what share of pairs came as they were foretold, by the probability that was said; area: how many pairs."""
    with matplotlib.rc_context(FONTS | INKED):
        figure, panel = new_panel(CURVE)
        said, came, number = (np.array(column) for column in zip(*points))
        panel.plot([0, 1], [0, 1], "-", color=GREY, linewidth=1.0)
        reach = np.abs(intervals(came, number) - came)
        panel.errorbar(said, came, yerr=reach, fmt="none", color=INK, linewidth=1.0)
        panel.scatter(
            said, came, s=12.0 + 150.0 * number / number.max(), color=SERIES[0], alpha=0.75, linewidth=0, zorder=3
        )
        dress(panel, "probability that was said", "share that came", INK, GRID)
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_formatter(PercentFormatter(1.0))
        panel.set_xlim(0.0, 1.0)
        panel.set_ylim(0.0, 1.0)
        return as_svg(figure, "Calibration of the reward model")


def intervals(share: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Returns Wilson's 95% intervals of shares of so many, [2, N]."""
    counted = [
        binomtest(round(one * many), int(many)).proportion_ci(method="wilson") for one, many in zip(share, number)
    ]
    return np.array([[one.low for one in counted], [one.high for one in counted]])


def over_optimisation(summary: dict[str, Any], curves: pd.DataFrame, styles: dict[str, Style]) -> Markup:
    """Returns the gold gain against the proxy's, on the way of each contender, beside what the correlation foretold."""
    with matplotlib.rc_context(FONTS | INKED):
        figure, panel = new_panel(PANEL)
        furthest_proxy = 0.0
        for name in summary["contenders"]:
            colour, line = styles[name]
            proxy, gold = way(summary, curves, name, "proxy")[1], way(summary, curves, name, "gold")[1]
            panel.plot(proxy, gold, line, color=colour, marker="o", markersize=3, linewidth=1.6)
            furthest_proxy = max(furthest_proxy, float(np.nanmax(proxy)))
        foretold = summary["predicted_slope"]["gold_gain_per_proxy"]
        panel.plot([0.0, furthest_proxy], [0.0, foretold * furthest_proxy], "-.", color=GREY)
        panel.axhline(0.0, color=INK, linewidth=0.6)
        dress(panel, "proxy reward above the reference's", "gold reward above the reference's", INK, GRID)
        return as_svg(figure, "Gold gain against proxy gain")


def way(summary: dict[str, Any], curves: pd.DataFrame, name: str, gain: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns (divergences, gains) at a contender's evaluations, IQM over seeds."""
    own = (
        curves[curves.algorithm == name].groupby(["metric", "env_steps"]).value.agg(lambda x: float(iqm(x.to_numpy())))
    )
    before = summary["reference"][f"{gain}_reward"]
    return own["kl_to_reference"].to_numpy(), own[f"{gain}_reward"].to_numpy() - before


def furthest(summary: dict[str, Any]) -> float:
    """Returns the largest divergence that is to be seen."""
    ends = [found["kl"]["iqm"] for found in summary["contenders"].values()]
    ends += [found["kl"]["ci95"][1] for found in summary["contenders"].values()]
    ends += [point["kl"] for point in (*summary["optimum"][-1:], *summary["best_of_n"][-1:])]
    return max([1.0, *(end for end in ends if end is not None and np.isfinite(end))])


def _columns(points: Sequence[dict[str, float]], gain: str) -> tuple[list[float], list[float]]:
    return [point["kl"] for point in points], [point[f"{gain}_gain"] for point in points]


def _reach(estimate: dict[str, Any]) -> np.ndarray:
    bounds = np.array([[np.nan if bound is None else bound] for bound in estimate["ci95"]], float)
    return np.nan_to_num(np.abs(bounds - estimate["iqm"]))
