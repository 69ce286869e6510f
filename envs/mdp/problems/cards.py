"""Blackjack with an infinite deck (Sutton and Barto 2018, example 5.1)."""

from functools import cache

import numpy as np

from envs.mdp.build import from_arrays
from envs.mdp.model import MDP

CARDS = np.arange(1, 11)  # ace = 1
CHANCE = np.append(np.full(9, 1.0), 4.0) / 13.0
HIT, STICK = 1, 0  # as in Gymnasium
NATURAL, OVER = 36 * 10, 37 * 10  # the first state of a natural, one for each of the dealer's cards, and the end


def blackjack(natural_wins: bool = False) -> MDP:
    """Returns the game: 1 for a win, -1 for a loss, actions stick (0) and hit (1), from the cards as they are dealt.

    natural_wins: an ace and a ten beat any 21 of the dealer's but his own natural (Gymnasium's `sab`); else they are a
    21 as any other (Gymnasium's default). States: `state_of(total, usable_ace, dealer)`.
    """
    outcomes = {state_of(total, usable, dealer): _rows(total, usable, dealer) for total, usable, dealer in _hands()}
    if natural_wins:
        outcomes |= {NATURAL + dealer - 1: _natural(dealer) for dealer in CARDS}
    arrays = np.zeros((OVER + 1, 2, CARDS.size, 4))
    arrays[:, :, 0] = 1.0, 0.0, 0.0, 1.0
    arrays[..., 1] = np.arange(OVER + 1)[:, None, None]
    for state, rows in outcomes.items():
        for action, row in enumerate(rows):
            arrays[state, action, :] = 0.0, OVER, 0.0, 1.0
            arrays[state, action, : len(row)] = row
    probability, successor, reward, terminated = np.moveaxis(arrays, -1, 0)
    return from_arrays(successor, probability, reward, terminated, _deal(natural_wins))


def state_of(total: int, usable_ace: bool, dealer: int) -> int:
    """Returns the index of a player's total, 4 to 21, beside the dealer's card, 1 (ace) to 10."""
    return (18 * usable_ace + total - 4) * 10 + dealer - 1


def _hands():
    for dealer in map(int, CARDS):
        yield from ((total, False, dealer) for total in range(4, 22))
        yield from ((total, True, dealer) for total in range(12, 22))


def _rows(total: int, usable: bool, dealer: int) -> tuple[list, list]:
    """Returns the outcomes (probability, successor, reward, terminated) of sticking and of hitting."""
    hit = []
    for card, chance in zip(CARDS, CHANCE):
        reached, ace = _with_card(total, usable, int(card))
        bust = reached > 21
        hit.append((chance, OVER if bust else state_of(reached, ace, dealer), -1.0 * bust, bust))
    final = _dealers(dealer, False)
    return [(p, OVER, float(np.sign(total - score)), True) for score, p in final], hit


def _natural(dealer: int) -> tuple[list, list]:
    """Returns the outcomes of sticking with a natural, and of hitting: from a 21 with a usable ace."""
    tie = CHANCE[9] if dealer == 1 else CHANCE[0] if dealer == 10 else 0.0
    return [(1.0 - tie, OVER, 1.0, True), (tie, OVER, 0.0, True)], _rows(21, True, dealer)[1]


def _with_card(total: int, usable: bool, card: int) -> tuple[int, bool]:
    """Returns (total, has a usable ace) after one more card; an ace counts 11 where that is no bust."""
    total, usable = (total + 11, True) if card == 1 and total + 11 <= 21 else (total + card, usable)
    return (total - 10, False) if total > 21 and usable else (total, usable)


@cache
def _dealers(total: int, usable: bool, first: bool = True) -> tuple[tuple[int, float], ...]:
    """Returns the (score, probability) of a dealer who draws to 17, from one card or from a total; 0 for a bust."""
    if first:
        return _dealers(*((11, True) if total == 1 else (total, False)), False)
    if total >= 17:
        return ((total if total <= 21 else 0, 1.0),)
    scores: dict[int, float] = {}
    for card, chance in zip(CARDS, CHANCE):
        for score, probability in _dealers(*_with_card(total, usable, int(card)), False):
            scores[score] = scores.get(score, 0.0) + chance * probability
    return tuple(scores.items())


def _deal(natural_wins: bool) -> np.ndarray:
    """Returns the distribution of the first state: two cards of the player's, one of the dealer's."""
    start = np.zeros(OVER + 1)
    for one, p in zip(CARDS, CHANCE):
        for two, q in zip(CARDS, CHANCE):
            hand = _with_card(*_with_card(0, False, int(one)), int(two))
            for dealer, r in zip(CARDS, CHANCE):
                first = NATURAL + dealer - 1 if natural_wins and hand[0] == 21 else state_of(*hand, int(dealer))
                start[first] += p * q * r
    return start
