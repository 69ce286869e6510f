"""Actions in units of their bounds: -1 is the lower, 1 the upper, 0 the middle, whatever the shape."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs import Box, Discrete

LARGEST = float(np.finfo(np.float32).max)


def sent(space, *actions):
    """Returns what the environment is given for each of the policy's action vectors."""
    return np.asarray(space.to_environment(jnp.asarray(actions, jnp.float32)))


@pytest.mark.parametrize(
    ("low", "high"),
    [((5.0,), (10.0,)), ((0.0, 0.0), (1.0, 1.0)), ((-1e-3,), (1e-3,)), ((0.0,), (1000.0,)), ((-2.0, 7.0), (2.0, 7.5))],
)
def test_minus_1_is_the_lower_bound_1_the_upper_0_the_middle_and_beyond_them_is_clipped(low, high):
    size = len(low)
    given = sent(Box(low, high), *([x] * size for x in (-1.0, 0.0, 0.5, 1.0, -7.0, 1e9)))
    low, high = np.array(low), np.array(high)
    expected = np.stack([low, (low + high) / 2, (low + 3 * high) / 4, high, low, high])
    np.testing.assert_allclose(given, expected, rtol=1e-6, atol=1e-9)
    assert (given >= low.astype(np.float32)).all() and (given <= high.astype(np.float32)).all()


def test_actions_between_minus_1_and_1_are_clipped_and_otherwise_the_same_to_the_bit():
    box, actions = Box((-1.0, -1.0), (1.0, 1.0)), jax.random.normal(jax.random.key(0), (50, 2)).at[0, 0].set(-0.0)
    given = np.asarray(box.to_environment(actions))
    assert given.tobytes() == np.clip(actions, -1.0, 1.0).tobytes()
    assert not {"mul", "add"} & {each.primitive.name for each in jax.make_jaxpr(box.to_environment)(actions).eqns}


@pytest.mark.parametrize("none", [np.inf, LARGEST, LARGEST / 2])
def test_a_side_without_a_bound_is_neither_scaled_nor_clipped(none):
    box = Box((-none, 5.0, -none, -3.0), (none, none, -5.0, 1.0))
    given = sent(box, [-9.0, -1.0, -9.0, -1.0], [0.5, 0.5, 0.5, 0.5], [1e9, 9.0, 1.0, 9.0])
    np.testing.assert_allclose(given, [[-9.0, 5.0, -15.0, -3.0], [0.5, 6.5, -5.5, 0.0], [1e9, 15.0, -5.0, 1.0]])
    np.testing.assert_allclose(sent(box, [0.0, -7.0, 7.0, 0.0]), [[0.0, 5.0, -5.0, -1.0]])


def test_an_action_has_the_shape_of_its_bounds_and_its_policy_one_vector():
    square = Box(np.zeros((2, 2)), np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert (square.shape, square.size) == ((2, 2), 4)
    assert sent(square, [1.0, 1.0, 1.0, 1.0], [-1.0, 0.0, -1.0, 0.0]).tolist() == [[[1, 2], [3, 4]], [[0, 1], [0, 2]]]
    number = Box(5.0, 10.0)
    assert (number.shape, number.size) == ((), 1)
    assert sent(number, [-1.0], [0.2]).tolist() == [5.0, 8.0]
    assert number.to_environment(jnp.zeros(1)).shape == ()


def test_bounds_given_as_arrays_are_kept_as_tuples_that_can_be_hashed_and_compared():
    box = Box(jnp.array([0.0, 1.0]), np.array([2.0, 3.0], np.float32))
    assert (box.low, box.high) == ((0.0, 1.0), (2.0, 3.0))
    assert box == Box((0, 1), (2, 3)) and hash(box) == hash(Box((0, 1), (2, 3)))


def test_discrete_actions_begin_at_their_start():
    assert Discrete(3).to_environment(jnp.int32(2)) == 2
    given = Discrete(3, start=5).to_environment(jnp.arange(3, dtype=jnp.int32))
    assert (given.tolist(), given.dtype, Discrete(3, -1).shape) == ([5, 6, 7], jnp.int32, ())


@pytest.mark.parametrize(
    ("low", "high"),
    [((0.0,), (0.0,)), ((1.0,), (0.0,)), ((0.0, 0.0), (1.0,)), (0.0, (1.0,)), ((np.nan,), (1.0,)), ((), ())],
)
def test_bounds_that_bound_nothing_are_refused_in_one_line(low, high):
    with pytest.raises(ValueError, match="^Box needs low < high, both of one shape, not low=.*$"):
        Box(low, high)


@pytest.mark.parametrize(("n", "start"), [(0, 0), (-2, 0), (2.0, 0), ((2, 3), 0), (2, 0.5)])
def test_actions_that_cannot_be_counted_are_refused_in_one_line(n, start):
    with pytest.raises(ValueError, match="^Discrete has whole numbers, n of 1 or more, not n=.*$"):
        Discrete(n, start)
