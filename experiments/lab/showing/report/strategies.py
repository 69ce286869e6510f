"""What contenders play in a small game that is known, of the curves that its judge records: the current and the average policy.

Kuhn poker for two has a family of equilibria. A policy is held against the member that fits it best,

    alpha = argmin sum_I (pi(bet|I) - slope_I alpha - shift_I)^2,  0 <= alpha <= 1/3

and how far it is from that is the largest difference of a probability, over all twelve information sets. Of a game in which each
player chooses once among three actions, the first player's mixtures go over a triangle.
"""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from markupsafe import Markup

from experiments.lab.recording.run_folder import Result
from experiments.lab.showing.plots import dress
from experiments.lab.showing.report.figures import FONTS, GRID, INK, INKED, Style, as_svg, new_panel

WHICH = ("average", "current")
MARK = "policy_{}/"
SMALL, TRIANGLE = (4.2, 2.5), (2.45, 2.3)  # inches
CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 3**0.5 / 2]])  # of the triangle, one an action

# information set: (slope, shift) of the probability of a bet in alpha, in every equilibrium of Kuhn poker for two
KUHN = {
    "0 J: bet": (1.0, 0.0), "0 K: bet": (3.0, 0.0), "0 Q:pb bet": (1.0, 1 / 3), "1 J:p bet": (0.0, 1 / 3),
    "1 Q:b bet": (0.0, 1 / 3), "0 Q: bet": (0.0, 0.0), "0 J:pb bet": (0.0, 0.0), "0 K:pb bet": (0.0, 1.0),
    "1 Q:p bet": (0.0, 0.0), "1 K:p bet": (0.0, 1.0), "1 J:b bet": (0.0, 0.0), "1 K:b bet": (0.0, 1.0),
}  # fmt: skip
SHOWN = {
    "0 J: bet": "first bluffs J: α", "0 K: bet": "first bets K: 3α", "0 Q:pb bet": "first calls, Q: α + ⅓",
    "1 J:p bet": "second bluffs J: ⅓", "1 Q:b bet": "second calls, Q: ⅓",
}  # fmt: skip


class Fit(NamedTuple):
    """A policy of each seed held against the family."""

    alpha: np.ndarray  # [seeds]
    distance: np.ndarray  # [seeds], the largest difference of a probability


def recorded(result: Result, which: str) -> pd.DataFrame:
    """Returns probabilities of what is played, a row for each (env_steps, seed), a column for each choice; empty where none is
    recorded, and where a value is not finite."""
    mark = MARK.format(which)
    rows = result.curves[result.curves.metric.str.startswith(mark)]
    order = [metric.removeprefix(mark) for metric in dict.fromkeys(rows.metric)]
    rows = rows.assign(metric=rows.metric.str.removeprefix(mark))
    return rows.pivot(index=["env_steps", "seed"], columns="metric", values="value").reindex(columns=order).dropna()


def is_strategy(metric: str) -> bool:
    """Returns whether a metric is a probability that `recorded` tells of, and no curve of its own."""
    return metric.startswith(tuple(map(MARK.format, WHICH)))


def final(result: Result, which: str) -> pd.DataFrame:
    """Returns `recorded` at each seed's end, a row a seed."""
    return recorded(result, which).groupby("seed").tail(1).droplevel("env_steps")


def fit(policy: pd.DataFrame) -> Fit:
    """Returns how the policies [seeds, 12] lie to the family of Kuhn poker's equilibria."""
    found = policy[list(KUHN)].to_numpy()
    slope, shift = np.array(list(KUHN.values())).T
    alpha = np.clip((found - shift) @ slope / (slope @ slope), 0.0, 1 / 3)
    return Fit(alpha, np.abs(found - alpha[:, None] * slope - shift).max(1))


