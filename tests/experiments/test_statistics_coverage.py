"""How often intervals hold the truth and verdicts are wrong, by simulation; the long version prints its figures:

python -m pytest -m slow -n 0 -s tests/experiments/test_statistics_coverage.py
"""

import numpy as np
import pytest
from scipy import integrate, stats

from experiments.lab.judging.statistics import (
    interval,
    iqm_score,
    mean_score,
    median_score,
    paired_difference,
    performance_profile,
    probability_of_improvement,
    sample_efficiency,
)
from experiments.lab.judging.verdicts import seeds_needed, verdict, verdicts

SEEDS = (5, 10, 20)


def truth_of_iqm(distribution):
    """The mean of the middle half of a distribution: 2 times the integral of its quantiles from 1/4 to 3/4."""
    return 2.0 * integrate.quad(distribution.ppf, 0.25, 0.75)[0]


def correlated(generator, seeds, environments, correlation, shift):
    """Two contenders with normal scores of spread 1, of which the first is ahead by shift."""
    shared, x, y = generator.normal(size=(3, seeds, environments))
    x, y = (np.sqrt(correlation) * shared + np.sqrt(1.0 - correlation) * own for own in (x, y))
    return x + shift, y


def of_one(distribution, statistic, environments, truth):
    """A case: the interval of a statistic of one contender's scores, and what it should hold."""
    return lambda generator, seeds: (
        interval(statistic, distribution.rvs(size=(seeds, environments), random_state=generator)),
        truth,
    )


def of_pairs(compare, correlation, shift, truth, environments=1):
    """A case: the interval of a comparison of two contenders with normal scores, and what it should hold."""
    return lambda generator, seeds: (compare(*correlated(generator, seeds, environments, correlation, shift)), truth)


def of_profile(generator, seeds):
    """A case: the profile of normal scores at tau = 0.5."""
    return performance_profile(generator.normal(size=(seeds, 1)), [0.5]), stats.norm.sf(0.5)


def of_steps(generator, seeds):
    """A case: the median of steps that are uniform on 1..99, read off curves."""
    steps = np.arange(1.0, 100.0)
    return sample_efficiency(steps, steps >= generator.integers(1, 100, size=(seeds, 1)), 1.0).median, 50.0


NORMAL, SKEWED, HEAVY = stats.norm(3.0, 1.0), stats.expon(), stats.t(3)
P_OF_ONE = stats.norm.cdf(1.0 / np.sqrt(2.0))
CASES = {
    "IQM, normal": of_one(NORMAL, iqm_score, 1, 3.0),
    "IQM, exponential": of_one(SKEWED, iqm_score, 1, truth_of_iqm(SKEWED)),
    "IQM, t with 3 degrees": of_one(HEAVY, iqm_score, 1, 0.0),
    "IQM, normal, 4 environments": of_one(NORMAL, iqm_score, 4, 3.0),
    "mean, normal": of_one(NORMAL, mean_score, 1, 3.0),
    "mean, exponential": of_one(SKEWED, mean_score, 1, 1.0),
    "median, normal, 5 environments": of_one(NORMAL, median_score, 5, 3.0),
    "profile, normal": of_profile,
    "median steps, uniform": of_steps,
    "P = 0.76, correlation 0": of_pairs(probability_of_improvement, 0.0, 1.0, P_OF_ONE),
    "P = 0.76, correlation 0.5": of_pairs(probability_of_improvement, 0.5, 1.0, P_OF_ONE),
    "P = 0.76, correlation 0.9": of_pairs(probability_of_improvement, 0.9, 1.0, P_OF_ONE),
    "P = 0.5, correlation 0": of_pairs(probability_of_improvement, 0.0, 0.0, 0.5),
    "P = 0.5, correlation 0.9": of_pairs(probability_of_improvement, 0.9, 0.0, 0.5),
    "P = 0.76, 4 environments": of_pairs(probability_of_improvement, 0.0, 1.0, P_OF_ONE, 4),
    "paired mean, correlation 0.9": of_pairs(paired_difference, 0.9, 1.0, 1.0),
}


