"""Leduc hold'em (Southey et al. 2005): two players, six cards, two rounds of betting.

Jack, queen and king in two suits. Both ante 1 and get a card; after a round of betting a card is laid open, and there is one more.
A raise is 2 in the first round and 4 in the second, two a round at most. A pair with the open card wins, else the higher card;
equals share the pot.
"""

from typing import NamedTuple

from envs.games.build import Chance, Decision, End, from_function
from envs.games.tree import GameTree

RANKS, SUITS = "JQK", "sh"
CARDS = tuple(rank + suit for rank in RANKS for suit in SUITS)
FOLD, CALL, RAISE = "fold", "call", "raise"
RAISES, SIZES = 2, (2.0, 4.0)
VALUE = -0.085606424078  # of the first player


class _Table(NamedTuple):
    """What lies on the table after some moves."""

    paid: tuple[float, float]
    player: int  # to move
    done: bool  # whether the round, or the game, is over
    folded: int | None
    raises: int


def leduc() -> GameTree:
    """Returns the game. Actions: fold, call (or check), raise. Name of an information set: own card, open card, moves: "Qh,Ks:rc/c"."""
    return from_function(_node, 2, (FOLD, CALL, RAISE))


def _node(history: tuple):
    if len(history) < 2:
        return _deal(history)
    cards, moves = history[:2], history[2:]
    place = next((at for at, move in enumerate(moves) if move in CARDS), len(moves))
    table, opened = _played(moves[:place], (1.0, 1.0), SIZES[0]), moves[place : place + 1]
    if table.done and table.folded is None and not opened:
        return _deal(cards)
    if opened:
        table = _played(moves[place + 1 :], table.paid, SIZES[1])
    if table.done:
        return End(_payoffs(cards, opened, table))
    told = "/".join(
        "".join(move[0] for move in part) for part in (moves[:place], moves[place + 1 :])[: 1 + len(opened)]
    )
    behind = table.paid[table.player] < table.paid[1 - table.player]
    actions = (FOLD,) * behind + (CALL,) + (RAISE,) * (table.raises < RAISES)
    return Decision(table.player, f"{','.join((cards[table.player], *opened))}:{told}", actions)


def _deal(gone: tuple) -> Chance:
    left = [card for card in CARDS if card not in gone]
    return Chance({card: 1.0 / len(left) for card in left})


def _played(moves: tuple, paid: tuple[float, float], size: float) -> _Table:
    """Returns the table after a round's moves; the first player begins each round."""
    paid, raises = list(paid), 0
    for turn, move in enumerate(moves):
        player = turn % 2
        if move == FOLD:
            return _Table(tuple(paid), 1 - player, True, player, raises)
        paid[player] = max(paid) + size * (move == RAISE)
        raises += move == RAISE
    done = len(moves) >= 2 and moves[-1] == CALL
    return _Table(tuple(paid), len(moves) % 2, done, None, raises)


def _payoffs(cards: tuple, opened: tuple, table: _Table) -> tuple[float, float]:
    if table.folded is not None:
        lost = table.paid[table.folded]
        return (-lost, lost) if table.folded == 0 else (lost, -lost)
    strength = [(card[0] == opened[0][0], RANKS.index(card[0])) for card in cards]
    won = (strength[0] > strength[1]) - (strength[0] < strength[1])
    return won * table.paid[1], -won * table.paid[0]
