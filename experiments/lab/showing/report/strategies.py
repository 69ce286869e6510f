"""The report's part on what is played in a small game: pictures of each contender, and of Kuhn poker the table of its fits."""

from collections.abc import Sequence

import matplotlib
from markupsafe import Markup

from experiments.lab.recording.run_folder import Result
from experiments.lab.showing.drawing import mixtures
from experiments.lab.showing.report.figures import FONTS, GRID, INK, INKED, Style, as_svg, new_panel
from experiments.lab.showing.strategies import Fit, final, fit, kind, recorded

LABELS = {
    "kuhn": "its policies beside the equilibria of Kuhn poker",
    "triangle": "the first player's policies over the triangle of mixtures",
}


def strategies(results: Sequence[Result], style: dict[str, Style]) -> dict | None:
    """Returns the figures of a game's strategies, and of Kuhn poker a table too; None where no game is recorded."""
    played = {result.name: recorded(result.curves) for result in results}
    played = {name: rows for name, rows in played.items() if rows}
    choices = {frozenset(one.columns) for rows in played.values() for one in rows.values()}
    shown = kind(next(iter(choices))) if len(choices) == 1 else None
    if shown is None:
        return None
    panels = [(name, drawn(name, rows, shown, style[name])) for name, rows in played.items()]
    fits = [
        (name, which, fit(final(one)))
        for name, rows in played.items()
        for which, one in rows.items()
        if shown == "kuhn"
    ]
    return {"kind": shown, "panels": panels, "rows": [row(*one) for one in fits]}


def drawn(name: str, rows: dict, shown: str, style: Style) -> Markup:
    """Returns the picture of one contender."""
    with matplotlib.rc_context(FONTS | INKED):
        figure, panel = new_panel(mixtures.SIZES[shown])
        mixtures.draw(panel, rows, style.colour, INK, GRID)
        return as_svg(figure, f"{name}: {LABELS[shown]}")


def row(name: str, which: str, found: Fit) -> dict:
    """Returns means and bounds over seeds, for the table."""
    alpha, distance = found
    return {"name": name, "which": which, "alpha": alpha.mean(), "lowest": alpha.min(), "highest": alpha.max(),
            "distance": distance.mean(), "farthest": distance.max()}  # fmt: skip
