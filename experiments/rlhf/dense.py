"""Bradley and Terry's model on features that are numbers, as a pretrained model gives them.

    P(first preferred) = sigmoid(w . (x_first - x_second)),   x = (features - mean) / deviation / sqrt(F)

with mean and deviation over the texts that it learns from, and ridge / 2 |w|^2 (`linear.py` has the same of counted words).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from experiments.rlhf.pairs import Pairs

ITERATIONS = 200


class Head(NamedTuple):
    """A score of features."""

    mean: np.ndarray  # float64 [F]
    deviation: np.ndarray  # float64 [F]
    w: np.ndarray  # float64 [F]

    def score(self, features: np.ndarray) -> np.ndarray:
        """Returns w . x of each row, float64 [N]."""
        return standardised(features, self.mean, self.deviation) @ self.w


def standardised(features: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Returns x, [..., F], float64 of float64. A feature that is one number has 0."""
    return (features - mean) / (deviation + (deviation == 0.0)) / np.sqrt(mean.size)


def fit(features: np.ndarray, pairs: Pairs, ridge: float) -> Head:
    """Returns the head fitted to pairs, which name rows of the features [N, F]; those in a pair give mean and deviation."""
    used, at = np.unique(np.concatenate([pairs.first, pairs.second]), return_inverse=True)
    own = features[used].astype(float)
    mean, deviation = own.mean(axis=0), own.std(axis=0)
    x, (first, second) = standardised(own, mean, deviation), at.reshape(2, -1)

    def loss_and_gradient(w):
        scores = x @ w
        margin = scores[first] - scores[second]
        nll = np.logaddexp(0.0, margin) - pairs.label * margin
        slope = expit(margin) - pairs.label
        by_text = np.bincount(first, slope, len(used)) - np.bincount(second, slope, len(used))
        return nll.sum() + ridge / 2.0 * w @ w, x.T @ by_text + ridge * w

    found = minimize(
        loss_and_gradient, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}
    )
    return Head(mean, deviation, found.x)


def best(features: np.ndarray, pairs: Pairs, ridges: Sequence[float], judged) -> tuple[Head, float]:
    """Returns (the head, its ridge) of which `judged(scores [N])` is greatest: an accuracy on validation texts."""
    heads = [fit(features, pairs, ridge) for ridge in ridges]
    found = max(range(len(ridges)), key=lambda place: judged(heads[place].score(features)))
    return heads[found], ridges[found]
