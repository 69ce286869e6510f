"""What contenders play in a small game that is known, from the curves that its judge records: the current and the average policy.

Kuhn poker for two has a family of equilibria. A policy is held against the member that fits it best,

    alpha = argmin sum_I (pi(bet|I) - slope_I alpha - shift_I)^2,  0 <= alpha <= 1/3

and how far it is from that is the largest difference of a probability, over all twelve information sets. Of a game in which each
player chooses once among three actions, the first player's mixtures go over a triangle.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd

AVERAGE, CURRENT = WHICH = ("average", "current")
MARK = "policy_{}/"

# information set: (slope, shift) of the probability of a bet in alpha, in every equilibrium of Kuhn poker for two
KUHN = {
    "0 J: bet": (1.0, 0.0), "0 K: bet": (3.0, 0.0), "0 Q:pb bet": (1.0, 1 / 3), "1 J:p bet": (0.0, 1 / 3),
    "1 Q:b bet": (0.0, 1 / 3), "0 Q: bet": (0.0, 0.0), "0 J:pb bet": (0.0, 0.0), "0 K:pb bet": (0.0, 1.0),
    "1 Q:p bet": (0.0, 0.0), "1 K:p bet": (0.0, 1.0), "1 J:b bet": (0.0, 0.0), "1 K:b bet": (0.0, 1.0),
}  # fmt: skip


class Fit(NamedTuple):
    """A policy of each seed held against the family."""

    alpha: np.ndarray  # [seeds]
    distance: np.ndarray  # [seeds], the largest difference of a probability


def is_strategy(metric: str) -> bool:
    """Returns whether a metric is a probability that `recorded` tells of, and no curve of its own."""
    return metric.startswith(tuple(map(MARK.format, WHICH)))


def recorded(curves: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Returns one contender's policies, those of `WHICH` that its curves have, in finite numbers: a row for each (env_steps,
    seed), a column for each choice."""
    found = {}
    for which in WHICH:
        mark = MARK.format(which)
        rows = curves[curves.metric.str.startswith(mark)]
        rows = rows.assign(metric=rows.metric.str.removeprefix(mark))
        order = list(dict.fromkeys(rows.metric))
        rows = rows.pivot(index=["env_steps", "seed"], columns="metric", values="value")[order].dropna()
        if len(rows):
            found[which] = rows
    return found


def final(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns each seed's last row of a policy as `recorded` gives it, by seed."""
    return rows.groupby("seed").tail(1).droplevel("env_steps")


def kind(choices: Iterable[str]) -> str | None:
    """Returns how a game with these choices is shown: "kuhn", "triangle", or not at all."""
    if set(choices) == set(KUHN):
        return "kuhn"
    return "triangle" if len(first(choices)) == 3 else None


def first(choices: Iterable[str]) -> list[str]:
    """Returns the choices of the first player, where it has one information set; else none."""
    own = [choice for choice in choices if choice.startswith("0 ")]
    return own if len({choice.rpartition(" ")[0] for choice in own}) == 1 else []


def fit(policy: pd.DataFrame) -> Fit:
    """Returns how policies, a row each, lie to the family of Kuhn poker's equilibria."""
    found = policy[list(KUHN)].to_numpy()
    slope, shift = np.array(list(KUHN.values())).T
    alpha = np.clip((found - shift) @ slope / (slope @ slope), 0.0, 1 / 3)
    return Fit(alpha, np.abs(found - alpha[:, None] * slope - shift).max(1))
