"""The count of n-grams against a dense Bradley-Terry model of tuples, and how it is weighed against a transformer."""

import jax
import numpy as np
import pytest
from scipy.optimize import minimize

from algos.rlhf import ngrams, tokeniser
from algos.rlhf.ngrams import LONGEST
from experiments.rlhf import counting, encoding
from experiments.rlhf.pairs import Pairs
from experiments.rlhf.stages import reward_model

TEXTS = ["A good film.", "a GOOD good film", "bad", "not bad at all", "A bad, bad plot", "so so", "film", "a plot"]


@pytest.fixture(scope="module")
def compared():
    """The texts but the last as rows of bytes, and pairs of them, ties among them."""
    random = np.random.default_rng(0)
    first = random.integers(0, 7, 60)
    second = (first + random.integers(1, 7, 60)) % 7
    label = random.choice([0.0, 0.5, 1.0], 60).astype(np.float32)
    return encoding.rows(tokeniser.in_bytes(), TEXTS, 14), Pairs(first, second, label, 0.0)


def grams_of(row, mask):
    """Returns the n-grams of a row in lower case, as tuples."""
    text = [int(token) for token, real in zip(row, mask) if real]
    text = [token + 32 if ord("A") <= token - 3 <= ord("Z") else token for token in text]
    return {tuple(text[at : at + n]) for n in range(1, LONGEST + 1) for at in range(len(text) - n + 1)}


def test_scores_are_those_of_a_dense_model_of_tuples(compared):
    rows, drawn = compared
    own = [grams_of(*row) for row in zip(rows.tokens, rows.mask)]
    known = sorted(set().union(*own[:7]))
    each = np.zeros(7)
    for text in range(7):  # wins less defeats over its pairs, halved
        mine = [label - 0.5 for first, label in zip(drawn.first, drawn.label) if first == text]
        mine += [0.5 - label for second, label in zip(drawn.second, drawn.label) if second == text]
        each[text] = np.mean(mine)
    size = []
    for gram in known:
        having = [text for text in range(7) if gram in own[text]]
        idf = np.log((1 + 7) / (1 + len(having))) + 1
        size.append(idf * (0.2 + abs(sum(each[text] for text in having)) / (len(having) + 3.0)))
    x = np.array([[c * (gram in has) for gram, c in zip(known, size)] for has in own])
    x /= np.sqrt((x**2).sum(axis=1, keepdims=True))

    def loss(w):
        apart = (x[drawn.first] - x[drawn.second]) @ w
        return np.sum(drawn.label * np.logaddexp(0, -apart) + (1 - drawn.label) * np.logaddexp(0, apart)) + w @ w

    # The best w lies in the span of the rows, so that seven numbers are to be found.
    best = x[:7].T @ minimize(lambda a: loss(x[:7].T @ a), np.zeros(7), method="BFGS", options={"gtol": 1e-8}).x
    fitted = counting.fit(rows, drawn, tokeniser.in_bytes())
    assert len(fitted.known) == len(known)
    found = jax.jit(ngrams.score)(fitted, rows.tokens, rows.mask)
    last = rows.mask.sum(axis=1).astype(int) - 1
    np.testing.assert_allclose(np.asarray(found)[np.arange(8), last], x @ best, atol=2e-4)


def test_pieces_in_capitals_count_as_those_in_lower_case():
    pieces = tokeniser.learn(["The cast. the cast. The film, the film"] * 20, 48)
    folded = pieces.folded
    capital, small = pieces.encode("The film"), pieces.encode("the film")
    assert capital != small and len(capital) == len(small)
    assert [folded[i] for i in capital] == [folded[i] for i in small] == small
    in_bytes = tokeniser.in_bytes()
    folded = in_bytes.folded
    assert in_bytes.decode([folded[i] for i in in_bytes.encode("AZ@[az\u00c9")]) == "az@[az\u00c9"
    assert folded[:3] == [0, 1, 2]


def test_shares_foretell_the_pairs_best_and_a_part_that_misleads_has_none():
    random = np.random.default_rng(1)
    parts = random.normal(size=(2, 300))
    first, second = random.integers(0, 300, (2, 40_000))
    apart = (np.array([0.7, 1.6]) @ parts)[first] - (np.array([0.7, 1.6]) @ parts)[second]
    label = (random.random(40_000) < 1 / (1 + np.exp(-apart))).astype(np.float32)
    drawn = Pairs(first, second, label, 0.0)
    np.testing.assert_allclose(reward_model.shares(parts, drawn), [0.7, 1.6], atol=0.06)
    assert reward_model.shares(np.stack([-parts[0], parts[1]]), drawn)[0] == 0.0
    none = reward_model.shares(np.stack([np.zeros(300), parts[1]]), drawn)
    assert none[0] == 0.0 and none[1] > 1.0
