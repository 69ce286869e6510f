"""Liar's dice for two (Lisy, Lanctot and Bowling 2015): each rolls dice that the other cannot see, and bids in turn.

A bid (quantity, face) says that so many of all dice show the face; the highest face is wild and counts as any. Each bid is higher
than the one before: in quantity, or in face at the same quantity. Instead of bidding one may call the other a liar; then the dice are
shown, and who was right wins 1.
"""

from envs.games.build import Chance, Decision, End, from_function
from envs.games.tree import GameTree

LIAR = "liar"


def liars_dice(dice: int = 1, sides: int = 3) -> GameTree:
    """Returns the game with so many dice a player, of so many sides. Actions: the bids in order, "1x2" and so on, then "liar"."""
    if dice < 1 or sides < 2 or 2 * dice * sides > 12:
        raise ValueError(f"dice and sides must make 2 to 12 bids: 2 dice x sides, not 2 x {dice} x {sides}")
    bids = [f"{quantity}x{face}" for quantity in range(1, 2 * dice + 1) for face in range(1, sides + 1)]
    return from_function(lambda history: _node(history, dice, sides, bids), 2, (*bids, LIAR))


def _node(history: tuple, dice: int, sides: int, bids: list[str]):
    rolled, moves = history[: 2 * dice], history[2 * dice :]
    if len(rolled) < 2 * dice:
        return Chance({face: 1.0 / sides for face in range(1, sides + 1)})
    player = len(moves) % 2
    if moves and moves[-1] == LIAR:
        quantity, face = map(int, moves[-2].split("x"))
        true = sum(one in (face, sides) for one in rolled) >= quantity
        bidder, won = player, 1.0 if true else -1.0  # the one before the one who called
        return End((won, -won) if bidder == 0 else (-won, won))
    own = "".join(map(str, sorted(rolled[player * dice : (player + 1) * dice])))
    higher = bids[bids.index(moves[-1]) + 1 :] if moves else bids
    return Decision(player, f"{own}:{','.join(moves)}", (*higher, LIAR) if moves else tuple(higher))
