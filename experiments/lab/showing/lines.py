"""What pictures of runs are drawn with: colours, kinds of lines, bands, a panel's dress. Made without pyplot: a notebook keeps
its backend."""

import numpy as np
import pandas as pd
from matplotlib.ticker import EngFormatter

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


def draw_band(panel, returns: pd.DataFrame, colour: str, line: str, band: bool = True, **named) -> None:
    """Draws the IQM over seeds (rows) at each number of steps (columns), and its 95% interval if there is to be a band."""
    if band:
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


def colour_of(index: int) -> str:
    """Returns the colour of the contender with this place in the list."""
    return COLOURS[index % len(COLOURS)]


def on_lines(name: str, longest: int = 20) -> str:
    """Returns the name a line a word where it is long, as that of a sweep's point is, and longer words on several lines:
    names that were cut could become the same."""
    words = [name] if len(name) <= longest else name.split(" ")
    return "\n".join(word[at : at + longest] for word in words for at in range(0, len(word), longest))


def in_thousands() -> EngFormatter:
    """Returns what writes 20000 as 20k."""
    return EngFormatter(sep="")
