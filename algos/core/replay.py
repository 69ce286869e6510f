"""Replay memory: a preallocated ring buffer that lives in the train state.

Every leaf is [capacity, ...] in its own dtype: a bool or uint8 observation is stored as it is. B transitions take the
memory of B transitions and 4 bytes more.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from algos.core.types import ReplayBatch
from envs import Env


@struct.dataclass
class Replay:
    """A ring buffer and how far it is written."""

    data: Any  # leaves [capacity, ...]
    added: jax.Array  # int32, how many were ever added


def empty(example, capacity: int) -> Replay:
    """Returns a buffer for `capacity` items shaped like `example` (arrays or shapes of one item)."""
    return Replay(jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape), x.dtype), example), jnp.int32(0))


def start(items, capacity: int) -> Replay:
    """Returns a buffer for `capacity` items that holds the newest of `items` [n, ...]."""
    newest = jax.tree.map(lambda x: x[-capacity:], items)
    return add(empty(jax.tree.map(lambda x: x[0], items), capacity), newest)


def capacity(replay: Replay) -> int:
    """Returns how many items the buffer can hold."""
    return jax.tree.leaves(replay.data)[0].shape[0]


def add(replay: Replay, items) -> Replay:
    """Returns the buffer with `items` [n, ...] written, over the oldest once it is full; n may not exceed the capacity."""
    count, size = jax.tree.leaves(items)[0].shape[0], capacity(replay)
    if count > size:
        raise ValueError(f"{count} items at once do not fit a buffer of {size}")
    index = (replay.added + jnp.arange(count)) % size
    data = jax.tree.map(lambda buffer, new: buffer.at[index].set(new, unique_indices=True), replay.data, items)
    # Two laps are as good as many for knowing the place and that all is written; the count never overflows.
    added = replay.added + count
    return Replay(data, jnp.where(added >= 2 * size, added - size, added))


def sample(replay: Replay, key: jax.Array, shape: tuple[int, ...]):
    """Returns items [*shape, ...] drawn uniformly, with replacement, from those written; there must be one."""
    written = jnp.minimum(replay.added, capacity(replay))
    index = jax.random.randint(key, shape, 0, written)
    return jax.tree.map(lambda buffer: buffer[index], replay.data)


def live(env: Env, steps) -> jax.Array | None:
    """Returns where a row [T, B] is to be learned from: not of an agent that is gone, which neither sees nor does anything, unless
    it goes on being paid what its team is. None: there is one agent."""
    team = env.agents is not None and env.reward_convention == "team"
    return jnp.ones_like(steps.live) if team else steps.live


def batch(stored, ones: jax.Array, **more) -> ReplayBatch:
    """Returns what was stored [n, ...], of which each item counts, by `ones` [n], but those that are not `live`, as a loss takes it."""
    fields = {name: x for name, x in vars(stored).items() if name != "live"}
    counts = ones if stored.live is None else stored.live.astype(ones.dtype)
    return ReplayBatch(**fields, **more, mask=counts)
