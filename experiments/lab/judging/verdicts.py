"""Verdicts in words: whether one contender is ahead of another, and how many seeds would be needed to show it."""

import math
from collections.abc import Collection, Sequence
from itertools import combinations

import numpy as np
from scipy import stats

from experiments.lab.judging import looks as looked
from experiments.lab.judging.looks import Looks
from experiments.lab.judging.statistics import (
    BOOTSTRAP_SEED,
    Estimate,
    as_worst,
    finite,
    matrix_of,
    probability,
    probability_of_improvement,
    same_shape,
)

LEVEL = 0.05  # how often a verdict is allowed to be wrong where nothing differs, over all looks at a run
POWER = 0.8
ENUMERATED = 13  # exchanges of up to so many pairs are all tried, of more a sample of 10,000
MOST_SEEDS = 10_000  # beyond this a number of seeds is no advice


def verdicts(
    names: Sequence[str],
    returns,
    effect: float | None = None,
    told: Collection[frozenset[str]] = (),
    looks: Looks | None = None,
) -> list[str]:
    """Returns a verdict on the best contender against each other one, best first; returns: [contenders, seeds, ...].

    The order is that of mean ranks, which is that of the mean P against the others. The best one is known from the same
    returns, so Holm's correction is over all pairs of contenders, not only over those that are put into words. `told`:
    pairs that need no words. `looks`: the rows that each look had, as seeds were added; None: all at once.
    """
    if not names:
        return []
    matrices = same_shape(returns)
    if len(matrices) != len(names):
        raise ValueError(f"{len(names)} names for the returns of {len(matrices)} contenders; give one name for each")
    ranks = stats.rankdata(
        np.stack([as_worst(matrix) for matrix in matrices]).reshape(-1, matrices[0].shape[1]), axis=0
    )
    means = ranks.reshape(len(names), -1).mean(axis=1)
    pairs = list(combinations(np.argsort(-means, kind="stable"), 2))
    looks = looks or looked.one(len(matrices[0]))
    spent = np.array([_p_values(matrices[a], matrices[b], looks) for a, b in pairs]).reshape(len(pairs), len(looks))
    corrected = np.stack([holm(each) for each in spent.T], axis=1)  # [pairs, looks]
    against_best = list(zip(pairs, corrected))[: len(names) - 1]
    return [
        _sentence((names[a], names[b]), (matrices[a], matrices[b]), p_values, len(pairs), effect, looks)
        for (a, b), p_values in against_best
        if frozenset((names[a], names[b])) not in told
    ]


def verdict(
    name: str, other: str, returns, other_returns, effect: float | None = None, looks: Looks | None = None
) -> str:
    """Returns in words whether one contender is ahead of another, from final scores under the same seeds.

    Ahead: `swap_test` is below the level of the look (5% over all looks, see `looks`) and the interval of P leaves out 1/2.
    Else the number of seeds that would show a difference of effect (by default the mean one observed) is `seeds_needed`, at
    the next look's level and a power of 80%.
    """
    x, y = same_shape((returns, other_returns))
    looks = looks or looked.one(len(x))
    return _sentence((name, other), (x, y), _p_values(x, y, looks), 1, effect, looks)


def _p_values(x, y, looks: Looks) -> list[float]:
    """Returns, after each look, the p-value of all looks so far."""
    return looked.spent([swap_test(x[rows], y[rows]) for rows in looks])


def swap_test(x, y) -> float:
    """Returns the p-value of P(X > Y) against 1/2 when the two scores of a seed may change places; two-sided, exact.

    Exchanging x_i and y_i leaves the pooled ranks r as they are: P - 1/2 is proportional to sum_i s_i (r(x_i) - r(y_i))
    with signs s_i of +-1. All signs are tried, or 10,000 of which one is as observed and the others are random.
    """
    x, y = (as_worst(matrix) for matrix in same_shape((x, y)))
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
    differences = finite(matrix_of(differences))
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


def _sentence(names, returns, p_values, pairs: int, effect, looks: Looks) -> str:
    if effect is not None:
        _check_effect(effect)
    diverged = [
        f" ({name}: {count} of {matrix.size} runs diverged, counted as worst)"
        for name, matrix in zip(names, returns)
        if (count := np.sum(~np.isfinite(matrix)))
    ]
    return _finding(names, returns, p_values, pairs, effect, looks) + "".join(diverged)


def _finding(names, returns, p_values, pairs: int, effect, looks: Looks) -> str:
    (name, other), (x, y) = names, returns
    if len(x) == 1:
        return f"{name} against {other}: one seed shows nothing"
    if np.array_equal(as_worst(x), as_worst(y)):
        return f"{name} against {other}: the same result in every seed"
    corrected = f", Holm-corrected over {pairs} pairs" if pairs > 1 else ""
    better = probability_of_improvement(x, y)
    after = f" in {looked.in_words(looks)}" if len(looks) > 1 else ""
    reached = int(np.argmax(np.asarray(p_values) <= LEVEL))  # 0 where no look reached it
    then = probability(x[looks[reached]], y[looks[reached]])
    if p_values[-1] > LEVEL or better.low <= 0.5 <= better.high or (then - 0.5) * (better.value - 0.5) <= 0.0:
        wanting = _wanting(x, y, effect, LEVEL * looked.share(len(looks) + 1) / pairs)
        return f"{name} against {other}: no difference shown{after}; {wanting}{corrected}"
    if better.high < 0.5:
        name, other, better = other, name, Estimate(1.0 - better.value, 1.0 - better.high, 1.0 - better.low)
    chance = f"P = {better.value:.2f} [{better.low:.2f}, {better.high:.2f}]"
    at = f", shown at look {reached + 1} of {looked.in_words(looks)}" if len(looks) > 1 else ""
    return f"{name} is ahead of {other}: {chance}; {len(looks[reached])} seeds suffice{at}{corrected}"


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
        raise ValueError(f"effect must be a positive difference in score, not {effect}")


def _t_test_power(seeds: int, effect: float, level: float) -> float:
    bound, shift = stats.t.isf(level / 2.0, seeds - 1), effect * math.sqrt(seeds)
    return stats.nct.sf(bound, seeds - 1, shift) + stats.nct.cdf(-bound, seeds - 1, shift)
