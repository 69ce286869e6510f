"""The ring buffer against a Python deque. Items are numbered: item k says in every leaf that it is item k."""

import functools
from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from algos.core import replay

CAPACITIES = (1, 4, 7)
ITEM_BYTES = 1 + 2 * 3 + 4 + 4
add = jax.jit(replay.add)


def items(first: int, count: int) -> dict:
    """Returns the items `first`, `first` + 1, ... as arrays [count, ...]."""
    number = np.arange(first, first + count)
    pixels = (number[:, None, None] + np.arange(6).reshape(2, 3)) % 256
    return {
        "flag": number % 2 == 1,
        "pixels": pixels.astype(np.uint8),
        "number": number.astype(np.int32),
        "weight": (number / 2).astype(np.float32),
    }


def empty(capacity: int) -> replay.Replay:
    return replay.empty(jax.tree.map(lambda x: x[0], items(0, 1)), capacity)


def filled(capacity: int, count: int) -> replay.Replay:
    """Returns a buffer that met the items 1 to `count`, one at a time; 0 is what it holds where nothing is written."""
    memory = empty(capacity)
    for number in range(1, count + 1):
        memory = add(memory, items(number, 1))
    return memory


def assert_holds(memory: replay.Replay, expected: deque) -> None:
    """Fails unless the buffer holds the items of the deque, each in the place of its number, and nothing else."""
    capacity = expected.maxlen
    rows = [(number - 1) % capacity for number in expected]
    for name, leaf in memory.data.items():
        content = np.zeros((capacity, *leaf.shape[1:]), leaf.dtype)
        for row, number in zip(rows, expected):
            content[row] = items(number, 1)[name][0]
        np.testing.assert_array_equal(leaf, content, err_msg=name)
    assert min(int(memory.added), capacity) == len(expected)


def batches(capacity: int):
    return st.tuples(st.just(capacity), st.lists(st.integers(1, capacity), max_size=12))


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.sampled_from(CAPACITIES).flatmap(batches))
def test_the_buffer_equals_a_deque_whatever_the_batch_sizes(run):
    capacity, counts = run
    memory, expected, number = empty(capacity), deque(maxlen=capacity), 1
    for count in counts:
        memory = add(memory, items(number, count))
        expected.extend(range(number, number + count))
        number += count
        assert_holds(memory, expected)


@pytest.mark.parametrize("count", [1, 3, 5, 6, 7])
def test_the_buffer_equals_a_deque_through_ten_laps(count):
    memory, expected = empty(7), deque(maxlen=7)
    for number in range(1, 71, count):
        memory = add(memory, items(number, count))
        expected.extend(range(number, number + count))
        assert_holds(memory, expected)


def test_more_items_than_fit_are_refused_with_both_numbers():
    with pytest.raises(ValueError, match="8.* 7"):
        replay.add(empty(7), items(1, 8))


@pytest.mark.parametrize("x64", [False, True])
def test_every_leaf_keeps_its_own_dtype_in_and_out(x64):
    with jax.enable_x64(x64):
        memory = add(empty(7), items(1, 3))
        drawn = replay.sample(memory, jax.random.key(0), (2, 5))
        for name, item in items(0, 1).items():
            assert memory.data[name].dtype == item.dtype and memory.data[name].shape == (7, *item.shape[1:])
            assert drawn[name].dtype == item.dtype and drawn[name].shape == (2, 5, *item.shape[1:])
        assert memory.added.dtype == jnp.int32
        again = add(memory, items(1, 3))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), again) == jax.tree.map(lambda x: (x.shape, x.dtype), memory)


@pytest.mark.parametrize("capacity", [1, 1_000])
def test_a_buffer_takes_the_memory_of_its_items_and_at_most_8_bytes_more(capacity):
    memory = add(empty(capacity), items(1, 1))
    assert sum(leaf.nbytes for leaf in jax.tree.leaves(memory.data)) == capacity * ITEM_BYTES
    assert sum(leaf.nbytes for leaf in jax.tree.leaves(memory)) <= capacity * ITEM_BYTES + 8


def test_the_example_may_be_shapes_alone():
    shapes = jax.eval_shape(lambda: jax.tree.map(lambda x: jnp.asarray(x[0]), items(0, 1)))
    for leaf, other in zip(jax.tree.leaves(replay.empty(shapes, 3)), jax.tree.leaves(empty(3)), strict=True):
        assert leaf.dtype == other.dtype
        np.testing.assert_array_equal(leaf, other)


