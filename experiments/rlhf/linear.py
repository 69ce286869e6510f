"""Linear models of texts: a rating by ridge regression, a preference by Bradley and Terry's model.

A text's features of one kind are a unit vector, each entry a weight of the feature; x are these vectors side by side, that of
a kind times the root of the kind's share. The score is b + w . x. Fitted by

    ridge:          min_w  sum_i (y_i - mean(y) - w . x_i)^2 + ridge |w|^2, b = mean(y)
    Bradley-Terry:  min_w  -sum_k [l_k log sigma(d_k) + (1 - l_k) log sigma(-d_k)] + ridge / 2 |w|^2,
                    d_k = w . (x_first - x_second), b = 0

A feature's weight is its idf, log((1 + N) / (1 + n)) + 1 where n of the N texts have it; with `Weighing` times
least + |sum of (y - mean(y)) over these n| / (n + prior): how much it said by itself of what is to be foretold.
Bradley and Terry, "Rank analysis of incomplete block designs", 1952; Debole and Sebastiani, "Supervised term weighting for
automated text categorization", 2003.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.optimize import minimize
from scipy.sparse.linalg import LinearOperator, cg
from scipy.special import expit

from experiments.rlhf.features import Features
from experiments.rlhf.pairs import Pairs

TOLERANCE, ITERATIONS = 1e-8, 1000
Kinds = Sequence[tuple[Features, float]]  # and the share of each; shares sum to 1


class Weighing(NamedTuple):
    """How features are weighted by what they say of ratings."""

    prior: float  # texts that said nothing, added to those that have the feature
    least: float  # the weight of a feature that said nothing


class Kind(NamedTuple):
    """The features of one kind."""

    features: Features
    share: float
    places: dict[str, int]  # of each feature in the array
    weights: np.ndarray  # float64 [F]

    def rows(self, found: Iterable[Iterable[str]]) -> sparse.csr_array:
        """Returns the part of x of each text whose features are given, [N, F]; 0 for one that has none of those known."""
        known = [sorted({self.places[feature] for feature in own if feature in self.places}) for own in found]
        ends = np.cumsum([0, *map(len, known)])
        columns = np.array(list(chain.from_iterable(known)), np.int64)
        norms = np.sqrt([np.sum(self.weights[own] ** 2) for own in np.split(columns, ends[1:-1])])
        values = np.sqrt(self.share) * self.weights[columns] / np.repeat(norms, np.diff(ends))
        return sparse.csr_array((values, columns, ends), (len(known), len(self.weights)))


class Linear(NamedTuple):
    """A score of a text."""

    kinds: tuple[Kind, ...]
    w: np.ndarray  # float64 [features of all kinds]
    b: float

    def score(self, texts: Sequence[str]) -> np.ndarray:
        """Returns b + w . x of each text, [N]; features that were never seen count for nothing."""
        rows = sparse.hstack([kind.rows(map(kind.features, texts)) for kind in self.kinds], "csr")
        return self.b + rows @ self.w


def fit_ratings(
    texts: Sequence[str], ratings: np.ndarray, kinds: Kinds, ridge: float, weighing: Weighing | None = None
) -> Linear:
    """Returns the ridge regression of ratings [N], solved in its dual, (X X' + ridge I) a = y - b, w = X' a."""
    mean = float(np.mean(ratings))
    fitted, rows = counted(texts, kinds, None if weighing is None else ratings - mean, weighing)
    system = LinearOperator((len(texts),) * 2, lambda a: rows @ (rows.T @ a) + ridge * a, dtype=float)
    dual, failed = cg(system, ratings - mean, rtol=TOLERANCE, maxiter=ITERATIONS)
    if failed:
        raise ValueError(f"a ridge of {ridge} is too small: no solution in {ITERATIONS} steps")
    return Linear(fitted, rows.T @ dual, mean)


def fit_preferences(texts: Sequence[str], pairs: Pairs, kinds: Kinds, ridge: float) -> Linear:
    """Returns the Bradley-Terry model of pairs of the texts; those in a pair give the features."""
    used, first, second = compared(pairs)
    fitted, rows = counted([texts[index] for index in used], kinds)
    return Linear(fitted, bradley_terry(rows, first, second, pairs.label, ridge), 0.0)


def compared(pairs: Pairs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns (the sentences that are in a pair, where in them each pair's first is, and its second)."""
    used, at = np.unique(np.concatenate([pairs.first, pairs.second]), return_inverse=True)
    return used, at[: len(pairs.first)], at[len(pairs.first) :]


def bradley_terry(rows: sparse.csr_array, first: np.ndarray, second: np.ndarray, label: np.ndarray, ridge: float):
    """Returns w [F] of Bradley and Terry's model of the pairs (first, second) of rows [N, F]."""

    def loss_and_gradient(w):
        scores = rows @ w
        margin = scores[first] - scores[second]
        nll = np.logaddexp(0.0, margin) - label * margin
        slope = expit(margin) - label
        by_text = np.bincount(first, slope, rows.shape[0]) - np.bincount(second, slope, rows.shape[0])
        return nll.sum() + ridge / 2.0 * w @ w, rows.T @ by_text + ridge * w

    start = np.zeros(rows.shape[1])
    return minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}).x


def counted(
    texts: Sequence[str], kinds: Kinds, rest: np.ndarray | None = None, weighing: Weighing | None = None
) -> tuple[tuple[Kind, ...], sparse.csr_array]:
    """Returns (the kinds of features of the texts, x of each [N, F]). rest: what weighs the features, y - mean(y) [N]."""
    fitted, rows = [], []
    for features, share in kinds:
        found = [list(dict.fromkeys(features(text))) for text in texts]
        having = Counter(chain.from_iterable(found))
        places = {feature: place for place, feature in enumerate(having)}
        counts = np.array(list(having.values()), float)
        weights = np.log((1.0 + len(texts)) / (1.0 + counts)) + 1.0
        if weighing is not None:
            columns = [places[feature] for feature in chain.from_iterable(found)]
            said = np.bincount(columns, np.repeat(rest, list(map(len, found))), len(places))
            weights *= weighing.least + np.abs(said) / (counts + weighing.prior)
        fitted.append(Kind(features, share, places, weights))
        rows.append(fitted[-1].rows(found))
    return tuple(fitted), sparse.hstack(rows, "csr")