def coverage(case, seeds, repetitions):
    """The share of intervals that hold the truth."""
    generator = np.random.default_rng(seeds)
    held = [
        estimate.low <= truth <= estimate.high
        for estimate, truth in (case(generator, seeds) for _ in range(repetitions))
    ]
    return np.mean(held)


@pytest.mark.parametrize("name", ["IQM, normal", "median, normal, 5 environments", "P = 0.76, correlation 0.9"])
def test_intervals_of_ten_seeds_hold_the_truth_about_nineteen_times_in_twenty(name):
    assert 0.83 <= coverage(CASES[name], 10, 120) <= 0.99


def test_resampling_in_pairs_is_what_makes_the_interval_of_p_fit_correlated_scores():
    generator = np.random.default_rng(1)
    widths = {0.0: [], 0.95: []}
    for correlation, found in widths.items():
        for _ in range(30):
            better = probability_of_improvement(*correlated(generator, 10, 1, correlation, 0.0))
            found.append(better.high - better.low)
    assert np.mean(widths[0.95]) < 0.6 * np.mean(widths[0.0])


def share_of_false_leads(contenders, seeds, repetitions):
    """How often verdicts call the best of equal contenders ahead of any other."""
    generator = np.random.default_rng(contenders)
    names = [str(name) for name in range(contenders)]
    found = [verdicts(names, generator.normal(size=(contenders, seeds))) for _ in range(repetitions)]
    return np.mean([any("is ahead" in words for words in each) for each in found])


def test_equal_contenders_are_seldom_called_ahead():
    assert share_of_false_leads(2, 8, 100) <= 0.1
    assert share_of_false_leads(4, 10, 50) <= 0.1


def power_at_the_seeds_needed(effect, correlation, repetitions):
    """(seeds needed for an effect, share of simulated verdicts that show it with so many)."""
    generator = np.random.default_rng(0)
    spread = np.sqrt(2.0 * (1.0 - correlation))
    needed = seeds_needed(spread * stats.zscore(np.arange(10.0), ddof=1), effect)
    found = [verdict("x", "y", *correlated(generator, needed, 1, correlation, effect)) for _ in range(repetitions)]
    return needed, np.mean(["x is ahead" in words for words in found])


def test_the_seeds_needed_mostly_show_the_effect_they_were_computed_for():
    assert 0.65 <= power_at_the_seeds_needed(1.0, 0.0, 100)[1] <= 0.92


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_intervals_hold_the_truth_as_often_as_the_percentile_bootstrap_can(name):
    found = {seeds: coverage(CASES[name], seeds, 1000) for seeds in SEEDS}
    print(f"\n{name}: " + ", ".join(f"{held:.1%} with {seeds} seeds" for seeds, held in found.items()))
    assert 0.75 <= found[5] and 0.84 <= found[10] and 0.87 <= found[20]


@pytest.mark.slow
@pytest.mark.parametrize("contenders", [2, 3, 6])
def test_equal_contenders_are_called_ahead_at_most_one_time_in_twenty(contenders):
    share = share_of_false_leads(contenders, 10, 1000)
    print(f"\n{contenders} equal contenders, 10 seeds: {share:.1%} false leads")
    assert share <= 0.05 + 3.0 * np.sqrt(0.05 * 0.95 / 1000)


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("effect", [0.5, 1.0])
def test_the_seeds_needed_show_their_effect_more_often_than_not(effect, correlation):
    needed, share = power_at_the_seeds_needed(effect, correlation, 500)
    print(f"\neffect {effect}, correlation {correlation}: {needed} seeds, shown {share:.1%} of the time")
    assert 0.55 <= share  # ranks of strongly correlated scores see less of a small effect than their differences do