def test_the_capacity_is_that_asked_for():
    assert [replay.capacity(empty(capacity)) for capacity in CAPACITIES] == list(CAPACITIES)


def test_the_count_stays_small_for_ever_and_place_and_fullness_right():
    @functools.partial(jax.jit, static_argnums=0)
    def counts(count):
        def one(memory, _):
            memory = replay.add(memory, jnp.zeros((count,), bool))
            return memory, memory.added

        return jax.lax.scan(one, replay.empty(jnp.zeros((), bool), 7), None, 1_000)[1]

    for count in (1, 3, 7):
        added, truth = np.asarray(counts(count)), count * np.arange(1, 1_001)
        np.testing.assert_array_equal(added % 7, truth % 7)
        np.testing.assert_array_equal(np.minimum(added, 7), np.minimum(truth, 7))
        assert added.max() < 14


def test_from_the_highest_count_there_is_an_item_comes_to_its_place():
    for count in range(1, 8):
        memory = add(filled(7, 7).replace(added=jnp.int32(13)), items(100, count))
        numbers = np.arange(1, 8)
        for index in range(count):
            numbers[(13 + index) % 7] = 100 + index
        np.testing.assert_array_equal(memory.data["number"], numbers)
        assert int(memory.added) % 7 == (13 + count) % 7 and 7 <= int(memory.added) < 14


@functools.cache
def drawn(count: int):
    """Returns the numbers [20 000, 2] of pairs sampled from a buffer of 7 that met `count` items."""
    samples = jax.jit(replay.sample, static_argnums=2)(filled(7, count), jax.random.key(1), (20_000, 2))
    return np.asarray(samples["number"])


@pytest.mark.parametrize("count", [1, 2, 5, 7, 12, 15])
def test_samples_come_only_from_what_is_written_and_reach_all_of_it(count):
    written = deque(range(1, count + 1), maxlen=7)
    assert set(drawn(count).ravel().tolist()) == set(written)


@pytest.mark.parametrize("count", [5, 7, 12])
def test_samples_are_uniform_and_pairs_of_them_independent(count):
    numbers = drawn(count)
    written = list(deque(range(1, count + 1), maxlen=7))
    pairs = np.array([[np.sum((numbers == (x, y)).all(axis=1)) for y in written] for x in written])
    assert pairs.sum() == len(numbers)
    assert stats.chisquare(pairs.sum(axis=0)).pvalue > 1e-3
    assert stats.chisquare(pairs.sum(axis=1)).pvalue > 1e-3
    assert stats.chisquare(pairs.ravel()).pvalue > 1e-3


def test_more_can_be_sampled_than_is_written():
    samples = replay.sample(filled(7, 2), jax.random.key(0), (50,))
    assert sorted(set(samples["number"].tolist())) == [1, 2] and len(samples["number"]) == 50


def test_the_leaves_of_a_sample_belong_to_one_item():
    samples = replay.sample(filled(7, 12), jax.random.key(0), (3, 40))
    for row in np.ndindex(3, 40):
        expected = items(int(samples["number"][row]), 1)
        for name in expected:
            np.testing.assert_array_equal(samples[name][row], expected[name][0])


def test_another_key_gives_another_sample_and_the_same_key_the_same():
    memory = filled(7, 12)
    one, same, other = (replay.sample(memory, jax.random.key(seed), (40,))["number"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.any(one != other)


def test_jit_and_vmap_give_what_each_buffer_gives_alone():
    counts = (0, 5, 7, 13)
    alone = [filled(7, count) for count in counts]
    new = [items(100 * count + 50, 4) for count in counts]
    together, all_new = (jax.tree.map(lambda *x: jnp.stack(x), *parts) for parts in (alone, new))
    keys = jax.random.split(jax.random.key(0), len(counts))
    added = jax.jit(jax.vmap(replay.add))(together, all_new)
    samples = jax.jit(jax.vmap(lambda memory, key: replay.sample(memory, key, (9,))))(added, keys)
    for place in range(len(counts)):
        expected = replay.add(alone[place], jax.tree.map(jnp.asarray, new[place]))
        expected = (expected, replay.sample(expected, keys[place], (9,)))
        for leaf, other in zip(jax.tree.leaves((added, samples)), jax.tree.leaves(expected), strict=True):
            np.testing.assert_array_equal(leaf[place], other)
