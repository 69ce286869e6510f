"""What a figure is: curves with intervals over runs, and numbers of the book beside ours."""

from typing import Any, NamedTuple

import numpy as np
from scipy.special import stdtrit


class Curve(NamedTuple):
    """What every run gave at each x."""

    label: str
    x: np.ndarray  # [N]
    values: np.ndarray  # [runs, N]
    dashed: bool = False


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


def mean_interval(values) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns (mean, low, high) over runs, axis 0: Student's 95% interval of the mean; inf and NaN where runs diverged."""
    values = np.asarray(values, np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        mean = values.mean(0)
        error = values.std(0, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.full_like(mean, np.nan)
    reach = stdtrit(max(len(values) - 1, 1), 0.975) * error
    return mean, mean - reach, mean + reach


def described(figure: Figure) -> dict[str, Any]:
    """Returns the numbers of a figure as plain data."""
    curves = []
    for curve in figure.curves:
        mean, low, high = (x.tolist() for x in mean_interval(curve.values))
        curves.append({"label": curve.label, "x": np.asarray(curve.x).tolist(), "mean": mean, "low": low, "high": high})
    rows = []
    for row in figure.rows:
        mean, low, high = (float(x) for x in mean_interval(row.values))
        rows.append({"what": row.what, "published": row.published, "ours": mean, "low": low, "high": high})
    return {"title": figure.title, "curves": curves, "comparison": rows, "exact": figure.exact}
