"""Strategies of small games as pictures: Kuhn poker's beside an equilibrium, mixtures of three actions over a triangle; and how
they change as a run goes on, as the frames of a GIF."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from experiments.lab.showing import strategies
from experiments.lab.showing.drawing import film
from experiments.lab.showing.lines import BACKGROUND, COLOURS, GRID, INK, dress
from experiments.lab.showing.strategies import AVERAGE, CURRENT, KUHN

CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 3**0.5 / 2]])  # of the triangle, one an action
SIZES = {"kuhn": (4.2, 2.5), "triangle": (2.45, 2.3)}  # inches
SHOWN = {
    "0 J: bet": "first bluffs J: α", "0 K: bet": "first bets K: 3α", "0 Q:pb bet": "first calls, Q: α + ⅓",
    "1 J:p bet": "second bluffs J: ⅓", "1 Q:b bet": "second calls, Q: ⅓",
}  # fmt: skip
FRAME, LAST = 250, 2500  # milliseconds


def draw(panel, rows: dict[str, pd.DataFrame], colour: str, ink: str = INK, grid: str = GRID) -> None:
    """Draws a contender's policies, as `strategies.recorded` gives them, in the way of their game."""
    choices = next(iter(rows.values())).columns
    if strategies.kind(choices) == "kuhn":
        draw_family(panel, {which: strategies.final(one) for which, one in rows.items()}, colour, ink, grid)
    else:
        draw_triangle(panel, rows, colour, ink)


def draw_family(panel, policies: dict[str, pd.DataFrame], colour: str, ink: str, grid: str) -> None:
    """Draws the probabilities that the equilibria tell apart: of the average a disc, of the current policy a ring, means over
    seeds; small, the average of every seed; and as lines across, the equilibrium that fits the average best."""
    places, judged = np.arange(len(SHOWN)), policies.get(AVERAGE, policies.get(CURRENT))
    slope, shift = np.array([KUHN[choice] for choice in SHOWN]).T
    member = slope * strategies.fit(judged).alpha.mean() + shift
    panel.vlines(member, places - 0.38, places + 0.38, color=ink, linewidth=1.6)
    for _, row in judged[list(SHOWN)].iterrows():
        panel.scatter(row, places + 0.24, s=7, color=colour, alpha=0.5, linewidth=0)
    for which, rows in policies.items():
        look = {"color": colour} if which == AVERAGE else {"facecolors": "none", "edgecolors": colour}
        panel.scatter(
            rows[list(SHOWN)].mean(), places - 0.1 * (which == AVERAGE), s=48, zorder=3, linewidth=1.5, **look
        )
    dress(panel, "probability", "", ink, grid)
    panel.set_yticks(range(len(SHOWN)), SHOWN.values())
    panel.set(xlim=(-0.03, 1.03), ylim=(len(SHOWN) - 0.45, -0.55))


def draw_triangle(panel, rows: dict[str, pd.DataFrame], colour: str, ink: str) -> None:
    """Draws the first player's mixtures at all evaluations: current policies thin, a line a seed, averages thick."""
    actions = strategies.first(next(iter(rows.values())).columns)
    panel.plot(*np.vstack([CORNERS, CORNERS[:1]]).T, color=ink, linewidth=1.0)
    for which in reversed(rows):
        width, opacity, mark = (1.6, 0.9, "o") if which == AVERAGE else (0.6, 0.5, ".")
        for _, path in rows[which].groupby("seed"):
            places = path[actions].to_numpy() @ CORNERS
            panel.plot(*places.T, color=colour, linewidth=width, alpha=opacity)
            panel.plot(*places[-1], mark, color=colour, markersize=4)
    for corner, action, aside in zip(CORNERS, actions, ((0, -12), (0, -12), (0, 5))):
        word = action.rpartition(" ")[2]
        panel.annotate(word, corner, textcoords="offset points", xytext=aside, ha="center", fontsize=8.5, color=ink)
    panel.set(aspect="equal", xlim=(-0.1, 1.1), ylim=(-0.14, 1.02))
    panel.axis("off")


def frames(
    heading: str, titles: Sequence[str], columns: int, played: Sequence[dict[str, pd.DataFrame]]
) -> Iterator[Image.Image]:
    """Yields a picture for each evaluation of a run, a panel for each of `played`: one contender's policies under one seed."""
    for steps in evaluations(played):
        panels = []
        for title, colour, rows in zip(titles, COLOURS * len(titles), played):
            so_far = {which: one[one.index.get_level_values("env_steps") <= steps] for which, one in rows.items()}
            so_far = {which: one for which, one in so_far.items() if len(one)}
            panels.append(film.Panel(title, note(so_far), picture(so_far, colour)))
        yield film.frame(heading, f"{steps:,} steps", panels, columns)


def evaluations(played: Sequence[dict[str, pd.DataFrame]]) -> list[int]:
    """Returns after how many steps anything was recorded, in order, from where all have been."""
    reached = [sorted({steps for one in rows.values() for steps, _ in one.index}) for rows in played]
    begin = max(steps[0] for steps in reached)
    return [steps for steps in sorted(set().union(*reached)) if steps >= begin]


def note(rows: dict[str, pd.DataFrame]) -> str:
    """Returns in words which equilibrium of Kuhn poker a panel shows; of another game, what the lines are."""
    which, last = next((which, strategies.final(one)) for which, one in rows.items())
    if strategies.kind(last.columns) != "kuhn":
        return "average thick, current thin"
    found = strategies.fit(last)
    return f"{which}: alpha {found.alpha[0]:.3f}, {found.distance[0]:.3f} away"


def picture(rows: dict[str, pd.DataFrame], colour: str) -> Image.Image:
    """Returns one panel as an image."""
    figure = Figure(figsize=SIZES[strategies.kind(next(iter(rows.values())).columns)], layout="constrained", dpi=110)
    figure.set_facecolor(BACKGROUND)
    draw(figure.subplots(), rows, colour)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])


def durations(number: int) -> list[int]:
    """Returns how long each of so many frames is shown, milliseconds: the last one longest."""
    return [FRAME] * (number - 1) + [LAST]
