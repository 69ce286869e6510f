"""A linear score of which n-grams of tokens a text has (Wang and Manning 2012, "Baselines and bigrams").

    s = sum_g w_g x_g,    x_g = c_g / sqrt(sum_h c_h^2)    over the known n-grams of up to N tokens, however often the text has them

c_g is what an n-gram counts among texts, say its inverse document frequency; x is then of length 1. Read at a token, it is the
score of the text up to there. With thousands of comparisons this orders sentences better than a transformer that begins
from nothing: its w is found exactly, and every n-gram says something by itself.

An n-gram is known by a hash of 32 bits: one that was never met is taken for another with a probability of G / 2^32.
"""

import jax
import jax.numpy as jnp
from flax import struct

LONGEST = 4  # N
FACTOR = 0x9E3779B1  # odd, so that no token of an n-gram is lost from its hash
APART = 0x10000001  # between n-grams of unlike n


@struct.dataclass
class Ngrams:
    """The n-grams that are known, in the order of their hashes."""

    folded: jax.Array  # int32 [V], the token that each is read as: "The" as "the", say
    known: jax.Array  # uint32 [G], rising
    weight: jax.Array  # float32 [G], w_g c_g
    square: jax.Array  # float32 [G], c_g^2


def score(ngrams: Ngrams, tokens, mask) -> jax.Array:
    """Returns the score of texts [B, T] at each of their tokens, [B, T]; 0 where no n-gram is known yet."""
    hashed, counts = found(ngrams.folded, tokens, mask)
    place = jnp.minimum(jnp.searchsorted(ngrams.known, hashed), len(ngrams.known) - 1)
    counts = counts & (ngrams.known[place] == hashed)
    weight, square = (jnp.sum(jnp.where(counts, x[place], 0.0), axis=0) for x in (ngrams.weight, ngrams.square))
    length = jnp.sqrt(jnp.cumsum(square, axis=1))
    return jnp.where(length > 0.0, jnp.cumsum(weight, axis=1) / jnp.where(length > 0.0, length, 1.0), 0.0)


def found(folded, tokens, mask) -> tuple[jax.Array, jax.Array]:
    """Returns (the hash of the n-gram that ends at each token, whether it counts: is whole, and is the text's first of its
    kind), uint32 and bool [N, B, T], n = 1, ..., N."""
    tokens, real = jnp.asarray(folded)[tokens].astype(jnp.uint32), mask > 0.0
    before = jnp.tril(jnp.ones((tokens.shape[1],) * 2, bool), -1)
    hashes, counts, hashed, whole = [], [], tokens, real
    for n in range(1, LONGEST + 1):
        if n > 1:
            hashed = _before(hashed) * jnp.uint32(FACTOR) + tokens
            whole = _before(whole) & real
        named = _mixed(hashed + jnp.uint32(n * APART))
        same = (named[:, :, None] == named[:, None, :]) & whole[:, None, :] & before
        hashes, counts = [*hashes, named], [*counts, whole & ~jnp.any(same, axis=2)]
    return jnp.stack(hashes), jnp.stack(counts)


def _before(x: jax.Array) -> jax.Array:
    return jnp.pad(x, ((0, 0), (1, 0)))[:, :-1]


def _mixed(x: jax.Array) -> jax.Array:
    """Returns x with its bits spread, one to one (the end of MurmurHash3)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
