"""Small multiples (Tufte 1990): where bands of many contenders would cover each other, a panel for each, on the same axes, with
the lines of the others in grey behind it."""

from collections.abc import Callable

import pandas as pd
from matplotlib.figure import Figure

from experiments.lab.judging.statistics import iqm
from experiments.lab.showing.lines import (
    GRID,
    INK,
    colour_of,
    draw_band,
    draw_line,
    dress,
    in_thousands,
    line_of,
    on_lines,
)

TOGETHER = 3  # contenders whose bands are told apart in one panel
MOST = 16  # panels; beyond it there is one with lines alone
COLUMNS = 4
OTHERS = "#c4c4c4"

Tables = dict[str, dict[str, pd.DataFrame]]  # environment: contender: values [seeds, env_steps]


def draw_one(panel, name: str, tables: dict[str, pd.DataFrame], colour: str, line: str, grey: str = OTHERS) -> None:
    """Draws a contender's IQM and its 95% interval before the IQMs of the others."""
    for other, values in tables.items():
        if other != name:
            draw_line(panel, values.columns, iqm(values.to_numpy()), "-", color=grey, linewidth=0.9)
    draw_band(panel, tables[name], colour, line, label=name)


def drawn(tables: Tables, names: list[str], titles: dict[str, str], beside: Callable[[str], str]) -> Figure:
    """Returns the picture of a run: a block an environment, a panel a contender. names: in their order, of all environments;
    titles: of environments; beside: what their values are."""
    rows = {environment: -(-len(some) // COLUMNS) for environment, some in tables.items()}
    size = (2.55 * COLUMNS, sum(2.0 * count + 0.7 for count in rows.values()))
    figure = Figure(figsize=size, layout="constrained")
    ratios = [2.0 * count + 0.7 for count in rows.values()]
    blocks = figure.subfigures(len(tables), 1, squeeze=False, height_ratios=ratios)
    for (block,), (environment, some) in zip(blocks, tables.items()):
        _block(block, some, names, rows[environment], beside(environment))
        block.suptitle(titles[environment], color=INK, fontsize=11, x=0.01, ha="left")
    return figure


def _block(block, some: dict[str, pd.DataFrame], names: list[str], rows: int, beside: str) -> None:
    """Draws the panels of one environment."""
    panels = block.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
    for place, (panel, name) in enumerate(zip(panels, some)):
        index = names.index(name)
        draw_one(panel, name, some, colour_of(index), line_of(index))
        dress(panel, "", "", INK, GRID)
        panel.set_title(on_lines(name, 24), color=colour_of(index), fontsize=9.5, loc="left", fontweight="bold")
        panel.xaxis.set_major_formatter(in_thousands())
        panel.tick_params(labelsize=8.5, length=2, labelbottom=place + COLUMNS >= len(some))
    for panel in panels[len(some) :]:
        panel.set_visible(False)
    block.supxlabel("environment steps", color=INK, fontsize=10)
    block.supylabel(beside, color=INK, fontsize=10)
