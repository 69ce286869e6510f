"""Reservoir sampling (Vitter 1985, algorithm R): of all items so far, each is kept with the same probability.

Item number c, counted from 0, goes to place c while there is room; later to a random place of 0 to c, and is thrown away where
that is none of the memory's.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct


@struct.dataclass
class Reservoir:
    """Items kept, each of all that were seen with the same probability."""

    data: Any  # leaves [capacity, ...]
    seen: jax.Array  # int32, how many items there were


def empty(example, capacity: int) -> Reservoir:
    """Returns a reservoir for `capacity` items shaped like `example`, an item's arrays."""
    data = jax.tree.map(lambda x: jnp.zeros((capacity, *jnp.shape(x)), jnp.result_type(x)), example)
    return Reservoir(data, jnp.int32(0))


def capacity(reservoir: Reservoir) -> int:
    """Returns how many items it keeps at most."""
    return jax.tree.leaves(reservoir.data)[0].shape[0]


def add(reservoir: Reservoir, key: jax.Array, items, chosen: jax.Array) -> Reservoir:
    """Returns the reservoir after the items [n, ...], in order, where `chosen` [n] is True: as if one after another."""
    size, count = capacity(reservoir), chosen.shape[0]
    number = reservoir.seen + jnp.cumsum(chosen) - 1
    drawn = jax.random.randint(key, (count,), 0, jnp.maximum(number, 0) + 1)
    place = jnp.where(number < size, number, drawn)
    place = jnp.where(chosen & (place < size), place, size)  # beyond the end: thrown away
    order = jnp.arange(count, dtype=jnp.int32)
    last = jnp.full(size + 1, -1, jnp.int32).at[place].max(order)  # of those that come to one place the last one stays
    place = jnp.where(last[place] == order, place, size)
    data = jax.tree.map(lambda old, new: old.at[place].set(new, mode="drop"), reservoir.data, items)
    return Reservoir(data, reservoir.seen + jnp.sum(chosen, dtype=jnp.int32))


def sample(reservoir: Reservoir, key: jax.Array, shape: tuple[int, ...]):
    """Returns items [*shape, ...] drawn uniformly, with replacement, of those that are kept; zeros before there is one."""
    index = jax.random.randint(key, shape, 0, jnp.clip(reservoir.seen, 1, capacity(reservoir)))
    return jax.tree.map(lambda buffer: buffer[index], reservoir.data)
