"""A model from what was seen: how often each pair led where, in the layout of `envs.mdp.MDP`, which it becomes.

    p(s'|s, a) = N(s, a, s') / N(s, a),   r(s, a) = the mean of the rewards earned                          (maximum likelihood)

An outcome is a successor, and whether the episode ended with it: what ended stays an end. A time limit is no part of the
model. A pair that was never tried has no estimate: what is held of it must be said.
"""

from typing import Any

import jax.numpy as jnp
from flax import struct

from envs.mdp import MDP

UNTRIED = ("absorbing", "optimistic")


@struct.dataclass
class Counts:
    """Up to K outcomes of each pair, in the order in which they were first seen."""

    successor: Any  # int32 [S, A, K]
    terminated: Any  # bool [S, A, K]
    count: Any  # [S, A, K], 0 where there is no such outcome yet
    reward: Any  # [S, A, K], the sum of the rewards earned


def nothing_seen(num_states: int, num_actions: int, num_outcomes: int) -> Counts:
    """Returns the counts before the first step, with room for so many different outcomes of a pair."""
    shape = (num_states, num_actions, num_outcomes)
    return Counts(jnp.zeros(shape, jnp.int32), jnp.zeros(shape, bool), jnp.zeros(shape), jnp.zeros(shape))


def seen(counts: Counts, step) -> Counts:
    """Returns the counts with one more step."""
    s, a = step.state, step.action
    new = counts.count[s, a] == 0.0
    same = (counts.successor[s, a] == step.next_state) & (counts.terminated[s, a] == step.terminated) & ~new
    k = jnp.argmax(jnp.where(jnp.any(same), same, new))
    return Counts(
        successor=counts.successor.at[s, a, k].set(step.next_state),
        terminated=counts.terminated.at[s, a, k].set(step.terminated),
        count=counts.count.at[s, a, k].add(1.0),
        reward=counts.reward.at[s, a, k].add(step.reward),
    )


def tried(counts: Counts, pair=...):
    """Returns how often each pair was tried [S, A], or the one given."""
    return jnp.sum(counts.count[pair], axis=-1)


def expected(counts: Counts, q, gamma, pair=...):
    """Returns what Q(s, a) is worth by the likeliest model, of every pair [S, A] or the one given; 0 where never tried."""
    following = jnp.where(counts.terminated[pair], 0.0, jnp.max(q[counts.successor[pair]], axis=-1))
    total = jnp.sum(counts.reward[pair] + gamma * counts.count[pair] * following, axis=-1)
    return total / jnp.maximum(tried(counts, pair), 1.0)


def maximum_likelihood(counts: Counts, untried: str, best_reward=0.0, least: int = 1) -> MDP:
    """Returns the model that makes what was seen most likely, jax arrays; episodes begin anywhere, all alike.

    Pairs tried less than `least` times: "absorbing", they end the episode and earn nothing; or "optimistic", they stay and
    earn `best_reward` for ever. Raises ValueError for another word.
    """
    if untried not in UNTRIED:
        raise ValueError(f"untried must be one of {', '.join(UNTRIED)}, not {untried!r}")
    times = tried(counts)[..., None]
    known, stays = times >= least, untried == "optimistic"
    first, itself = jnp.arange(counts.count.shape[-1]) == 0, jnp.arange(counts.count.shape[0])[:, None, None]
    likely = counts.count / jnp.maximum(times, 1.0)
    mean = counts.reward / jnp.maximum(counts.count, 1.0)
    return MDP(
        successor=jnp.where(known, counts.successor, itself),
        probability=jnp.where(known, likely, first.astype(likely.dtype)),
        reward=jnp.where(known, mean, best_reward if stays else 0.0),
        terminated=jnp.where(known, counts.terminated, not stays),
        start=jnp.full(counts.count.shape[0], 1.0 / counts.count.shape[0]),
    )


def backup(mdp: MDP, q, gamma):
    """Returns sum_k p (r + gamma (1 - terminated) max_a Q(s', a)), [S, A]."""
    following = jnp.where(mdp.terminated, 0.0, jnp.max(q[mdp.successor], axis=-1))
    return jnp.sum(mdp.probability * (mdp.reward + gamma * following), axis=-1)
