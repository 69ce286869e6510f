"""Kuhn poker (Kuhn 1950), for two players, and for three (Szafron, Gibson and Sturtevant 2013).

One card more than players; everyone antes 1 and is dealt one. In turn each may bet 1 or pass; after a bet the others in turn
bet too, which calls, or pass, which folds. The highest card of those who bet wins the pot, of all where nobody did.

Two players: the first one's value is -1/18. The first one's equilibria are a family, 0 <= alpha <= 1/3: bet the jack with alpha,
the king with 3 alpha, and call a bet with the queen with alpha + 1/3. The second one's is unique: bluff the jack and call with
the queen, 1/3 each.
"""

import numpy as np

from envs.games.build import Chance, Decision, End, from_function
from envs.games.tree import GameTree, index

CARDS, PASS, BET = "JQKA", "pass", "bet"
VALUE = -1.0 / 18.0  # of the first of two players


def kuhn(players: int = 2) -> GameTree:
    """Returns the game. Actions: pass, bet. An information set's name is the card and what was done: "Q:pb"."""
    if players not in (2, 3):
        raise ValueError(f"Kuhn poker is for 2 or 3 players, not {players}")
    return from_function(lambda history: _node(history, players), players, (PASS, BET))


def family(tree: GameTree, alpha: float) -> np.ndarray:
    """Returns an equilibrium of the game for two, [I, A]. Raises ValueError for an alpha that is none of the family."""
    if not 0.0 <= alpha <= 1.0 / 3.0:
        raise ValueError(f"alpha must be 0 to 1/3, not {alpha}")
    bets = [{"J:": alpha, "Q:": 0.0, "K:": 3 * alpha, "J:pb": 0.0, "Q:pb": alpha + 1 / 3, "K:pb": 1.0}]
    bets.append({"J:p": 1 / 3, "Q:p": 0.0, "K:p": 1.0, "J:b": 0.0, "Q:b": 1 / 3, "K:b": 1.0})
    policy = np.zeros(tree.legal.shape)
    for player, of_player in enumerate(bets):
        for name, bet in of_player.items():
            policy[index(tree, player, name)] = 1.0 - bet, bet
    return policy


def _node(history: tuple, players: int):
    cards, moves = history[:players], history[players:]
    if len(cards) < players:
        left = [card for card in CARDS[: players + 1] if card not in cards]
        return Chance({card: 1.0 / len(left) for card in left})
    last = moves.index(BET) + players if BET in moves else players
    if len(moves) == last:
        return End(_payoffs(cards, moves, players))
    player = len(moves) % players
    return Decision(player, f"{cards[player]}:{''.join(move[0] for move in moves)}", (PASS, BET))


def _payoffs(cards: tuple, moves: tuple, players: int) -> list[float]:
    betting = {turn % players for turn, move in enumerate(moves) if move == BET}
    paid = [2.0 if player in betting else 1.0 for player in range(players)]
    winner = max(betting or range(players), key=lambda player: CARDS.index(cards[player]))
    return [sum(paid) - paid[player] if player == winner else -paid[player] for player in range(players)]
