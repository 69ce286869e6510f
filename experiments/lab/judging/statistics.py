"""Statistics over seeds: aggregates and comparisons with intervals (Agarwal et al. 2021, arXiv 2108.13264).

Scores are a matrix [seeds, environments]; a vector [seeds] is one environment. Returns of several environments are
made comparable by `normalise` first wherever they are averaged. A score that is not finite is a diverged trial: what
ranks scores counts it as worst, what averages them refuses it and says how many there are.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

RESAMPLES = 5000
BOOTSTRAP_SEED = 0  # the same scores always give the same interval


@dataclass(frozen=True)
class Estimate:
    """A statistic and the bounds of its interval, NaN where one seed allows none; floats or arrays of one shape."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Efficiency:
    """Environment steps to a score: one for each seed (NaN: never), the share that reach it, the median if all do."""

    steps: np.ndarray
    share: Estimate
    median: Estimate | None


def iqm(scores, axis: int = 0) -> np.ndarray:
    """Returns the interquartile mean: the mean of the scores left when a quarter, rounded down, is cut at each end.

    NaN where a score is not finite: trimming would drop it silently.
    """
    scores = np.asarray(scores, np.float64)
    is_finite = np.isfinite(scores)
    trimmed = stats.trim_mean(np.where(is_finite, scores, 0.0), 0.25, axis=axis)
    return np.where(is_finite.all(axis=axis), trimmed, np.nan)[()]


