"""Statistics over seeds: aggregates, comparisons and verdicts with intervals (Agarwal et al. 2021, arXiv 2108.13264).

Scores are a matrix [seeds, environments]; a vector [seeds] is one environment. Returns of several environments are
made comparable by `normalise` first wherever they are averaged. A score that is not finite is a diverged trial: what
ranks scores counts it as worst, what averages them refuses it and says how many there are.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

RESAMPLES = 5000
BOOTSTRAP_SEED = 0  # the same scores always give the same interval
LEVEL = 0.05  # of a verdict: how often one is allowed to be wrong where nothing differs
POWER = 0.8
ENUMERATED = 13  # exchanges of up to so many pairs are all tried, of more a sample of 10,000
MOST_SEEDS = 10_000  # beyond this a number of seeds is no advice


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
    finite = np.isfinite(scores)
    trimmed = stats.trim_mean(np.where(finite, scores, 0.0), 0.25, axis=axis)
    return np.where(finite.all(axis=axis), trimmed, np.nan)[()]


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
    scores = _finite(scores)
    return stats.trim_mean(scores.reshape(*scores.shape[:-2], -1), 0.25, axis=-1)


def mean_score(scores) -> np.ndarray:
    """Returns the mean over environments of the mean over seeds, [..., seeds, environments] -> [...]."""
    return _finite(scores).mean(axis=(-2, -1))


def median_score(scores) -> np.ndarray:
    """Returns the median over environments of the mean over seeds, [..., seeds, environments] -> [...].

    The paper's definition: with one environment there is one mean to take the median of.
    """
    return np.median(_finite(scores).mean(axis=-2), axis=-1)


def aggregates(scores, confidence: float = 0.95) -> dict[str, Estimate]:
    """Returns the paper's IQM, mean and median of a score matrix, each with its interval."""
    statistics = {"iqm": iqm_score, "mean": mean_score, "median": median_score}
    return {name: interval(statistic, scores, confidence=confidence) for name, statistic in statistics.items()}


def interval(statistic: Callable[..., np.ndarray], *scores, confidence: float = 0.95) -> Estimate:
    """Returns statistic(*scores) with its stratified percentile bootstrap interval (section 4.1 of the paper).

    statistic takes arrays [..., seeds, environments] to [...]. Seeds are resampled with replacement within each
    environment, the same ones in every matrix. With few seeds the interval covers less often than it says.
    """
    matrices = _same_shape(scores)
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
    return (_matrix(scores) - low) / span


def performance_profile(scores, taus, confidence: float = 0.95) -> Estimate:
    """Returns the share of runs with score > tau, averaged over environments, at each of taus; [taus] (section 4.2).

    The interval holds for one tau at a time, not for the whole curve. A diverged run is above no tau.
    """
    scores = _as_worst(_matrix(scores))
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
    ranks = stats.rankdata(np.concatenate([_as_worst(x), _as_worst(y)], axis=-2), axis=-2)
    wins = ranks[..., :n, :].sum(axis=-2) - n * (n + 1) / 2
    return (wins / (n * m)).mean(axis=-1)


def probability_of_improvement(x, y, confidence: float = 0.95) -> Estimate:
    """Returns P(X > Y) with its interval, for two contenders that ran under the same seeds (section 4.3).

    Seeds are resampled in pairs: both contenders start a seed alike, and apart their scores would lose what they share.
    """
    return interval(probability, x, y, confidence=confidence)


def paired_difference(x, y, statistic=mean_score, confidence: float = 0.95) -> Estimate:
    """Returns the mean (or another statistic, such as iqm_score) of the differences x - y seed by seed, with interval."""
    x, y = _same_shape((x, y))
    return interval(statistic, _finite(x) - _finite(y), confidence=confidence)


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


