"""The score of n-grams against loops over tuples of tokens, which know nothing of hashes."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algos.rlhf import ngrams
from algos.rlhf.ngrams import LONGEST, Ngrams

VOCABULARY, FOLDED = 7, np.array([0, 1, 2, 3, 4, 5, 3], np.int32)  # 6 is read as 3
FOUND = jax.jit(ngrams.found)


def hash_of(gram) -> int:
    """Returns the hash of an n-gram, read as a text by itself."""
    row = np.zeros((1, LONGEST), np.int32)
    row[0, : len(gram)] = gram
    hashed, counts = FOUND(np.arange(VOCABULARY), row, (np.arange(LONGEST) < len(gram))[None].astype(np.float32))
    assert counts[len(gram) - 1, 0, len(gram) - 1]
    return int(hashed[len(gram) - 1, 0, len(gram) - 1])


@pytest.fixture(scope="module")
def known():
    """{n-gram: (w c, c^2)}, some of all there are of folded tokens, and the same as arrays."""
    random, table = np.random.default_rng(0), {}
    for n in range(1, LONGEST + 1):
        every = list(itertools.product(range(1, 6), repeat=n))
        for chosen in random.choice(len(every), min(len(every), 60), replace=False):
            table[every[chosen]] = float(random.normal()), float(random.uniform(0.2, 2.0))
    hashes = {hash_of(gram): both for gram, both in table.items()}
    order = sorted(hashes)
    weight, square = (np.array([hashes[one][place] for one in order], np.float32) for place in (0, 1))
    return table, Ngrams(FOLDED, np.array(order, np.uint32), weight, square)


def by_loops(table, text):
    """Returns the score of a text: each known n-gram once."""
    text = [int(FOLDED[token]) for token in text]
    has = {tuple(text[at : at + n]) for n in range(1, LONGEST + 1) for at in range(len(text) - n + 1)}
    own = [table[gram] for gram in has if gram in table]
    return sum(w for w, _ in own) / np.sqrt(sum(c for _, c in own)) if own else 0.0


def test_the_score_at_each_token_is_that_of_the_text_up_to_there_wherever_the_padding_is(known):
    table, arrays = known
    random, length = np.random.default_rng(1), 12
    texts = [random.integers(1, VOCABULARY, random.integers(1, length - 1)) for _ in range(40)]
    tokens, mask = np.zeros((40, length), np.int32), np.zeros((40, length), np.float32)
    tokens[:] = random.integers(0, VOCABULARY, tokens.shape)  # what stands at padding is junk
    begins = [int(random.integers(0, length - len(text) + 1)) for text in texts]
    for row, (text, begin) in enumerate(zip(texts, begins)):
        tokens[row, begin : begin + len(text)], mask[row, begin : begin + len(text)] = text, 1.0
    found = jax.jit(ngrams.score)(arrays, tokens, mask)
    for row, (text, begin) in enumerate(zip(texts, begins)):
        expected = [by_loops(table, text[: end + 1]) for end in range(len(text))]
        np.testing.assert_allclose(found[row, begin : begin + len(text)], expected, atol=2e-5)


def test_no_two_ngrams_of_a_small_vocabulary_share_a_hash():
    tokens = np.random.default_rng(2).integers(0, VOCABULARY, (200, 64)).astype(np.int32)
    hashed, counts = FOUND(np.arange(VOCABULARY), tokens, np.ones(tokens.shape, np.float32))
    for n in range(1, LONGEST + 1):
        assert np.all(counts[n - 1, :, : n - 1] == 0)  # none that begins before the text
    real = {int(x) for x in np.asarray(hashed)[np.asarray(counts)]}
    grams = {tuple(row[at : at + n]) for row in tokens for n in range(1, LONGEST + 1) for at in range(64 - n + 1)}
    assert len(real) == len(grams) > 2000


def test_an_ngram_that_comes_again_counts_once():
    hashed, counts = FOUND(np.arange(VOCABULARY), jnp.array([[3, 4, 3, 4, 3]]), jnp.ones((1, 5)))
    assert counts[0, 0].tolist() == [True, True, False, False, False]
    assert counts[1, 0].tolist() == [False, True, True, False, False]
    assert counts[2, 0].tolist() == [False, False, True, True, False]
    assert hashed[1, 0, 1] == hashed[1, 0, 3] != hashed[1, 0, 2]
