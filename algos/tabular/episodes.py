"""What Monte Carlo methods share: the episode so far, and what its end says that each of its steps was followed by."""

from typing import Any

import jax.numpy as jnp
from flax import struct
from jax import lax


@struct.dataclass
class Record:
    """The episode so far, room for the longest: entries from `length` on mean nothing."""

    place: Any  # int32 [max_steps], the entry of the table that the step is about
    reward: Any  # [max_steps]
    ratio: Any  # [max_steps], pi(A|S) / b(A|S): 1 where the policy learned about is the one followed
    first: Any  # bool [max_steps], no earlier step of the episode is about that entry
    length: Any  # int32
    episode: Any  # int32, how many ended before
    met_in: Any  # int32 [N], the episode in which a step was about the entry last, -1 before any


def no_episode(num_places: int, max_steps: int) -> Record:
    """Returns the record before the first step."""
    zeros = jnp.zeros(max_steps)
    return Record(
        place=jnp.zeros(max_steps, jnp.int32),
        reward=zeros,
        ratio=zeros,
        first=jnp.zeros(max_steps, bool),
        length=jnp.int32(0),
        episode=jnp.int32(0),
        met_in=jnp.full(num_places, -1, jnp.int32),
    )


def noted(record: Record, place, reward, ratio=1.0) -> Record:
    """Returns the record with one more step."""
    now = record.length
    return record.replace(
        place=record.place.at[now].set(place),
        reward=record.reward.at[now].set(reward),
        ratio=record.ratio.at[now].set(ratio),
        first=record.first.at[now].set(record.met_in[place] != record.episode),
        length=now + 1,
        met_in=record.met_in.at[place].set(record.episode),
    )


def returns(record: Record, ended, beyond, gamma):
    """Returns (G [max_steps], how many of them to learn from: all of an episode that ended, none of one that goes on).

    G_t = R_{t+1} + gamma G_{t+1}; `beyond` follows the last step: 0, or the value where a time limit cut the episode.
    """
    steps = jnp.where(ended, record.length, 0)

    def backwards(index, carry):
        following, found = carry
        time = steps - 1 - index
        following = record.reward[time] + gamma * following
        return following, found.at[time].set(following)

    _, found = lax.fori_loop(0, steps, backwards, (beyond, jnp.zeros_like(record.reward)))
    return found, steps


def weights(record: Record, steps):
    """Returns the product of the ratios of each step and all that followed it, rho_{t:T-1} [max_steps]."""

    def backwards(index, carry):
        product, found = carry
        product = product * record.ratio[steps - 1 - index]
        return product, found.at[steps - 1 - index].set(product)

    return lax.fori_loop(0, steps, backwards, (jnp.ones(()), jnp.zeros_like(record.ratio)))[1]


def over(record: Record, ended) -> Record:
    """Returns the record, begun anew where the episode ended."""
    return record.replace(length=jnp.where(ended, 0, record.length), episode=record.episode + ended)