def swap_test(x, y) -> float:
    """Returns the p-value of P(X > Y) against 1/2 when the two scores of a seed may change places; two-sided, exact.

    Exchanging x_i and y_i leaves the pooled ranks r as they are: P - 1/2 is proportional to sum_i s_i (r(x_i) - r(y_i))
    with signs s_i of +-1. All signs are tried, or 10,000 of which one is as observed and the others are random.
    """
    x, y = (_as_worst(matrix) for matrix in _same_shape((x, y)))
    ranks = stats.rankdata(np.concatenate([x, y]), axis=0)
    difference = (ranks[: len(x)] - ranks[len(x) :]).ravel()
    difference = difference[difference != 0.0]
    if len(difference) <= ENUMERATED:
        swapped = np.arange(2 ** len(difference))[:, None] >> np.arange(len(difference)) & 1
    else:
        swapped = np.random.default_rng(BOOTSTRAP_SEED).integers(2, size=(10_000, len(difference)), dtype=np.int8)
        swapped[0] = 0
    signed = difference.sum() - 2.0 * swapped.astype(np.float64) @ difference
    return float(np.mean(np.abs(signed) >= abs(difference.sum())))


def holm(p_values) -> np.ndarray:
    """Returns the p-values corrected for their number: max over j <= i of (m - j + 1) p_(j), at most 1 (Holm 1979)."""
    p_values = np.asarray(p_values, np.float64)
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty_like(p_values)
    corrected[order] = np.maximum.accumulate(np.arange(len(order), 0, -1) * p_values[order])
    return np.minimum(corrected, 1.0)


def seeds_needed(differences, effect: float, level: float = LEVEL, power: float = POWER) -> int:
    """Returns how many seeds it takes to show a mean paired difference of effect, in the units of the differences.

    The smallest n at which the two-sided paired t-test has the power wanted (noncentral t), the spread taken from the
    differences given, [seeds] or [seeds, environments] (averaged over environments, seed by seed); and never fewer than
    `swap_test` needs to reach the level at all. It is as uncertain as that spread: from few seeds, a rough guide, and a
    low one where scores of one seed are nearly equal, since a verdict ranks runs and sees less there than a t-test does.
    """
    _check_effect(effect)
    differences = _finite(_matrix(differences))
    if len(differences) < 2 or not (0.0 < level < 1.0 and 0.0 < power < 1.0):
        raise ValueError("the spread takes two seeds or more, and level and power lie between 0 and 1")
    fewest = max(2, math.ceil((1.0 - math.log2(level)) / differences.shape[1]))
    spread = float(differences.mean(axis=1).std(ddof=1))
    normal = (stats.norm.isf(level / 2.0) + stats.norm.isf(1.0 - power)) * spread / effect
    seeds = max(fewest, math.ceil(min(normal**2, MOST_SEEDS)))
    # A t-test never needs fewer seeds than the normal one that the search starts from.
    while spread > 0.0 and seeds < MOST_SEEDS and _t_test_power(seeds, effect / spread, level) < power:
        seeds += 1
    return seeds


def verdict(name: str, other: str, returns, other_returns, effect: float | None = None) -> str:
    """Returns in words whether one contender is ahead of another, from final returns under the same seeds.

    Ahead: `swap_test` is below 5% and the interval of P leaves out 1/2. Else the number of seeds that would show a
    difference of effect (by default the mean one observed) is `seeds_needed`, at 5% and a power of 80%.
    """
    x, y = _same_shape((returns, other_returns))
    return _sentence((name, other), (x, y), swap_test(x, y), 1, effect)


def verdicts(names: Sequence[str], returns, effect: float | None = None) -> list[str]:
    """Returns a verdict on the best contender against each other one, best first; returns: [contenders, seeds, ...].

    The order is that of mean ranks, which is that of the mean P against the others. The best one is known from the same
    returns, so Holm's correction is over all pairs of contenders, not only over those that are put into words.
    """
    matrices = _same_shape(returns)
    if len(matrices) != len(names):
        raise ValueError(f"{len(names)} names for the returns of {len(matrices)} contenders; give one name for each")
    ranks = stats.rankdata(
        np.stack([_as_worst(matrix) for matrix in matrices]).reshape(-1, matrices[0].shape[1]), axis=0
    )
    means = ranks.reshape(len(names), -1).mean(axis=1)
    pairs = list(combinations(np.argsort(-means, kind="stable"), 2))
    p_values = holm([swap_test(matrices[a], matrices[b]) for a, b in pairs])
    against_best = list(zip(pairs, p_values))[: len(names) - 1]
    return [
        _sentence((names[a], names[b]), (matrices[a], matrices[b]), p_value, len(pairs), effect)
        for (a, b), p_value in against_best
    ]


