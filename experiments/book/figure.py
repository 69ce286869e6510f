"""What a figure is: curves with intervals over runs, and numbers of the book beside ours."""

from typing import Any, NamedTuple

import numpy as np
from scipy.special import bdtr, stdtrit


class Curve(NamedTuple):
    """What every run gave at each x."""

    label: str
    x: np.ndarray  # [N]
    values: np.ndarray  # [runs, N]
    dashed: bool = False
    colour: int | None = None  # which one; None: one of its own, by its place


class Row(NamedTuple):
    """A number that the book prints, or that was read off its picture, beside ours."""

    what: str
    published: str
    values: np.ndarray  # [runs], whose mean is ours


class Figure(NamedTuple):
    """A figure, and how it is drawn."""

    title: str
    below: str
    beside: str
    curves: list[Curve]
    rows: list[Row]
    limits: tuple[float, float]  # of the axis beside
    exact: dict[str, float] = {}  # levels that are known, by what they are
    book: list[tuple[float, float]] = []  # points of the book's curves
    scale: str = "linear"  # or "log", of the axis beside
    line: str = "-"  # how curves are drawn: "o-" where there are few x
    scale_below: str = "linear"  # or "log", of the axis below
    middle: str = "mean"  # or "median": what of all runs is drawn and told, with its interval


def mean_interval(values) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns (mean, low, high) over runs, axis 0: Student's 95% interval of the mean; inf and NaN where runs diverged."""
    values = np.asarray(values, np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        mean = values.mean(0)
        error = values.std(0, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.full_like(mean, np.nan)
    reach = stdtrit(max(len(values) - 1, 1), 0.975) * error
    return mean, mean - reach, mean + reach


def median_interval(values) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns (median, low, high) over runs, axis 0: the two runs, in order of size, between which the true median lies with
    95% or more, whatever the distribution (as many below it as a fair coin gives); NaN for fewer than the six that takes."""
    values = np.sort(np.asarray(values, np.float64), axis=0)
    beyond = int(np.sum(bdtr(np.arange(len(values)), len(values), 0.5) <= 0.025))  # runs that may lie beyond on a side
    unknown = np.full(values.shape[1:], np.nan)
    low, high = (values[beyond - 1], values[-beyond]) if beyond else (unknown, unknown)
    return np.median(values, axis=0), low, high


INTERVALS = {"mean": mean_interval, "median": median_interval}


def described(figure: Figure) -> dict[str, Any]:
    """Returns the numbers of a figure as plain data."""
    interval, curves, rows = INTERVALS[figure.middle], [], []
    for curve in figure.curves:
        middle, low, high = (x.tolist() for x in interval(curve.values))
        x = np.asarray(curve.x).tolist()
        curves.append({"label": curve.label, "x": x, figure.middle: middle, "low": low, "high": high})
    for row in figure.rows:
        middle, low, high = (float(x) for x in interval(row.values))
        rows.append({"what": row.what, "published": row.published, "ours": middle, "low": low, "high": high})
    return {"title": figure.title, "curves": curves, "comparison": rows, "exact": figure.exact}