def iqm_interval(scores, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Returns (low, high) of the percentile bootstrap interval of the IQM over axis 0 (seeds), of shape scores.shape[1:].

    Seeds are resampled with replacement, whole columns at a time. NaN where fewer than two seeds leave nothing to
    resample, and where a score is not finite.
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


def iqm_score(scores) -> np.ndarray:
    """Returns the IQM of all runs on all environments together, [..., seeds, environments] -> [...] (section 4.3)."""
    scores = finite(scores)
    return stats.trim_mean(scores.reshape(*scores.shape[:-2], -1), 0.25, axis=-1)


def mean_score(scores) -> np.ndarray:
    """Returns the mean over environments of the mean over seeds, [..., seeds, environments] -> [...]."""
    return finite(scores).mean(axis=(-2, -1))


def median_score(scores) -> np.ndarray:
    """Returns the median over environments of the mean over seeds, [..., seeds, environments] -> [...].

    The paper's definition: with one environment there is one mean to take the median of.
    """
    return np.median(finite(scores).mean(axis=-2), axis=-1)


def aggregates(scores, confidence: float = 0.95) -> dict[str, Estimate]:
    """Returns the paper's IQM, mean and median of a score matrix, each with its interval."""
    statistics = {"iqm": iqm_score, "mean": mean_score, "median": median_score}
    return {name: interval(statistic, scores, confidence=confidence) for name, statistic in statistics.items()}


def interval(statistic: Callable[..., np.ndarray], *scores, confidence: float = 0.95) -> Estimate:
    """Returns statistic(*scores) with its stratified percentile bootstrap interval (section 4.1 of the paper).

    statistic takes arrays [..., seeds, environments] to [...]. Seeds are resampled with replacement within each
    environment, the same ones in every matrix. With few seeds the interval covers less often than it says.
    """
    matrices = same_shape(scores)
    seeds, environments = matrices[0].shape
    value = statistic(*matrices)
    if seeds < 2:
        return Estimate(value, np.nan, np.nan)
    generator = np.random.default_rng(BOOTSTRAP_SEED)
    chosen = generator.integers(seeds, size=(RESAMPLES, seeds, environments))
    resampled = statistic(*(np.take_along_axis(matrix[None], chosen, axis=1) for matrix in matrices))
    return _percentiles(value, resampled, confidence)


def normalise(scores, low, high) -> np.ndarray:
    """Returns (scores - low) / (high - low), [seeds, environments], for references low and high of each environment."""
    low, span = np.asarray(low, np.float64), np.subtract(high, low, dtype=np.float64)
    if not (np.isfinite(span) & (span > 0.0)).all():
        raise ValueError(f"the high reference must be above the low one in every environment; low {low}, high {high}")
    return (matrix_of(scores) - low) / span


def performance_profile(scores, taus, confidence: float = 0.95) -> Estimate:
    """Returns the share of runs with score > tau, averaged over environments, at each of taus; [taus] (section 4.2).

    The interval holds for one tau at a time, not for the whole curve. A diverged run is above no tau.
    """
    scores = as_worst(matrix_of(scores))
    seeds, environments = scores.shape
    above = (scores[..., None] > np.asarray(taus, np.float64)).astype(np.float64)
    value = above.mean(axis=(0, 1))
    if seeds < 2:
        return Estimate(value, np.full_like(value, np.nan), np.full_like(value, np.nan))
    # How often each seed is drawn says all there is to know here, and saves an array of resamples times taus times runs.
    generator = np.random.default_rng(BOOTSTRAP_SEED)
    drawn = generator.multinomial(seeds, np.full(seeds, 1.0 / seeds), size=(RESAMPLES, environments))
    resampled = np.tensordot(drawn, above, axes=([1, 2], [1, 0])) / scores.size
    return _percentiles(value, resampled, confidence)


def probability(x, y) -> np.ndarray:
    """Returns P(X > Y) over all pairs of runs, averaged over environments, [..., seeds, environments] -> [...].

    mean over environments of 1 / (n m) sum_ij (1[x_i > y_j] + 1/2 1[x_i = y_j]), from ranks as Mann and Whitney do.
    """
    n, m = np.shape(x)[-2], np.shape(y)[-2]
    ranks = stats.rankdata(np.concatenate([as_worst(x), as_worst(y)], axis=-2), axis=-2)
    wins = ranks[..., :n, :].sum(axis=-2) - n * (n + 1) / 2
    return (wins / (n * m)).mean(axis=-1)


def probability_of_improvement(x, y, confidence: float = 0.95) -> Estimate:
    """Returns P(X > Y) with its interval, for two contenders that ran under the same seeds (section 4.3).

    Seeds are resampled in pairs: both contenders start a seed alike, and apart their scores would lose what they share.
    """
    return interval(probability, x, y, confidence=confidence)


def paired_difference(x, y, statistic=mean_score, confidence: float = 0.95) -> Estimate:
    """Returns the mean (or another statistic, such as iqm_score) of the differences x - y seed by seed, with interval."""
    x, y = same_shape((x, y))
    return interval(statistic, finite(x) - finite(y), confidence=confidence)


def steps_to_score(env_steps, curves, score: float) -> np.ndarray:
    """Returns the environment steps at which each seed's curve first reaches score, [seeds]; NaN where it never does.

    env_steps: [evaluations]; curves: [seeds, evaluations].
    """
    env_steps, curves = np.asarray(env_steps, np.float64), np.asarray(curves, np.float64)
    if curves.ndim != 2 or env_steps.shape != curves.shape[1:] or not curves.size:
        raise ValueError(f"curves must be [seeds, evaluations], as many as env_steps, not {curves.shape}")
    reached = curves >= score
    return np.where(reached.any(axis=1), env_steps[reached.argmax(axis=1)], np.nan)


def sample_efficiency(env_steps, curves, score: float, confidence: float = 0.95) -> Efficiency:
    """Returns the steps each seed took to a score, the share that reach it, and where all do the median over seeds."""
    steps = steps_to_score(env_steps, curves, score)
    reached = np.isfinite(steps)
    share = interval(mean_score, reached, confidence=confidence)
    if not reached.all():
        return Efficiency(steps, share, None)
    return Efficiency(steps, share, interval(lambda x: np.median(x, axis=(-2, -1)), steps, confidence=confidence))


def _percentiles(value, resampled, confidence: float) -> Estimate:
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(resampled, [tail, 1.0 - tail], axis=0)
    # P of pairs that are nearly the same in every seed has resamples that lie to one side of it.
    return Estimate(value, np.minimum(low, value), np.maximum(high, value))


def matrix_of(scores) -> np.ndarray:
    """Returns the scores as [seeds, environments]."""
    scores = np.asarray(scores, np.float64)
    if scores.ndim not in (1, 2) or not scores.size:
        raise ValueError(f"scores must be [seeds] or [seeds, environments], at least one of each, not {scores.shape}")
    return scores.reshape(len(scores), -1)


def same_shape(scores) -> list[np.ndarray]:
    """Returns the contenders' scores as matrices [seeds, environments] of one shape."""
    matrices = [matrix_of(each) for each in scores]
    shapes = {matrix.shape for matrix in matrices}
    if len(shapes) != 1:
        raise ValueError(f"contenders must have run under the same seeds and environments, not {sorted(shapes)}")
    return matrices


def as_worst(scores) -> np.ndarray:
    """Returns the scores with -inf for every one that is not finite; None, as which JSON gives one back, is none."""
    scores = np.asarray(scores, np.float64)
    return np.where(np.isfinite(scores), scores, -np.inf)


def finite(scores) -> np.ndarray:
    """Returns the scores. Raises ValueError when one is not finite."""
    scores = np.asarray(scores, np.float64)
    diverged = np.sum(~np.isfinite(scores))
    if diverged:
        raise ValueError(f"{diverged} of {scores.size} scores are not finite (diverged): they rank, but have no mean")
    return scores
