"""A game tree in sequence form (Koller, Megiddo and von Stengel 1996): what the exact computations need of it, as arrays.

A player who forgets nothing reaches an end by one sequence of own decisions; what has been done there by the others and by chance
multiplies. So an end is a tuple of sequences, one a player, its payoffs and the probability that chance plays its part:

    u_p = sum_z payoff[z, p] prod_q x_q(sequence[z, q])        payoff times chance

Each player's information sets are a forest, row by row after how many own decisions: a pass over its levels, down for the
probabilities x of sequences or up for values, is all there is to compute. A sequence is the flat place I A + a of its last
information set and action; one place more stands for having done nothing, whose x is 1.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from envs.games.tree import END, NOBODY, GameTree, chance_reach, last_sequence


@struct.dataclass
class Level:
    """The n information sets of one player before which the player has decided equally often."""

    start: int = struct.field(pytree_node=False)  # the first row of a policy,
    stop: int = struct.field(pytree_node=False)  # and the one after the last
    before: Any  # int32 [n], the sequence that leads here, counted within the level before
    after: Any  # int32 [n, A, M], which of the next level's information sets follow, filled up with its size
    ends: Any  # int32 [n, A, K], the ends that have this as the player's sequence, filled up with Z


@struct.dataclass
class Sequences:
    """N players, I information sets, A actions, Z ends."""

    legal: Any  # bool [I, A]
    sequence: Any  # int32 [Z, N], each player's at each end; I A: none
    payoff: Any  # [Z, N], times the probability that chance plays its part
    levels: tuple[tuple[Level, ...], ...]  # of each player
    rivals: bool = struct.field(pytree_node=False)  # whether two players share a constant sum

    @property
    def num_players(self) -> int:
        return self.sequence.shape[1]

    def rows(self, player: int) -> slice:
        """Returns where the player's information sets are in a policy."""
        levels = self.levels[player]
        return slice(levels[0].start, levels[-1].stop) if levels else slice(0, 0)


def tables(tree: GameTree, dtype=np.float64) -> Sequences:
    """Returns the tree in sequence form, NumPy arrays of that precision."""
    ends = np.flatnonzero(tree.player == END)
    actions, none = tree.num_actions, tree.legal.size
    last = last_sequence(tree)[ends]
    sequence = np.where(last[..., 0] == NOBODY, none, last[..., 0] * actions + last[..., 1])
    payoff, total = tree.payoff[ends] * chance_reach(tree)[ends, None], tree.payoff[ends].sum(1)
    return Sequences(
        legal=tree.legal,
        sequence=sequence.astype(np.int32),
        payoff=payoff.astype(dtype),
        levels=tuple(_levels(tree, player, sequence[:, player]) for player in range(tree.num_players)),
        rivals=tree.num_players == 2 and bool(np.ptp(total) <= 1e-9 * np.abs(tree.payoff).max(initial=1.0)),
    )


def _levels(tree: GameTree, player: int, sequence: np.ndarray) -> tuple[Level, ...]:
    """Returns the levels of a player whose sequences at the ends [Z] are given."""
    depth = np.zeros(tree.num_info_sets, int)
    for row in np.flatnonzero(tree.past[:, 0] != NOBODY):  # the rows before it are done
        depth[row] = depth[tree.past[row, 0]] + 1
    own = np.flatnonzero(tree.mover == player)
    bounds = [own[depth[own] == level] for level in range(depth[own].max(initial=-1) + 1)]
    lead = tree.past[:, 0] * tree.num_actions + tree.past[:, 1]  # the sequence before each row
    levels = []
    for place, rows in enumerate(bounds):
        start, stop, before = int(rows[0]), int(rows[-1]) + 1, bounds[place - 1]
        following = bounds[place + 1] if place + 1 < len(bounds) else own[:0]
        size = (stop - start, tree.num_actions)
        first = start * tree.num_actions
        levels.append(
            Level(
                start=start,
                stop=stop,
                before=(lead[rows] - before[0] * tree.num_actions if place else np.zeros(len(rows))).astype(np.int32),
                after=_grouped(lead[following] - first, size, len(following)),
                ends=_grouped(sequence - first, size, len(sequence)),
            )
        )
    return tuple(levels)


def _grouped(group: np.ndarray, size: tuple[int, int], fill: int) -> np.ndarray:
    """Returns which items belong to each group, [*size, most of a group], filled up; groups beyond the size are left out."""
    items = np.flatnonzero((group >= 0) & (group < size[0] * size[1]))
    items = items[np.argsort(group[items], kind="stable")]
    counts = np.bincount(group[items], minlength=size[0] * size[1])
    place = np.arange(len(items)) - np.repeat(np.cumsum(counts) - counts, counts)
    grouped = np.full((counts.size, counts.max(initial=0)), fill, np.int32)
    grouped[group[items], place] = items
    return grouped.reshape(*size, -1)


def own_reach(game: Sequences, policy: jax.Array, player: int) -> jax.Array:
    """Returns x of the player's sequences, [own information sets, A]: how far the player's own choices lead there."""
    rows, found = None, []
    for level in game.levels[player]:
        here = policy[level.start : level.stop]
        rows = here if rows is None else rows.reshape(-1)[level.before][:, None] * here
        found.append(rows)
    return jnp.concatenate(found) if found else policy[:0]


def realisation_plan(game: Sequences, policy: jax.Array) -> jax.Array:
    """Returns x(I, a) of all players' sequences, [I, A]."""
    return jnp.concatenate([own_reach(game, policy, player) for player in range(game.num_players)])


def averaged(game: Sequences, plans: jax.Array) -> jax.Array:
    """Returns the average policy of policies whose `realisation_plan`s were added, sum_t x_t(I, a), [I, A].

    Each policy's row is weighted by own reach: against any opponents the average earns what the policies earn on average, and a
    plain mean of their rows does not. Where none of them ever goes, any legal action is taken alike.
    """
    total, legal = plans.sum(1, keepdims=True), jnp.asarray(game.legal, plans.dtype)
    return jnp.where(total > 0.0, plans / jnp.where(total > 0.0, total, 1.0), legal / legal.sum(1, keepdims=True))
