"""Statistics over seeds: the interquartile mean and its bootstrap interval (Agarwal et al. 2021, arXiv 2108.13264)."""

import numpy as np
from scipy import stats

RESAMPLES = 5000
BOOTSTRAP_SEED = 0  # the same scores always give the same interval


def iqm(scores, axis: int = 0) -> np.ndarray:
    """Returns the interquartile mean: the mean of the scores left when a quarter, rounded down, is cut at each end."""
    return stats.trim_mean(scores, 0.25, axis=axis)


def iqm_interval(scores, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Returns (low, high) of the percentile bootstrap interval of the IQM over axis 0 (seeds), of shape scores.shape[1:].

    Seeds are resampled with replacement, whole columns at a time. NaN where fewer than two seeds leave nothing to
    resample, and where a score is NaN.
    """
    scores = np.asarray(scores, np.float64)
    if len(scores) < 2:
        nothing = np.full(scores.shape[1:], np.nan)
        return nothing, nothing
    generator = np.random.default_rng(BOOTSTRAP_SEED)
    chosen = generator.integers(len(scores), size=(RESAMPLES, len(scores)))
    tail = (1.0 - confidence) / 2.0
    resampled = iqm(scores[chosen], axis=1)
    return tuple(np.quantile(resampled, [tail, 1.0 - tail], axis=0))
