"""Games in normal form: everyone chooses at once, and an array says what each is paid.

payoff[p, a_1, ..., a_N]    what player p earns when player q plays a_q
"""

from typing import NamedTuple

import numpy as np

from envs.games.build import Decision, End, from_function
from envs.games.tree import GameTree


class MatrixGame(NamedTuple):
    """N players who choose at once."""

    payoff: np.ndarray  # [N, A_1, ..., A_N]
    actions: tuple[tuple[str, ...], ...]  # names, of each player's


def from_arrays(payoff, actions=None) -> MatrixGame:
    """Returns the game of payoffs [N, A_1, ..., A_N]. Raises ValueError that names what cannot be."""
    try:
        payoff = np.asarray(payoff, np.float64)
    except (ValueError, TypeError):
        raise ValueError("payoffs must be one table of numbers for each player, all of one shape") from None
    players = payoff.ndim - 1
    if players < 1 or payoff.shape[0] != players or not payoff.size:
        raise ValueError(f"payoffs of N players have the shape [N, A_1, ..., A_N], not {list(payoff.shape)}")
    if not np.isfinite(payoff).all():
        place = np.argwhere(~np.isfinite(payoff))[0]
        raise ValueError(f"payoff of player {place[0]} at {place[1:].tolist()} is not finite: {payoff[tuple(place)]}")
    if actions is None:
        actions = [[str(action) for action in range(size)] for size in payoff.shape[1:]]
    actions = tuple(tuple(map(str, names)) for names in actions)
    if tuple(map(len, actions)) != payoff.shape[1:]:
        raise ValueError(f"there are names of {[*map(len, actions)]} actions, and payoffs of {list(payoff.shape[1:])}")
    twice = [names for names in actions if len(set(names)) < len(names)]
    if twice:
        raise ValueError(f"actions of one player need unlike names, not {', '.join(twice[0])}")
    return MatrixGame(payoff, actions)


def from_description(described) -> MatrixGame:
    """Returns the game of a mapping, as a JSON file holds it: {"payoffs": [table of the first player, ...], "actions": [[names], ...]},
    each table nested lists [A_1][A_2]..., "actions" as one likes. Raises ValueError, in one line, for another."""
    if not isinstance(described, dict) or "payoffs" not in described:
        raise ValueError('a game in normal form is {"payoffs": [a table for each player], "actions": [names, ...]}')
    unknown = sorted(set(described) - {"payoffs", "actions"})
    if unknown:
        raise ValueError(f"{unknown[0]!r} is unknown; there may be payoffs and actions")
    return from_arrays(described["payoffs"], described.get("actions"))


def zero_sum(payoff, actions=None) -> MatrixGame:
    """Returns the game of two in which one wins what the other loses, of the first one's payoffs [A_1, A_2]."""
    payoff = np.asarray(payoff, np.float64)
    return from_arrays([payoff, -payoff], actions)


def symmetric(payoff, actions) -> MatrixGame:
    """Returns the game of two that looks the same from both sides, of the first one's payoffs [A, A]."""
    return from_arrays([payoff, np.transpose(payoff)], [actions, actions])


def as_tree(game: MatrixGame) -> GameTree:
    """Returns the game as a tree: one player after another, each without seeing what the others did. Row p of a policy is
    player p's, column k the player's action k; one name stands for all that players call their action k."""
    columns = [[names[k] for names in game.actions if k < len(names)] for k in range(max(game.payoff.shape[1:]))]
    names = ["/".join(dict.fromkeys(column)) for column in columns]
    if len(set(names)) < len(names):
        names = [f"{k} ({name})" for k, name in enumerate(names)]
    sizes, place = game.payoff.shape[1:], {name: k for k, name in enumerate(names)}

    def describe(history):
        if len(history) < len(sizes):
            return Decision(len(history), "chooses", names[: sizes[len(history)]])
        return End(game.payoff[(slice(None), *(place[name] for name in history))].tolist())

    return from_function(describe, len(sizes), names)


def rock_paper_scissors() -> MatrixGame:
    """Each beats the next but one; the equilibrium is uniform."""
    return zero_sum([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], [("rock", "paper", "scissors")] * 2)


def matching_pennies() -> MatrixGame:
    """The first wants equal sides, the second unequal ones."""
    return zero_sum([[1, -1], [-1, 1]], [("heads", "tails")] * 2)


def prisoners_dilemma(reward=3.0, sucker=0.0, temptation=5.0, punishment=1.0) -> MatrixGame:
    """To defect is better whatever the other does, and worse for both. Raises ValueError unless T > R > P > S, 2R > T + S."""
    if not (temptation > reward > punishment > sucker and 2 * reward > temptation + sucker):
        raise ValueError(
            f"a prisoner's dilemma needs T > R > P > S and 2 R > T + S, not "
            f"T={temptation:g}, R={reward:g}, P={punishment:g}, S={sucker:g}"
        )
    return symmetric([[reward, sucker], [temptation, punishment]], ("cooperate", "defect"))


def stag_hunt() -> MatrixGame:
    """Together a stag, alone nothing or a hare: one equilibrium pays more, the other risks less."""
    return symmetric([[4, 0], [3, 3]], ("stag", "hare"))


def climbing() -> MatrixGame:
    """Claus and Boutilier 1998: 11 is best, and punished where only one goes for it."""
    table = [[11, -30, 0], [-30, 7, 6], [0, 0, 5]]
    return from_arrays([table, table], [("a", "b", "c")] * 2)


def penalty(k: float = -100.0) -> MatrixGame:
    """Claus and Boutilier 1998: two best agreements, each punished by k where only one keeps it, and a safe one."""
    if k > 0.0:
        raise ValueError(f"the penalty k must be 0 or below, not {k:g}")
    table = [[10, 0, k], [0, 2, 0], [k, 0, 10]]
    return from_arrays([table, table], [("a", "b", "c")] * 2)