def strategies(results: Sequence[Result], style: dict[str, Style]) -> dict | None:
    """Returns the figures of a game's strategies, and of Kuhn poker a table too; None where no game is recorded."""
    ends = {result.name: {which: final(result, which) for which in WHICH} for result in results}
    ends = {name: {which: rows for which, rows in one.items() if len(rows)} for name, one in ends.items()}
    ends = {name: one for name, one in ends.items() if one}
    choices = [set(rows.columns) for one in ends.values() for rows in one.values()]
    if not choices or any(one != choices[0] for one in choices):
        return None
    if choices[0] == set(KUHN):
        panels = [(name, against_family(name, one, style[name])) for name, one in ends.items()]
        rows = [
            {"name": name, "which": which, **over_seeds(fit(rows))}
            for name, one in ends.items()
            for which, rows in one.items()
        ]
        return {"kind": "kuhn", "panels": panels, "rows": rows}
    if len(first(choices[0])) == 3:
        there = [result for result in results if result.name in ends]
        return {
            "kind": "triangle",
            "panels": [(one.name, over_triangle(one, style[one.name])) for one in there],
            "rows": [],
        }
    return None


def over_seeds(found: Fit) -> dict[str, float]:
    """Returns means and bounds over seeds, for a table."""
    alpha, distance = found
    return {"alpha": alpha.mean(), "lowest": alpha.min(), "highest": alpha.max(), "distance": distance.mean(),
            "farthest": distance.max()}  # fmt: skip


def first(choices) -> list[str]:
    """Returns the choices of the first player, where it has one information set; else none."""
    own = [choice for choice in choices if choice.startswith("0 ")]
    return own if len({choice.rpartition(" ")[0] for choice in own}) == 1 else []


def against_family(name: str, policies: dict[str, pd.DataFrame], style: Style) -> Markup:
    """Returns the probabilities that the equilibria tell apart: of the average a disc, of the current policy a ring, means over
    seeds; small, the average of every seed; and as a line across, the equilibrium that fits the average best."""
    with matplotlib.rc_context(FONTS | INKED):
        figure, panel = new_panel(SMALL)
        for which in [which for which in WHICH if which in policies]:
            rows, average = policies[which][list(SHOWN)], which == WHICH[0]
            places = np.arange(len(SHOWN))
            if average or WHICH[0] not in policies:
                slope, shift = np.array([KUHN[choice] for choice in SHOWN]).T
                member = slope * fit(policies[which]).alpha.mean() + shift
                panel.vlines(member, places - 0.38, places + 0.38, color=INK, linewidth=1.6)
                for _, row in rows.iterrows():
                    panel.scatter(row, places + 0.24, s=7, color=style.colour, alpha=0.5, linewidth=0)
            filled = {"color": style.colour} if average else {"facecolors": "none", "edgecolors": style.colour}
            panel.scatter(rows.mean(), places - 0.1 * average, s=48, zorder=3, linewidth=1.5, **filled)
        dress(panel, "probability", "", INK, GRID)
        panel.set_yticks(range(len(SHOWN)), SHOWN.values())
        panel.set(xlim=(-0.03, 1.03), ylim=(len(SHOWN) - 0.45, -0.55))
        return as_svg(figure, f"{name}: its policies beside the equilibria of Kuhn poker")


def over_triangle(result: Result, style: Style) -> Markup:
    """Returns the first player's mixtures at all evaluations: current policies thin, a line a seed, averages thick."""
    with matplotlib.rc_context(FONTS | INKED):
        figure, panel = new_panel(TRIANGLE)
        panel.plot(*np.vstack([CORNERS, CORNERS[:1]]).T, color=INK, linewidth=1.0)
        for which in reversed(WHICH):
            rows, average = recorded(result, which), which == WHICH[0]
            actions = first(rows.columns)
            for _, path in rows.groupby("seed"):
                places = path[actions].to_numpy() @ CORNERS
                panel.plot(
                    *places.T, color=style.colour, linewidth=1.6 if average else 0.6, alpha=0.9 if average else 0.5
                )
                panel.plot(*places[-1], "o" if average else ".", color=style.colour, markersize=4)
        for corner, action, aside in zip(CORNERS, actions, ((0, -12), (0, -12), (0, 5))):
            panel.annotate(
                action.rpartition(" ")[2],
                corner,
                textcoords="offset points",
                xytext=aside,
                ha="center",
                fontsize=8.5,
                color=INK,
            )
        panel.set(aspect="equal", xlim=(-0.1, 1.1), ylim=(-0.14, 1.02))
        panel.axis("off")
        return as_svg(figure, f"{result.name}: the first player's policies over the triangle of mixtures")
