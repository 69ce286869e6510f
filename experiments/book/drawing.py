"""A figure as a picture and as a table."""

from pathlib import Path

from matplotlib.figure import Figure as Canvas
from rich import box
from rich.table import Table

from experiments.book.figure import INTERVALS, Figure
from experiments.lab.showing.lines import BACKGROUND, COLOURS, GRID, INK, dress


def draw(figure: Figure, path: Path) -> None:
    """Draws the mean or median over runs and its 95% interval, what is known exactly as lines, the book's points as stars."""
    canvas = Canvas(figsize=(8.4, 5.2), layout="constrained")
    panel = canvas.subplots()
    for index, curve in enumerate(figure.curves):
        middle, low, high = INTERVALS[figure.middle](curve.values)
        lowest, highest = figure.limits
        in_sight = (lowest <= middle) & (middle <= highest)  # elsewhere runs diverge, and so do intervals
        colour = COLOURS[(index if curve.colour is None else curve.colour) % len(COLOURS)]
        line = figure.line.replace("-", "--") if curve.dashed else figure.line
        panel.fill_between(curve.x, low, high, where=in_sight, color=colour, alpha=0.2, linewidth=0)
        panel.plot(curve.x, middle, line, color=colour, linewidth=1.5, markersize=3.5, label=curve.label)
    for (what, level), line in zip(figure.exact.items(), (":", "-.")):
        panel.axhline(level, color=INK, linewidth=1.0, linestyle=line, label=f"{what}: {level:.6g}")
    if figure.book:
        panel.plot(
            *zip(*figure.book),
            "*",
            color=INK,
            markersize=9,
            linestyle="none",
            label="the book",
            zorder=5,
            clip_on=False,
        )
    dress(panel, figure.below, figure.beside, INK, GRID)
    panel.set_yscale(figure.scale)
    panel.set_xscale(figure.scale_below)
    if figure.scale_below == "log":
        panel.set_xticks(figure.curves[0].x, [f"{x:,g}" for x in figure.curves[0].x])
        panel.minorticks_off()
    panel.set_ylim(*figure.limits)
    runs = len(figure.curves[0].values)
    of_runs = f"   ({runs:,} runs: {figure.middle} and 95% interval)"
    panel.set_title(figure.title + of_runs, loc="left", fontsize=10.5, color=INK)
    beside = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if len(figure.curves) > 3 else {}
    panel.legend(frameon=False, fontsize=9, **beside)
    canvas.savefig(path, dpi=150, facecolor=BACKGROUND)


def table(figure: Figure) -> Table:
    """Returns the numbers of the book beside ours."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=figure.title, title_justify="left")
    for heading in ("", "book", "ours", "95% interval"):
        shown.add_column(heading, justify="left" if not heading else "right")
    for row in figure.rows:
        middle, low, high = INTERVALS[figure.middle](row.values)
        shown.add_row(row.what, row.published, f"{middle:.4g}", f"{low:.4g} to {high:.4g}")
    return shown
