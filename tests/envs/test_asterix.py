"""Asterix spawns by MinAtar's rule (kenjyoung/MinAtar, asterix.py): in one of the free rows, all alike, or not at all."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs

ROWS, SPAWNS = 8, 300
# column, row, from the left, gold, there; away from the player at (5, 5)
ENEMIES = np.array([[3, row + 1, 1, 0, 1] for row in range(ROWS)], np.int32)


@functools.cache
def spawning():
    """Returns the program (keys, which rows are free [N, 8]) -> (entities before, after) of one step that spawns."""
    env = envs.make("Asterix-MinAtar")
    state, _ = env.reset(jax.random.key(0))

    def spawn(key, is_free):
        before = state.replace(entities=jnp.where(is_free[:, None], 0, ENEMIES), spawn_timer=jnp.int32(0))
        after, _ = env.step(key, before, jnp.int32(0))
        return before.entities, after.entities

    return jax.jit(jax.vmap(spawn))


def spawned(seed, is_free):
    """Returns (entities before, after), [N, 8, 5], for N boards with the given free rows."""
    return map(np.asarray, spawning()(jax.random.split(jax.random.key(seed), len(is_free)), is_free))


def test_where_all_rows_are_full_nothing_is_placed_and_nothing_destroyed():
    before, after = spawned(0, np.zeros((ROWS * SPAWNS, ROWS), bool))
    assert before[..., 4].all()
    np.testing.assert_array_equal(after, before)


def test_where_one_row_is_free_it_is_filled_every_time_and_the_others_stay():
    free = np.repeat(np.arange(ROWS), SPAWNS)
    is_free = free[:, None] == np.arange(ROWS)
    before, after = spawned(1, is_free)
    np.testing.assert_array_equal(after[~is_free], before[~is_free])
    column, row, from_left, _, there = after[is_free].T
    assert there.all()
    np.testing.assert_array_equal(row, free + 1)
    np.testing.assert_array_equal(column, np.where(from_left, 0, 9))


def test_rows_sides_and_gold_are_drawn_as_often_as_minatar_draws_them():
    before, after = spawned(2, np.ones((ROWS * SPAWNS, ROWS), bool))
    assert not before.any() and (after[..., 4].sum(axis=1) == 1).all()
    new = after[after[..., 4] == 1]
    # five standard errors of 2,400 draws
    np.testing.assert_allclose(np.bincount(new[:, 1] - 1, minlength=ROWS) / len(new), 1 / 8, atol=0.034)
    np.testing.assert_allclose(new[:, 2:4].mean(axis=0), [1 / 2, 1 / 3], atol=0.052)


@pytest.mark.parametrize("timer", [1, 5])
def test_nothing_is_spawned_before_the_timer_is_out(timer):
    env = envs.make("Asterix-MinAtar")
    state, _ = env.reset(jax.random.key(0))
    after, _ = env.step(jax.random.key(1), state.replace(spawn_timer=jnp.int32(timer)), jnp.int32(0))
    assert not after.entities.any() and after.spawn_timer == timer - 1


def test_at_the_fastest_an_entity_moves_every_step():
    # gymnax counts the steps between two moves down to 0, and at 0 nothing ever moves again
    env = envs.make("Asterix-MinAtar", init_move_interval=1, init_spawn_speed=6, ramp_interval=1)
    state, _ = env.reset(jax.random.key(0))
    state = state.replace(entities=state.entities.at[0].set(jnp.array([0, 1, 1, 0, 1])), spawn_speed=jnp.int32(1000))
    step, columns = jax.jit(env.step), []
    for time in range(12):
        state, _ = step(jax.random.key(time), state, jnp.int32(0))
        columns.append(int(state.entities[0, 0]))
    assert columns == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0]
