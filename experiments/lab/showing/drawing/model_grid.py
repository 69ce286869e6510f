"""A finite model on its grid: values as a heat map with numbers, policies as arrows, visits, and where an agent is wrong."""

from pathlib import Path

import numpy as np
from matplotlib import patheffects
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from envs.mdp.model import MDP, terminal_states
from experiments.lab.showing.drawing.model_truth import Side, Truth, directions
from experiments.lab.showing.lines import BACKGROUND, INK

WALL, WRONG = "#8a8a8a", "#D55E00"
MOST_ARROWS = 9  # actions; of more, the number of the action is written
SMALL = 1e-3  # of the largest: less is no visit


def draw(mdp: MDP, truth: Truth, name: str, path: Path) -> None:
    """Writes the picture: the exact solution above, the agent below, if there is one."""
    sides = [("best", truth.best)] + ([("agent", truth.agent)] if truth.agent else [])
    rows, columns = mdp.cell.max(0) + 1
    columns_drawn = 3 if truth.agent else 2
    size = (columns_drawn * (1.2 + max(3.2, 0.75 * columns)), len(sides) * (0.9 + max(2.2, 0.75 * rows)))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(sides), columns_drawn, squeeze=False)
    values, visits = (_range(mdp, [getattr(side, name) for _, side in sides]) for name in ("value", "visits"))
    for row, (who, side) in zip(panels, sides):
        actions = "its greedy actions, red: none of the best" if who == "agent" else "all best actions"
        what = f"{side.value_is}\n{actions}"
        image = heat(figure, row[0], mdp, side.value, what, "viridis", values)
        ends(row[0], mdp)
        arrows(row[0], image, mdp, side, truth.wrong if who == "agent" else np.zeros(mdp.num_states, bool))
        what = f"discounted visits of the {'best' if who == 'best' else 'greedy'} policy"
        heat(figure, row[1], mdp, side.visits, what, "Blues", visits)
    if truth.agent:
        what = "|V − V*|\noutlined: the action is none of the best"
        heat(figure, panels[1][2], mdp, truth.error, what, "Oranges", _range(mdp, [truth.error, 0.0 * truth.error]))
        for row, column in mdp.cell[truth.wrong]:
            edge = {"fill": False, "edgecolor": INK, "linewidth": 2.5}
            panels[1][2].add_patch(Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, **edge))
        panels[0][2].axis("off")
        panels[0][2].text(0.0, 0.95, "\n".join([name, "", *truth.words]), va="top", fontsize=10, color=INK, wrap=True)
    else:
        figure.suptitle(f"{name}: {truth.words[0]}", fontsize=11, color=INK)
    figure.savefig(path, dpi=130, facecolor=BACKGROUND)


def _range(mdp: MDP, several: list[np.ndarray]) -> tuple[float, float]:
    """Returns the least and the greatest number of all, so that a colour means the same in each picture; ends apart."""
    shown = np.stack(several)[:, ~terminal_states(mdp)]
    return float(shown.min(initial=np.inf)), float(shown.max(initial=-np.inf))


def heat(figure, panel, mdp: MDP, values: np.ndarray, title: str, colours: str, limits: tuple[float, float]):
    """Draws a number in the cell of each state and returns the image; what is no state is grey, an end is white."""
    shape, over = tuple(mdp.cell.max(0) + 1), terminal_states(mdp)
    shown = np.full(shape, np.nan)
    shown[tuple(mdp.cell[~over].T)] = values[~over]
    panel.set_facecolor(WALL)
    image = panel.imshow(shown, cmap=colours, aspect="equal", vmin=limits[0], vmax=limits[1])
    largest = np.abs(values[~over]).max(initial=0.0)
    for (row, column), value, ended in zip(mdp.cell, values, over):
        if ended:
            panel.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor="white", edgecolor=WALL))
        elif not (colours == "Blues" and value < SMALL * largest):
            ink = ink_on(image, value)
            panel.text(column, row - 0.2, number(value, largest), ha="center", va="center", fontsize=7, color=ink)
    panel.set_xticks([])
    panel.set_yticks([])
    panel.set_title(title, fontsize=9.5, color=INK, loc="left")
    figure.colorbar(image, ax=panel, shrink=0.8).ax.tick_params(labelsize=7)
    return image


def ends(panel, mdp: MDP) -> None:
    """Writes what reaching an end earns into its cell."""
    for state in np.flatnonzero(terminal_states(mdp)):
        comes = (mdp.successor == state) & (mdp.probability > 0.0)
        comes[state] = False
        row, column = mdp.cell[state]
        earned = f"\n{mdp.reward[comes].mean():g}" if comes.any() else ""
        panel.text(column, row, f"end{earned}", ha="center", va="center", fontsize=7, color=INK)


def ink_on(image, value: float) -> str:
    """Returns the colour that is read best on the colour of a value."""
    red, green, blue, _ = image.cmap(image.norm(value))
    return "white" if 0.3 * red + 0.6 * green + 0.1 * blue < 0.5 else INK


def arrows(panel, image, mdp: MDP, side: Side, wrong: np.ndarray) -> None:
    """Draws an arrow for each action that the policy takes, red where it is none of the best; a dot for one that stays."""
    toward, over = directions(mdp), terminal_states(mdp)
    outline = [patheffects.withStroke(linewidth=3.0, foreground="white")]
    for state, action in np.argwhere(side.policy > 0.0):
        if over[state]:
            continue
        row, column = mdp.cell[state] + [0.18, 0.0]
        colour = WRONG if wrong[state] else ink_on(image, side.value[state])
        if mdp.num_actions > MOST_ARROWS:
            if side.policy[state].argmax() == action:
                panel.text(column, row, f"a{action}", ha="center", va="center", fontsize=6, color=colour)
            continue
        down, right = 0.27 * toward[action]
        if not (down or right):
            panel.plot(column, row, ".", color=colour, markersize=4)
            continue
        style = {
            "arrowstyle": "-|>",
            "color": colour,
            "linewidth": 1.1,
            "shrinkA": 0,
            "shrinkB": 0,
            "mutation_scale": 7,
            "path_effects": outline if wrong[state] else None,
        }
        panel.annotate("", (column + right, row + down), (column, row), arrowprops=style)


def number(value: float, largest: float) -> str:
    """Returns the number with as many decimals as the largest lets a cell hold."""
    decimals = 0 if largest >= 1000.0 else 1 if largest >= 10.0 else 2 if largest >= 0.1 else 3
    return f"{value:.{decimals}f}".replace("-", "−")
