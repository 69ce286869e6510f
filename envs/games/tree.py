"""A game in extensive form as arrays (Kuhn 1953): histories, who moves at each, and what the players can tell apart.

Histories are numbered breadth first: 0 is the beginning, and a parent comes before its children. At a history either chance
draws an outcome, or a player chooses an action, or the game has ended and pays. Histories that a player cannot tell apart
are one information set; it has one player, the same legal actions in each of its histories, and, for players who forget
nothing (perfect recall), one own past: the player's information sets and actions on the way there.

A policy of all players is an array [I, A]: row I says what the player of information set I does there. Rows are ordered by
player, then by how many own decisions came before.
"""

from typing import Any

import numpy as np
from flax import struct

CHANCE, END, NOBODY = -1, -2, -1


@struct.dataclass
class GameTree:
    """H histories, N players, I information sets, A actions. NumPy arrays, as `envs.games.build` makes them."""

    parent: Any  # int32 [H]; NOBODY at the beginning
    action: Any  # int32 [H], the action, or the place of the outcome, that led here; NOBODY at the beginning
    chance: Any  # [H], the probability of the outcome that led here; 1 where a player chose
    player: Any  # int32 [H], who moves: a player, CHANCE or END
    info_set: Any  # int32 [H]; NOBODY where no player moves
    payoff: Any  # [H, N], at ends; 0 elsewhere
    mover: Any  # int32 [I], the player of each information set
    past: Any  # int32 [I, 2], the player's information set and action before this one; NOBODY for the first
    legal: Any  # bool [I, A]
    names: tuple[str, ...] = struct.field(pytree_node=False)  # of the information sets, unique for each player
    action_names: tuple[str, ...] = struct.field(pytree_node=False)

    @property
    def num_players(self) -> int:
        return self.payoff.shape[1]

    @property
    def num_info_sets(self) -> int:
        return self.legal.shape[0]

    @property
    def num_actions(self) -> int:
        return self.legal.shape[1]

    @property
    def num_histories(self) -> int:
        return self.parent.shape[0]


def uniform(tree: GameTree) -> np.ndarray:
    """Returns the policy that takes every legal action alike, [I, A]."""
    return tree.legal / tree.legal.sum(1, keepdims=True)


def check_policy(tree: GameTree, policy) -> np.ndarray:
    """Returns the policy as float64 [I, A]. Raises ValueError that names the first information set where it is none."""
    policy = np.asarray(policy, np.float64)
    if policy.shape != tree.legal.shape:
        raise ValueError(
            f"policy must be [information sets, actions] = {list(tree.legal.shape)}, not {list(policy.shape)}"
        )
    off = np.where(tree.legal, 0.0, policy) != 0.0
    wrong = ~((policy >= 0.0).all(1) & (np.abs(policy.sum(1) - 1.0) <= 1e-6)) | off.any(1)
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        why = (
            f"plays {tree.action_names[int(np.argmax(off[at]))]}, which is not legal"
            if off[at].any()
            else "is no distribution"
        )
        raise ValueError(f"policy of player {tree.mover[at]} at {tree.names[at]!r} {why}: {policy[at]}")
    return policy


def index(tree: GameTree, player: int, name: str) -> int:
    """Returns the number of the player's information set of that name. Raises ValueError, listing some, for another."""
    own = [at for at in range(tree.num_info_sets) if tree.mover[at] == player]
    for at in own:
        if tree.names[at] == name:
            return at
    some = ", ".join(repr(tree.names[at]) for at in own[:12]) + (", ..." if len(own) > 12 else "")
    raise ValueError(f"player {player} has no information set {name!r}; choose from: {some or 'none'}")


def chance_reach(tree: GameTree) -> np.ndarray:
    """Returns the probability that chance plays its part of the way to each history, [H]."""
    reach = np.ones(tree.num_histories)
    for history in range(1, tree.num_histories):
        reach[history] = reach[tree.parent[history]] * tree.chance[history]
    return reach


def last_sequence(tree: GameTree) -> np.ndarray:
    """Returns each player's last own information set and action on the way to each history, int32 [H, N, 2]; NOBODY: none."""
    last = np.full((tree.num_histories, tree.num_players, 2), NOBODY, np.int32)
    for history in range(1, tree.num_histories):
        before = tree.parent[history]
        last[history] = last[before]
        if tree.player[before] >= 0:
            last[history, tree.player[before]] = tree.info_set[before], tree.action[history]
    return last
