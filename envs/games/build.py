"""Game trees from a function of the history.

    def describe(history):                       # history: the outcomes and actions so far, a tuple
        if len(history) == 0:
            return Chance({"heads": 0.5, "tails": 0.5})
        if len(history) == 1:
            return Decision(0, "cannot see", ("heads", "tails"))
        return End((1.0, -1.0) if history[0] == history[1] else (-1.0, 1.0))

    tree = from_function(describe, players=2)

What cannot be is refused with the history where it was found. `envs.games.nested` does the same from nested mappings.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from envs.games.tree import CHANCE, END, NOBODY, GameTree

SUM = 1e-8  # how far the probabilities of chance may be from 1
MOST = 2_000_000  # histories


class Chance(NamedTuple):
    """Chance draws one of these outcomes, {outcome: probability}."""

    outcomes: Mapping[Hashable, float]


class Decision(NamedTuple):
    """A player chooses one of these actions, and knows no more than `information`."""

    player: int
    information: Hashable
    actions: Sequence[Hashable]


class End(NamedTuple):
    """The game is over and pays each player."""

    payoffs: Sequence[float]


Node = Chance | Decision | End


class _Row(NamedTuple):
    """One history, as it is written down on the way."""

    history: tuple
    parent: int
    branch: Hashable
    chance: float
    node: Any
    past: tuple  # of each player, the information set and the action before; None: none


def from_function(
    describe: Callable[[tuple], Node], players: int, actions: Sequence[Hashable] | None = None
) -> GameTree:
    """Returns the tree of a function of the history, called once for each.

    actions: all there are, in the order of a policy's columns; None: in the order in which they are met.
    Raises ValueError that names the history where something cannot be.
    """
    rows = [_Row((), NOBODY, None, 1.0, _checked(describe(()), (), players), (None,) * players)]
    for at, row in enumerate(rows):  # it grows on the way
        for branch, chance in branches(row.node):
            history, past = (*row.history, branch), row.past
            if isinstance(row.node, Decision):
                own = ((row.node.player, row.node.information), branch)
                past = tuple(own if player == row.node.player else one for player, one in enumerate(past))
            rows.append(_Row(history, at, branch, chance, _checked(describe(history), history, players), past))
        if len(rows) > MOST:
            raise ValueError(f"the game has more than {MOST:,} histories; one of them is {told(rows[-1].history)}")
    return _arrays(rows, players, actions)


def branches(node: Node) -> list[tuple[Hashable, float]]:
    """Returns what may follow a node, with the probability that chance gives it."""
    if isinstance(node, Chance):
        return list(node.outcomes.items())
    return [(action, 1.0) for action in node.actions] if isinstance(node, Decision) else []


def _checked(node: Any, history: tuple, players: int) -> Node:
    """Returns the node. Raises ValueError where it cannot be."""
    at = told(history)
    if isinstance(node, Chance):
        wrong = {outcome: p for outcome, p in node.outcomes.items() if not (_finite(p) and p >= 0.0)}
        if wrong:
            outcome, p = next(iter(wrong.items()))
            raise ValueError(f"the chance of {outcome!r} at {at} is no probability: {p!r}")
        if abs(sum(node.outcomes.values()) - 1.0) > SUM:
            raise ValueError(f"the probabilities of chance at {at} sum to {sum(node.outcomes.values()):.9g}, not to 1")
    elif isinstance(node, Decision):
        if isinstance(node.player, bool) or node.player not in range(players):
            raise ValueError(f"the player at {at} is {node.player!r}, not one of 0 to {players - 1}")
        if not _hashable(node.information):
            raise ValueError(
                f"the information at {at} cannot be told from others, it is a {type(node.information).__name__}"
            )
        if not node.actions or len(set(node.actions)) < len(node.actions):
            raise ValueError(f"player {node.player} at {at} needs one or more actions, each once, not {node.actions!r}")
    elif isinstance(node, End):
        if len(node.payoffs) != players:
            raise ValueError(f"{at} pays {len(node.payoffs)} players, and there are {players}")
        wrong = [pay for pay in node.payoffs if not _finite(pay)]
        if wrong:
            raise ValueError(f"a payoff at {at} is not finite: {wrong[0]!r}")
    else:
        raise ValueError(f"{at} is described by {node!r}, not by Chance, Decision or End")
    return node


def _finite(number: Any) -> bool:
    try:
        return not isinstance(number, (bool, str)) and math.isfinite(float(number))
    except (TypeError, ValueError):
        return False


def _hashable(information: Any) -> bool:
    try:
        return hash(information) is not None
    except TypeError:
        return False


def told(history: tuple) -> str:
    """Returns a history as messages name it."""
    return f"history ({', '.join(map(str, history))})"


def _arrays(rows: list[_Row], players: int, actions: Sequence[Hashable] | None) -> GameTree:
    """Returns the tree of all histories, in their order."""
    sets = _info_sets(rows)
    if not sets:
        raise ValueError("nobody has anything to decide in the game")
    met = dict.fromkeys(action for row in sets.values() for action in row.node.actions)
    columns = {action: place for place, action in enumerate(met if actions is None else actions)}
    unknown = [action for action in met if action not in columns]
    if unknown:
        raise ValueError(f"action {unknown[0]!r} is none of {', '.join(map(str, columns))}")
    numbers, depth = {}, {}
    for key, row in sets.items():  # parents before children
        before = row.past[key[0]]
        depth[key] = 0 if before is None else depth[before[0]] + 1
    for key in sorted(sets, key=lambda key: (key[0], depth[key])):  # sorted() keeps the order of equals
        numbers[key] = len(numbers)
    legal, past = np.zeros((len(sets), len(columns)), bool), np.full((len(sets), 2), NOBODY, np.int32)
    for key, row in sets.items():
        legal[numbers[key], [columns[action] for action in row.node.actions]] = True
        if row.past[key[0]] is not None:
            before, action = row.past[key[0]]
            past[numbers[key]] = numbers[before], columns[action]
    return GameTree(
        parent=np.array([row.parent for row in rows], np.int32),
        action=np.array(_places(rows, columns), np.int32),
        chance=np.array([row.chance for row in rows]),
        player=np.array([_mover(row.node) for row in rows], np.int32),
        info_set=np.array([numbers.get(_key(row.node), NOBODY) for row in rows], np.int32),
        payoff=np.array([row.node.payoffs if isinstance(row.node, End) else (0.0,) * players for row in rows], float),
        mover=np.array([player for player, _ in numbers], np.int32),
        past=past,
        legal=legal,
        names=tuple(str(information) for _, information in numbers),
        action_names=tuple(map(str, columns)),
    )


def _info_sets(rows: list[_Row]) -> dict[tuple, _Row]:
    """Returns the first history of each information set, (player, information), in order.

    Raises ValueError where two histories of one differ in their actions or in what the player did before.
    """
    sets: dict[tuple, _Row] = {}
    for row in rows:
        if not isinstance(row.node, Decision):
            continue
        first = sets.setdefault(_key(row.node), row)
        where = f"player {row.node.player} cannot tell {told(row.history)} from {told(first.history)}"
        if set(first.node.actions) != set(row.node.actions):
            mine, theirs = (", ".join(map(str, one.node.actions)) for one in (row, first))
            raise ValueError(f"{where}, but may {mine} here and {theirs} there")
        if first.past[row.node.player] != row.past[row.node.player]:
            raise ValueError(f"{where}, and yet did not know or do the same before: that forgets (no perfect recall)")
    return sets


def _key(node: Node):
    return (node.player, node.information) if isinstance(node, Decision) else None


def _mover(node: Node) -> int:
    return node.player if isinstance(node, Decision) else CHANCE if isinstance(node, Chance) else END


def _places(rows: list[_Row], columns: dict) -> list[int]:
    """Returns the action, or the place among the outcomes, that led to each history."""
    places = [NOBODY]
    for row in rows[1:]:
        node = rows[row.parent].node
        places.append(columns[row.branch] if isinstance(node, Decision) else list(node.outcomes).index(row.branch))
    return places
