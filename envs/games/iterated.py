"""A game for two, played again and again, by strategies that remember one round: the iterated prisoner's dilemma's classics.

A strategy says what to do first, and what after each outcome of the last round, as its player sees it: own action, the other's.
With R, S, T, P for both cooperate, only the other defects, only oneself does, both do, tit for tat against itself is an equilibrium
where gamma >= (T - R) / (T - P) and gamma >= (T - R) / (R - S), and grim trigger where the first of these holds.
"""

from typing import Any

import numpy as np
from flax import struct

COOPERATE, DEFECT = 0, 1


@struct.dataclass
class MemoryOne:
    """What a player does, as probabilities."""

    first: Any  # [A], in the first round
    after: Any  # [A, B, A], after own action a and the other's b


def deterministic(first: int, after) -> MemoryOne:
    """Returns the strategy that plays `first`, then the action after[own][other]."""
    after = np.asarray(after)
    actions = np.eye(after.shape[0])
    return MemoryOne(actions[first], actions[after])


def check(strategy: MemoryOne, own: int, other: int) -> None:
    """Raises ValueError where the strategy is none of a player with so many actions against one with so many."""
    for name, shape in (("first", (own,)), ("after", (own, other, own))):
        given = np.asarray(getattr(strategy, name))
        if given.shape != shape:
            raise ValueError(f"{name} must be {list(shape)}, not {list(given.shape)}")
        if not ((given >= 0.0).all() and np.allclose(given.sum(-1), 1.0)):
            raise ValueError(f"{name} holds no probabilities: {given.tolist()}")


def always_cooperate() -> MemoryOne:
    """Returns the strategy that always cooperates."""
    return deterministic(COOPERATE, [[COOPERATE, COOPERATE], [COOPERATE, COOPERATE]])


def always_defect() -> MemoryOne:
    """Returns the strategy that always defects."""
    return deterministic(DEFECT, [[DEFECT, DEFECT], [DEFECT, DEFECT]])


def tit_for_tat() -> MemoryOne:
    """Cooperates first, then does what the other did (Axelrod and Hamilton 1981)."""
    return deterministic(COOPERATE, [[COOPERATE, DEFECT], [COOPERATE, DEFECT]])


def grim_trigger() -> MemoryOne:
    """Cooperates until anyone has defected, then never again (Friedman 1971): memory of one round is enough for it."""
    return deterministic(COOPERATE, [[COOPERATE, DEFECT], [DEFECT, DEFECT]])


def win_stay_lose_shift() -> MemoryOne:
    """Does as before where the other cooperated, else the opposite (Nowak and Sigmund 1993)."""
    return deterministic(COOPERATE, [[COOPERATE, DEFECT], [DEFECT, COOPERATE]])
