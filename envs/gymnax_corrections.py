"""Where gymnax 1.0.1 departs from what it reimplements: each made right before or after gymnax's own step."""

import jax
import jax.numpy as jnp


def spawn_in_free_row(key: jax.Array, state):
    """Returns Asterix's state after its spawn, where one is due, by MinAtar's rule: in a row drawn from the free ones,
    and nowhere when there is none.

    gymnax never looks at the first row of its random order and writes over the last. Its own spawn is then not due.
    """
    key_side, key_gold, key_row = jax.random.split(key, 3)
    is_free = state.entities[:, 4] == 0
    row = jax.random.categorical(key_row, jnp.where(is_free, 0.0, -jnp.inf))
    from_left, is_gold = jax.random.bernoulli(key_side), jax.random.bernoulli(key_gold, 1 / 3)
    entity = jnp.stack([jnp.where(from_left, 0, 9), row + 1, from_left, is_gold, 1])
    is_due = state.spawn_timer == 0
    is_place = is_due & is_free & (jnp.arange(is_free.size) == row)
    return state.replace(
        entities=jnp.where(is_place[:, None], entity, state.entities),
        spawn_timer=jnp.where(is_due, state.spawn_speed, state.spawn_timer),
    )


def keep_moving(state):
    """Returns Asterix's state with a move every step at the fastest, as in MinAtar; gymnax goes on to 0, which is never."""
    return state.replace(move_speed=jnp.maximum(state.move_speed, 1))


def stop_at_left_wall(state, params):
    """Returns MountainCarContinuous's state with no velocity into the left wall, as in gymnasium; gymnax forgets it."""
    into_wall = (state.position <= params.min_position) & (state.velocity < 0)
    return state.replace(velocity=jnp.where(into_wall, 0.0, state.velocity))