def _sentence(names, returns, p_value, pairs: int, effect) -> str:
    if effect is not None:
        _check_effect(effect)
    diverged = [
        f" ({name}: {count} of {matrix.size} runs diverged, counted as worst)"
        for name, matrix in zip(names, returns)
        if (count := np.sum(~np.isfinite(matrix)))
    ]
    return _finding(names, returns, p_value, pairs, effect) + "".join(diverged)


def _finding(names, returns, p_value, pairs: int, effect) -> str:
    (name, other), (x, y) = names, returns
    if len(x) == 1:
        return f"{name} against {other}: one seed shows nothing"
    if np.array_equal(_as_worst(x), _as_worst(y)):
        return f"{name} against {other}: the same result in every seed"
    corrected = f", Holm-corrected over {pairs} pairs" if pairs > 1 else ""
    better = probability_of_improvement(x, y)
    if p_value > LEVEL or better.low <= 0.5 <= better.high:
        return f"{name} against {other}: no difference shown; {_wanting(x, y, effect, LEVEL / pairs)}{corrected}"
    if better.high < 0.5:
        name, other, better = other, name, Estimate(1.0 - better.value, 1.0 - better.high, 1.0 - better.low)
    chance = f"P = {better.value:.2f} [{better.low:.2f}, {better.high:.2f}]"
    return f"{name} is ahead of {other}: {chance}; {len(x)} seeds suffice{corrected}"


def _wanting(x, y, effect, level: float) -> str:
    if not (np.isfinite(x) & np.isfinite(y)).all():
        return "how many seeds would be needed cannot be told from runs that diverged"
    seeds, differences = len(x), x - y
    size = abs(float(differences.mean())) if effect is None else effect
    if size == 0.0:
        return "the mean difference is 0, which no number of seeds would show"
    needed = seeds_needed(differences, size, level)
    if effect is None:
        needed = max(needed, seeds + 1)  # these seeds did not show it, whatever a t-test would have said of them
    if needed <= seeds:
        return f"{seeds} seeds suffice to show one of {size:.3g}"
    count = f"about {needed}" if needed < MOST_SEEDS else f"more than {MOST_SEEDS}"
    return f"{count} seeds would be needed to show one of {size:.3g}"


def _check_effect(effect: float) -> None:
    if not (np.isfinite(effect) and effect > 0.0):
        raise ValueError(f"effect must be a positive difference in return, not {effect}")


def _t_test_power(seeds: int, effect: float, level: float) -> float:
    bound, shift = stats.t.isf(level / 2.0, seeds - 1), effect * math.sqrt(seeds)
    return stats.nct.sf(bound, seeds - 1, shift) + stats.nct.cdf(-bound, seeds - 1, shift)


def _percentiles(value, resampled, confidence: float) -> Estimate:
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(resampled, [tail, 1.0 - tail], axis=0)
    # P of pairs that are nearly the same in every seed has resamples that lie to one side of it.
    return Estimate(value, np.minimum(low, value), np.maximum(high, value))


def _matrix(scores) -> np.ndarray:
    scores = np.asarray(scores, np.float64)
    if scores.ndim not in (1, 2) or not scores.size:
        raise ValueError(f"scores must be [seeds] or [seeds, environments], at least one of each, not {scores.shape}")
    return scores.reshape(len(scores), -1)


def _same_shape(scores) -> list[np.ndarray]:
    matrices = [_matrix(each) for each in scores]
    shapes = {matrix.shape for matrix in matrices}
    if len(shapes) != 1:
        raise ValueError(f"contenders must have run under the same seeds and environments, not {sorted(shapes)}")
    return matrices


def _as_worst(scores) -> np.ndarray:
    return np.where(np.isfinite(scores), scores, -np.inf)


def _finite(scores) -> np.ndarray:
    scores = np.asarray(scores, np.float64)
    diverged = np.sum(~np.isfinite(scores))
    if diverged:
        raise ValueError(f"{diverged} of {scores.size} scores are not finite (diverged): they rank, but have no mean")
    return scores
