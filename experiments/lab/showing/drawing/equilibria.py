"""How methods come near an equilibrium: NashConv against iterations, Kuhn poker's strategy beside its family of equilibria, and
the path of a game with three actions over the triangle of mixtures."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.lab.showing.lines import BACKGROUND, COLOURS, GRID, INK, dress

CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 3**0.5 / 2]])  # of the triangle, one an action
MARKS = "os^Dv"


def draw(figures: dict[str, Any], path: Path) -> None:
    """Writes the picture of the figures that `experiments.games` found."""
    methods = figures["methods"]
    kuhn = figures["game"] == "kuhn" and figures["players"] == 2
    triangles = list(methods) if len(figures["actions"]) == 3 and all("path" in one for one in methods.values()) else []
    widths = [6.0] + [6.0] * kuhn + [4.2] * len(triangles)
    figure = Figure(figsize=(sum(widths), 4.6), layout="constrained")
    panels = figure.subplots(1, len(widths), squeeze=False, width_ratios=widths)[0]
    draw_gaps(panels[0], figures)
    if kuhn:
        draw_kuhn(panels[1], figures)
    for panel, name in zip(panels[1:], triangles):
        draw_triangle(panel, name, methods[name], figures["actions"])
    figure.savefig(path, dpi=160, facecolor=BACKGROUND)


def draw_gaps(panel, figures: dict[str, Any]) -> None:
    """Draws NashConv of the average, and thin of the policy that is played, against iterations."""
    for (name, one), colour in zip(figures["methods"].items(), COLOURS):
        panel.plot(one["iterations"], one["average"], color=colour, linewidth=2.0, label=f"{name}, average")
        panel.plot(
            one["iterations"], one["current"], color=colour, linewidth=0.9, linestyle="--", label="policy played"
        )
    panel.set_xscale("log")
    gaps = [gap for one in figures["methods"].values() for gap in one["average"] if gap > 0.0]
    if gaps:
        panel.set_yscale("log")
        panel.set_ylim(bottom=0.3 * min(gaps))  # a policy played may be in equilibrium, where nothing is left to draw
    dress(panel, "iterations", "NashConv", INK, GRID)
    panel.set_title(f"{figures['game']}: what the players could gain", loc="left", fontsize=11, color=INK)
    panel.legend(frameon=False, fontsize=8, ncols=2 if len(figures["methods"]) > 2 else 1)


def draw_kuhn(panel, figures: dict[str, Any]) -> None:
    """Draws the probabilities of the equilibria that depend on alpha as lines, and where the methods ended as marks over the
    alpha that fits each best."""
    bet = figures["actions"].index("bet")
    rows = {(player, name): row for row, (player, name) in enumerate(figures["names"])}
    lines = {
        "first bets J: α": ((0, "J:"), 1.0, 0.0), "first bets K: 3α": ((0, "K:"), 3.0, 0.0),
        "first calls with Q: α + 1/3": ((0, "Q:pb"), 1.0, 1 / 3), "second bluffs J: 1/3": ((1, "J:p"), 0.0, 1 / 3),
        "second calls with Q: 1/3": ((1, "Q:b"), 0.0, 1 / 3),
    }  # fmt: skip
    ends = np.array([0.0, 1 / 3])
    policies = {name: np.array(one["policy"])[:, bet] for name, one in figures["methods"].items()}
    slopes, shifts = np.array([line[1:] for line in lines.values()]).T
    for place, (label, (_, slope, shift)) in enumerate(lines.items()):
        style = {"linestyle": (0, (4, 4)) if place == 4 else "-", "color": COLOURS[place]}
        panel.plot(ends, slope * ends + shift, linewidth=1.6, label=label, **style)
    for (name, policy), mark in zip(policies.items(), MARKS):
        found = np.array([policy[rows[row]] for row, _, _ in lines.values()])
        alpha = float(np.clip(slopes @ (found - shifts) / (slopes @ slopes), 0.0, 1 / 3))
        panel.scatter([alpha] * len(found), found, c=COLOURS[: len(found)], marker=mark, s=42, edgecolors=INK, zorder=3)
        panel.plot([], [], mark, color="white", markeredgecolor=INK, label=f"{name}, average: α ≈ {alpha:.3f}")
    dress(panel, "α", "probability", INK, GRID)
    panel.set(ylim=(-0.03, 1.03), xlim=(-0.01, 1 / 3 + 0.01))
    panel.set_title("Kuhn poker: the equilibria (lines), and what was found", loc="left", fontsize=11, color=INK)
    panel.legend(frameon=False, fontsize=8, loc="upper left")


def draw_triangle(panel, name: str, one: dict[str, Any], actions: list[str]) -> None:
    """Draws the first player's policies played as dots, their average as a line that ends in a disc."""
    panel.plot(*np.vstack([CORNERS, CORNERS[:1]]).T, color=INK, linewidth=1.0)
    played, average = (np.array(one["path"][which])[:, 0] @ CORNERS for which in ("current", "average"))
    panel.plot(
        *played.T, color="#999999", linewidth=0.5, marker=".", markersize=3, label="policy played", clip_on=False
    )
    panel.plot(*average.T, color=COLOURS[0], linewidth=1.3, label="average")
    panel.plot(*average[-1], "o", color=COLOURS[0], markersize=5)
    for corner, action, aside in zip(CORNERS, actions, ((0, -14), (0, -14), (0, 6))):
        panel.annotate(action, corner, textcoords="offset points", xytext=aside, ha="center", fontsize=9, color=INK)
    panel.set(aspect="equal", xlim=(-0.08, 1.08), ylim=(-0.12, 1.02))
    panel.axis("off")
    panel.set_title(f"{name}: the first player's\nfirst {len(played)} iterations", loc="left", fontsize=10, color=INK)
    panel.legend(frameon=False, fontsize=8, loc="upper left")
