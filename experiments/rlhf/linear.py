"""Linear models of texts: a rating by ridge regression, a preference by Bradley and Terry's model.

A text is a unit vector x: of each of its features the idf, log((1 + N) / (1 + texts that have it)) + 1. Its score is
b + w . x. Fitted by
    ridge:          min_w  sum_i (y_i - mean(y) - w . x_i)^2 + ridge |w|^2, b = mean(y)
    Bradley-Terry:  min_w  -sum_k [l_k log sigma(d_k) + (1 - l_k) log sigma(-d_k)] + ridge / 2 |w|^2, d_k = w . (x_first - x_second)
Bradley and Terry, "Rank analysis of incomplete block designs", 1952.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.optimize import minimize
from scipy.sparse.linalg import cg
from scipy.special import expit

from experiments.rlhf.features import Features
from experiments.rlhf.pairs import Pairs

TOLERANCE, ITERATIONS = 1e-8, 1000


class Linear(NamedTuple):
    """A score of a text."""

    features: Features
    places: dict[str, int]  # of each feature in the arrays
    idf: np.ndarray  # float64 [F]
    weights: np.ndarray  # float64 [F]
    intercept: float

    def score(self, texts: Sequence[str]) -> np.ndarray:
        """Returns b + w . x of each text, [N]; features that were never seen count for nothing."""
        return self.intercept + unit_rows(map(self.features, texts), self.places, self.idf) @ self.weights


def fit_ratings(texts: Sequence[str], ratings: np.ndarray, features: Features, ridge: float) -> Linear:
    """Returns the ridge regression of ratings [N], solved in its dual, (X X' + ridge I) a = y, w = X' a."""
    places, idf, rows = counted(features, texts)
    mean = float(np.mean(ratings))
    system = sparse.linalg.LinearOperator((len(texts),) * 2, lambda a: rows @ (rows.T @ a) + ridge * a, dtype=float)
    dual, failed = cg(system, ratings - mean, rtol=TOLERANCE, maxiter=ITERATIONS)
    if failed:
        raise ValueError(f"a ridge of {ridge} is too small: no solution in {ITERATIONS} steps")
    return Linear(features, places, idf, rows.T @ dual, mean)


def fit_preferences(texts: Sequence[str], pairs: Pairs, features: Features, ridge: float) -> Linear:
    """Returns the Bradley-Terry model of pairs of the texts, which give the features too; b = 0."""
    used, at = np.unique(np.concatenate([pairs.first, pairs.second]), return_inverse=True)
    own = [texts[index] for index in used]
    places, idf, rows = counted(features, own)
    first, second = at[: len(pairs.first)], at[len(pairs.first) :]

    def loss_and_gradient(weights):
        scores = rows @ weights
        margin = scores[first] - scores[second]
        nll = np.logaddexp(0.0, margin) - pairs.label * margin
        slope = expit(margin) - pairs.label
        by_text = np.bincount(first, slope, len(own)) - np.bincount(second, slope, len(own))
        return nll.sum() + ridge / 2.0 * weights @ weights, rows.T @ by_text + ridge * weights

    found = minimize(
        loss_and_gradient, np.zeros(len(idf)), jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}
    )
    return Linear(features, places, idf, found.x, 0.0)


def counted(features: Features, texts: Sequence[str]) -> tuple[dict[str, int], np.ndarray, sparse.csr_array]:
    """Returns (the place of each feature of the texts, its idf [F], x of each text [N, F])."""
    found = [dict.fromkeys(features(text)) for text in texts]
    having = Counter(feature for own in found for feature in own)
    places = {feature: place for place, feature in enumerate(having)}
    idf = np.log((1.0 + len(texts)) / (1.0 + np.array(list(having.values()), float))) + 1.0
    return places, idf, unit_rows(found, places, idf)


def unit_rows(found: Iterable[Iterable[str]], places: dict[str, int], idf: np.ndarray) -> sparse.csr_array:
    """Returns x of each text whose features are given, [N, F]; 0 for one that has none of those known."""
    known = [sorted({places[feature] for feature in own if feature in places}) for own in found]
    ends = np.cumsum([0, *map(len, known)])
    columns = np.array(list(chain.from_iterable(known)), np.int64)
    norms = np.sqrt([np.sum(idf[own] ** 2) for own in np.split(columns, ends[1:-1])])
    values = idf[columns] / np.repeat(norms, np.diff(ends))
    return sparse.csr_array((values, columns, ends), (len(known), len(idf)))
