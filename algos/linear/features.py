"""Features of points x in [0, 1]^D (Sutton and Barto 2018, sections 9.3 and 9.5), each a pure function of one point.

    polynomial:  x_i = prod_j x_j^{c_ij},       c_i in {0 .. order}^D                                            (9.17)
    Fourier:     x_i = cos(pi c_i . x),         c_i in {0 .. order}^D                                            (9.18)
    tile coding: one tile of each tiling is 1, all else 0; aggregation is tile coding with one tiling

Values are w . x, so that only features that are not 0 need be known: `Active` names them. A learning rate is multiplied by
`rate`: 1 / |c_i| of a Fourier feature (Konidaris et al. 2011), 1 / tilings of a tile, so that a learning rate of 1 takes a
value all the way to its target.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

MOST = 10_000_000  # features


@struct.dataclass
class Active:
    """The features of one point that may be other than 0, in their order; no place is named twice."""

    index: jax.Array  # int32 [k]
    value: jax.Array  # [k]


class Features(NamedTuple):
    """What is active of an observation, and how fast its weights move."""

    size: int  # d, how many there are
    of: Callable[[jax.Array], Active]  # of one observation
    rate: np.ndarray  # [d], the share of the learning rate that each weight moves by
    binary: bool = False  # every value is 1


def none_active(number: int) -> Active:
    """Returns features of a point that has as many, all 0."""
    return Active(jnp.zeros(number, jnp.int32), jnp.zeros(number))


def value(w, x: Active) -> jax.Array:
    """Returns w . x of weights [..., d], [...]."""
    return jnp.sum(w[..., x.index] * x.value, axis=-1)


def moved(w, x: Active, amount, rate) -> jax.Array:
    """Returns w + amount rate x, weights [d]."""
    return w.at[x.index].add(amount * (jnp.asarray(rate, w.dtype)[x.index] * x.value))


def dense(features: Features, observation) -> jax.Array:
    """Returns all features of an observation, [d]."""
    x = features.of(observation)
    return jnp.zeros(features.size, x.value.dtype).at[x.index].set(x.value)


def seen_as(features: Features, see: Callable) -> Features:
    """Returns the features of see(observation)."""
    return features._replace(of=lambda observation: features.of(see(observation)))


def table(size: int) -> Features:
    """Returns one feature a state, of its index."""
    _positive(size=size)
    return Features(size, lambda index: Active(jnp.reshape(index, 1), jnp.ones(1)), np.ones(size), True)


def identity(size: int) -> Features:
    """Returns the numbers that are observed themselves, flat."""
    _positive(size=size)
    every = np.arange(size, dtype=np.int32)
    return Features(size, lambda x: Active(jnp.asarray(every), jnp.ravel(x).astype(float)), np.ones(size))


def aggregation(dimensions: int, groups: int) -> Features:
    """Returns state aggregation: groups^D cells of one size, row by row, of which a point is in one."""
    return tile_coding(dimensions, 1, groups)


def polynomial(dimensions: int, order: int) -> Features:
    """Returns the (order + 1)^D products of powers, the last dimension's power growing first."""
    exponents = _exponents(dimensions, order)
    return _of_all(len(exponents), lambda x: jnp.prod(x ** jnp.asarray(exponents, x.dtype), axis=1))


def fourier(dimensions: int, order: int, scaled: bool = True) -> Features:
    """Returns the (order + 1)^D cosines, in the order of `polynomial`. scaled: by the learning rates of Konidaris et al.;
    otherwise all weights move alike."""
    frequencies = _exponents(dimensions, order)
    lengths = np.linalg.norm(frequencies, axis=1)
    rate = 1.0 / np.where(lengths > 0.0, lengths, 1.0)  # of the constant feature the whole
    features = _of_all(len(frequencies), lambda x: jnp.cos(np.pi * (jnp.asarray(frequencies, x.dtype) @ x)))
    return features._replace(rate=rate) if scaled else features


def tile_coding(dimensions: int, tilings: int, tiles: int) -> Features:
    """Returns `tilings` grids, a tile 1 / tiles wide in every dimension.

    Tiling t is moved by t (1, 3, 5, ...) / tilings of a tile (Miller and Glanz 1996), whole tiles left out, so that points
    generalise alike in all directions. Nothing is hashed: a grid has tiles + 1 places along each dimension, since the moved
    ones end beyond the border, and weights lie tiling after tiling, each row by row, the last dimension running fastest.
    """
    _positive(dimensions=dimensions, tilings=tilings, tiles=tiles)
    side = tiles + (tilings > 1)
    size = _checked_size(tilings * side**dimensions)
    displacement = 1 + 2 * np.arange(dimensions)
    if (np.gcd(displacement, tilings) > 1).any():
        twice = displacement[np.gcd(displacement, tilings) > 1][0]
        raise ValueError(f"of {tilings} tilings that are moved by {twice} some coincide: take a power of 2")
    moves = np.arange(tilings)[:, None] * displacement % tilings  # [tilings, D], in parts of a tile
    strides = side ** np.arange(dimensions - 1, -1, -1)
    first = np.arange(tilings) * side**dimensions
    last = tiles * tilings - (tilings == 1)  # of an aggregation the border belongs to the last cell

    def of(x):
        part = jnp.clip(jnp.floor(x * (tiles * tilings)).astype(jnp.int32), 0, last)
        place = (part + jnp.asarray(moves, jnp.int32)) // tilings
        index = jnp.asarray(first, jnp.int32) + place @ jnp.asarray(strides, jnp.int32)
        return Active(index.astype(jnp.int32), jnp.ones(tilings))

    return Features(size, of, np.full(size, 1.0 / tilings), True)


def _of_all(size: int, function: Callable) -> Features:
    every = np.arange(size, dtype=np.int32)
    return Features(size, lambda x: Active(jnp.asarray(every), function(x)), np.ones(size))


def _exponents(dimensions: int, order: int) -> np.ndarray:
    """Returns {0 .. order}^D, [(order + 1)^D, D]."""
    _positive(dimensions=dimensions)
    if type(order) is not int or order < 0:
        raise ValueError(f"the order must be a whole number, 0 or more, not {order!r}")
    _checked_size((order + 1) ** dimensions)
    return np.array(list(itertools.product(range(order + 1), repeat=dimensions)))


def _checked_size(size: int) -> int:
    if size > MOST:
        raise ValueError(f"{size:,} features are more than {MOST:,}: take a smaller order or fewer tiles")
    return size


def _positive(**sizes) -> None:
    for name, size in sizes.items():
        if type(size) is not int or size < 1:
            raise ValueError(f"{name} must be a positive integer, not {size!r}")
