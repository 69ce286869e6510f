"""Features against tables made by hand, by loops, and by another way of coding the same tiles."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from algos.linear import features, named
from envs.mdp import as_env, from_map

SIZES = [(1, 1, 5), (1, 4, 3), (2, 1, 4), (2, 8, 8), (3, 4, 2)]  # dimensions, tilings, tiles


def points(dimensions, tilings, tiles, number=200):
    """Returns middles of the smallest pieces that tilings cut, corners first, and float32: no rounding is near an edge."""
    pieces = tiles * tilings
    corners = np.array(list(itertools.product([0, pieces - 1], repeat=dimensions)))
    drawn = np.random.default_rng(0).integers(pieces, size=(number, dimensions))
    return ((np.concatenate([corners, drawn]) + 0.5) / pieces).astype(np.float32)


def active(chosen, x):
    quickly = {"xla_backend_optimization_level": 0}
    return np.asarray(jax.jit(jax.vmap(chosen.of), compiler_options=quickly)(np.asarray(x, np.float32)).index)


@pytest.mark.parametrize(("dimensions", "tilings", "tiles"), SIZES)
def test_tiles_are_those_of_a_loop_over_tilings_and_dimensions(dimensions, tilings, tiles):
    chosen, x = features.tile_coding(dimensions, tilings, tiles), points(dimensions, tilings, tiles)
    side = tiles + 1 if tilings > 1 else tiles
    for found, point in zip(active(chosen, x), x.astype(np.float64)):
        for tiling in range(tilings):
            place = []
            for dimension in range(dimensions):
                shift = math.fmod(tiling * (2 * dimension + 1) / tilings, 1.0)
                place.append(math.floor(point[dimension] * tiles + shift))
            assert found[tiling] == tiling * side**dimensions + np.ravel_multi_index(place, (side,) * dimensions)
    assert chosen.size == tilings * side**dimensions


@pytest.mark.parametrize(("dimensions", "tilings", "tiles"), SIZES)
def test_points_share_the_tiles_that_they_share_in_a_hash_table_of_coordinates(dimensions, tilings, tiles):
    """As in Sutton's tile coding software: integers of 1 / tilings of a tile, moved by t, 3 t, 5 t ..., divided down."""
    x = points(dimensions, tilings, tiles, 60)
    whole = np.floor(x.astype(np.float64) * tiles * tilings).astype(int)
    coded = [[(t, *((whole[i] + t * (2 * np.arange(dimensions) + 1)) // tilings)) for t in range(tilings)] for i in range(len(x))]  # fmt: skip
    found = active(features.tile_coding(dimensions, tilings, tiles), x)
    for i, j in itertools.combinations(range(len(x)), 2):
        assert (found[i] == found[j]).tolist() == [a == b for a, b in zip(coded[i], coded[j])]


@pytest.mark.parametrize(("dimensions", "tilings", "tiles"), SIZES)
def test_one_tile_of_each_tiling_is_active_and_the_border_has_tiles_of_its_own(dimensions, tilings, tiles):
    chosen = features.tile_coding(dimensions, tilings, tiles)
    corners = np.array(list(itertools.product([0.0, 1.0], repeat=dimensions)), np.float32)
    found = active(chosen, np.concatenate([corners, points(dimensions, tilings, tiles)]))
    grid = chosen.size // tilings
    assert (found // grid == np.arange(tilings)).all() and found.min() >= 0 and found.max() < chosen.size
    at_corners = found[: len(corners)]
    assert all(not set(one) & set(other) for one, other in itertools.combinations(at_corners, 2))  # nothing is wrapped


def test_neighbours_share_tiles_and_the_nearer_the_more():
    tilings, tiles = 8, 4
    chosen = features.tile_coding(1, tilings, tiles)
    x = (np.arange(tilings * tiles, dtype=np.float32)[:, None] + 0.5) / (tilings * tiles)
    found = active(chosen, x)
    for i, j in itertools.product(range(len(x)), repeat=2):
        assert np.sum(found[i] == found[j]) == max(tilings - abs(i - j), 0)
    widths = np.array([x[(found == tile).any(1)] for tile in np.unique(found)], object)
    assert max(float(np.ptp(width)) for width in widths) < 1 / tiles


def test_in_two_dimensions_tilings_are_moved_by_1_and_3_parts_and_no_point_generalises_along_a_diagonal():
    chosen = features.tile_coding(2, 8, 4)
    middle, piece = np.array([0.5, 0.5]) + 1 / 64, 1 / 32
    shared = {
        move: np.sum(active(chosen, [middle])[0] == active(chosen, [middle + np.array(move) * piece])[0])
        for move in itertools.product((-4, 0, 4), repeat=2)
    }
    assert shared[0, 0] == 8 and shared[4, 0] == shared[0, 4] == shared[-4, 0] == 4
    diagonals = {int(shared[move]) for move in itertools.product((-4, 4), repeat=2)}
    assert diagonals == {1, 3}  # of tilings that are moved alike in both: 4 along one diagonal, 0 along the other


@pytest.mark.parametrize("order", [1, 2])
def test_fourier_and_polynomial_features_by_hand(order):
    powers = list(itertools.product(range(order + 1), repeat=2))
    for x, y in [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.5, 0.25)]:
        point = jnp.array([x, y], jnp.float32)
        cosines = features.dense(features.fourier(2, order), point)
        np.testing.assert_allclose(cosines, [math.cos(math.pi * (i * x + j * y)) for i, j in powers], atol=1e-6)
        products = features.dense(features.polynomial(2, order), point)
        np.testing.assert_allclose(products, [x**i * y**j for i, j in powers], atol=1e-7)
    signs = features.dense(features.fourier(2, order), jnp.ones(2))
    np.testing.assert_allclose(signs, [(-1) ** (i + j) for i, j in powers], atol=1e-6)


def test_learning_rates_are_those_of_konidaris_of_the_fourier_basis_and_shared_by_tilings():
    np.testing.assert_allclose(features.fourier(2, 2).rate, [1, 1, 1 / 2, 1, 2**-0.5, 5**-0.5, 1 / 2, 5**-0.5, 8**-0.5])
    assert (features.fourier(2, 2, scaled=False).rate == 1.0).all() and (features.polynomial(1, 3).rate == 1.0).all()
    tiles = features.tile_coding(2, 8, 4)
    w = features.moved(jnp.zeros(tiles.size), tiles.of(jnp.array([0.3, 0.8])), 2.5, tiles.rate)
    assert features.value(w, tiles.of(jnp.array([0.3, 0.8]))) == 2.5  # a rate of 1 goes all the way


def test_dense_features_are_the_active_ones_at_their_places():
    found = np.asarray(features.dense(features.tile_coding(1, 2, 3), jnp.array([0.5])))
    assert found.tolist() == [
        0,
        1,
        0,
        0,
        0,
        0,
        1,
        0,
    ]  # [1/3, 2/3) of one tiling; of the other, half a tile further, [.5, 5/6)
    assert features.dense(features.table(3), jnp.int32(1)).tolist() == [0, 1, 0]
    assert features.dense(features.identity(4), jnp.array([[1.0, 2.0], [3.0, 4.0]])).tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: features.tile_coding(2, 0, 4), "tilings must be a positive integer, not 0"),
        (lambda: features.tile_coding(2, 6, 4), "of 6 tilings that are moved by 3 some coincide"),
        (lambda: features.tile_coding(9, 8, 8), "features are more than 10,000,000"),
        (lambda: features.fourier(1, -1), "the order must be a whole number, 0 or more, not -1"),
        (lambda: features.polynomial(0, 2), "dimensions must be a positive integer, not 0"),
        (lambda: features.fourier(12, 5), "features are more than"),
        (lambda: named.features_of(envs.make("MountainCar-v0"), "tiles:8"), "features must be one of observation, "),
        (lambda: named.features_of(envs.make("MountainCar-v0"), "wavelets:3"), "not 'wavelets:3'"),
        (lambda: named.features_of(envs.make("CartPole-v1"), ""), "CartPole-v1 does not say between which bounds"),
    ],
)
def test_sizes_that_cannot_be_are_refused_in_one_line(make, said):
    with pytest.raises(ValueError, match=said) as error:
        make()
    assert "\n" not in str(error.value)


def test_the_walks_groups_are_a_hundred_states_each_from_the_first_on():
    env = envs.make("RandomWalk-1000")
    group = named.of_states(env, named.features_of(env, "aggregation:10")).index[1:-1, 0]
    assert (group == np.arange(1000) // 100).all()
    assert (named.of_states(env, named.features_of(env, "aggregation:1000")).index[1:-1, 0] == np.arange(1000)).all()


def test_a_grids_states_are_at_the_middle_of_their_cells():
    env = as_env(from_map("S.\n.G\n.."), "grid", 10)
    np.testing.assert_allclose(named.places(env.model)[[0, 1, 2, -1]], [[1 / 6, 0.25], [1 / 6, 0.75], [0.5, 0.25], [5 / 6, 0.75]])  # fmt: skip
    x = named.of_states(env, named.features_of(env, "polynomial:1")).value
    np.testing.assert_allclose(x, [[1, c, r, r * c] for r, c in named.places(env.model)], rtol=1e-6)


def test_what_is_observed_is_a_table_where_it_names_the_state_and_else_itself():
    lake, baird = envs.make("FrozenLake-4x4"), envs.make("Baird")
    assert (named.of_states(lake, named.features_of(lake, "")).index[:, 0] == np.arange(16)).all()
    np.testing.assert_array_equal(named.of_states(baird, named.features_of(baird, "")).value, [baird.observe(i) for i in range(7)])  # fmt: skip
    for env in (lake, baird):
        place = named.state_of(env)
        assert [int(place(env.observe(i))) for i in range(env.model.num_states)] == list(range(env.model.num_states))


def test_observations_between_bounds_are_points_and_those_beyond_are_at_the_border():
    see, dimensions = named.between((-1.2, -0.07), (0.5, 0.07))
    np.testing.assert_allclose(see(jnp.array([-0.35, 0.035])), [0.5, 0.75], rtol=1e-6)
    assert see(jnp.array([0.6, -1.0])).tolist() == [1.0, 0.0] and dimensions == 2
    car = envs.make("MountainCar-v0")
    assert named.features_of(car, "").size == 8 * 81 and named.num_active(car, named.features_of(car, "")) == 8
