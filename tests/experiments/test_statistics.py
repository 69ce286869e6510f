"""The statistics against double loops written from the paper's definitions, scipy's own tests, and cases done by hand."""

import itertools
import re
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from experiments.lab.judging.statistics import (
    aggregates,
    interval,
    iqm,
    iqm_interval,
    iqm_score,
    mean_score,
    median_score,
    normalise,
    paired_difference,
    performance_profile,
    probability,
    probability_of_improvement,
    sample_efficiency,
    steps_to_score,
)
from experiments.lab.judging.verdicts import holm, seeds_needed, swap_test, verdict, verdicts

NAN, INF = np.nan, np.inf
RETURNS = st.integers(-500, 500).map(float)  # whole numbers: ties are common, and scaling is exact


def matrices():
    """Score matrices with a few seeds and environments."""
    return st.tuples(st.integers(2, 8), st.integers(1, 3)).flatmap(
        lambda shape: arrays(np.float64, shape, elements=RETURNS)
    )


def pairs():
    """Two score matrices of one shape."""
    shapes = st.tuples(st.integers(2, 6), st.integers(1, 3))
    return shapes.flatmap(lambda shape: st.tuples(*[arrays(np.float64, shape, elements=RETURNS)] * 2))


def normal(*shape, seed=0, mean=100.0, spread=20.0):
    return np.random.default_rng(seed).normal(mean, spread, size=shape)


def iqm_by_sorting(scores):
    """Mean of the middle half: a quarter, rounded down, is dropped at each end."""
    cut = len(scores) // 4
    return np.mean(sorted(scores)[cut : len(scores) - cut])


def probability_by_loops(x, y):
    """Mean over environments of the share of pairs of runs that X wins, a tie counting half."""
    shares = []
    for environment in range(len(x[0])):
        wins = 0.0
        for one in x:
            for other in y:
                wins += 1.0 if one[environment] > other[environment] else 0.0
                wins += 0.5 if one[environment] == other[environment] else 0.0
        shares.append(wins / (len(x) * len(y)))
    return sum(shares) / len(shares)


def bootstrap_by_loops(statistic, *scores, count=2000):
    """The 95% percentile interval, seeds drawn environment by environment, the same ones in every matrix."""
    generator = np.random.default_rng(99)
    seeds, environments = scores[0].shape
    values = []
    for _ in range(count):
        drawn = [np.empty_like(matrix) for matrix in scores]
        for environment in range(environments):
            for place in range(seeds):
                row = generator.integers(seeds)
                for to, matrix in zip(drawn, scores):
                    to[place, environment] = matrix[row, environment]
        values.append(statistic(*drawn))
    return np.percentile(values, [2.5, 97.5])


# The interquartile mean of columns


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 10, 11, 30])
def test_iqm_is_the_mean_of_the_middle_half(count):
    scores = np.random.default_rng(count).normal(size=count)
    assert iqm(scores) == pytest.approx(iqm_by_sorting(scores), rel=1e-12)


def test_the_interval_agrees_with_a_bootstrap_written_as_a_loop():
    scores = np.random.default_rng(0).normal(100.0, 20.0, size=12)
    generator = np.random.default_rng(5)
    resampled = [iqm_by_sorting(generator.choice(scores, size=12)) for _ in range(5000)]
    low, high = iqm_interval(scores)
    assert (low, high) == pytest.approx(tuple(np.percentile(resampled, [2.5, 97.5])), abs=1.0)


def test_the_interval_is_the_same_every_time():
    scores = np.arange(10.0)
    assert iqm_interval(scores) == iqm_interval(scores)
    assert interval(mean_score, scores) == interval(mean_score, scores)


def test_each_column_has_its_own_interval():
    scores = np.random.default_rng(1).normal(size=(8, 3))
    low, high = iqm_interval(scores)
    for column in range(3):
        assert (low[column], high[column]) == pytest.approx(iqm_interval(scores[:, column]))


def test_one_seed_allows_no_interval():
    assert np.isnan(iqm_interval([3.0])).all()
    for estimate in (*aggregates([3.0]).values(), probability_of_improvement([3.0], [2.0])):
        assert np.isfinite(estimate.value) and np.isnan([estimate.low, estimate.high]).all()
    profile = performance_profile([3.0], [1.0, 5.0])
    assert profile.value.tolist() == [1.0, 0.0] and np.isnan([profile.low, profile.high]).all()


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_a_diverged_seed_is_not_dropped_silently(bad):
    assert np.isnan(iqm([1.0, bad, 2.0, 3.0]))
    assert np.isnan(iqm_interval([1.0, bad, 2.0, 3.0])).all()
    columns = np.array([[1.0, bad], [2.0, 1.0], [3.0, 2.0], [4.0, 3.0]])
    assert iqm(columns)[0] == 2.5 and np.isnan(iqm(columns)[1])
    assert (
        np.isfinite(np.array(iqm_interval(columns))[:, 0]).all()
        and np.isnan(np.array(iqm_interval(columns))[:, 1]).all()
    )


# Aggregates over seeds and environments


def test_aggregates_of_a_small_matrix_are_those_found_by_hand():
    scores = [[0.0, 10.0, 20.0], [2.0, 14.0, 60.0], [4.0, 18.0, 100.0], [6.0, 22.0, 20.0]]
    # Means over seeds: 3, 16, 50. Sorted: 0 2 4 | 6 10 14 18 20 20 | 22 60 100, of which the middle six average 88 / 6.
    found = {name: estimate.value for name, estimate in aggregates(scores).items()}
    assert found == pytest.approx({"iqm": 88.0 / 6.0, "mean": 23.0, "median": 16.0})


@pytest.mark.parametrize("shape", [(5, 1), (4, 3), (10, 6)])
def test_aggregates_of_any_matrix_equal_plain_python(shape):
    scores = normal(*shape, seed=shape[0])
    means = [sum(column) / len(column) for column in scores.T.tolist()]
    found = {name: estimate.value for name, estimate in aggregates(scores).items()}
    middle = sorted(means)[(len(means) - 1) // 2 : len(means) // 2 + 1]
    assert found["mean"] == pytest.approx(sum(means) / len(means), rel=1e-12)
    assert found["median"] == pytest.approx(sum(middle) / len(middle), rel=1e-12)
    assert found["iqm"] == pytest.approx(iqm_by_sorting(scores.ravel()), rel=1e-12)
    assert found["iqm"] == pytest.approx(stats.trim_mean(scores, 0.25, axis=None), rel=1e-12)


@pytest.mark.parametrize("statistic", [iqm_score, mean_score, median_score])
def test_a_stratified_interval_agrees_with_loops_that_draw_seeds_environment_by_environment(statistic):
    scores = normal(7, 3, seed=3) + np.array([0.0, 100.0, 300.0])
    low, high = bootstrap_by_loops(statistic, scores)
    found = interval(statistic, scores)
    # Far apart environments: drawn across them, the interval would be ten times as wide.
    assert (found.low, found.high) == pytest.approx((low, high), abs=2.0)


def test_each_environment_draws_its_own_seeds():
    # What one environment gains the other loses: drawn together, seeds would leave the mean without any spread.
    scores = normal(7, 1, seed=3, mean=0.0) * [1.0, -1.0]
    found = interval(mean_score, scores)
    assert (found.low, found.high) == pytest.approx(tuple(bootstrap_by_loops(mean_score, scores)), abs=2.0)
    profile = performance_profile(scores, [0.0])
    expected = bootstrap_by_loops(lambda x: np.mean(x > 0.0), scores)
    assert (profile.low[0], profile.high[0]) == pytest.approx(tuple(expected), abs=1 / 14 + 1e-9)


@pytest.mark.parametrize("statistic", [iqm_score, mean_score])
def test_the_interval_of_one_environment_agrees_with_scipys_bootstrap(statistic):
    scores = normal(12, seed=4)
    plain = {iqm_score: lambda x, axis: stats.trim_mean(x, 0.25, axis=axis), mean_score: np.mean}[statistic]
    theirs = stats.bootstrap((scores,), plain, method="percentile", n_resamples=20_000, rng=1).confidence_interval
    found = interval(statistic, scores)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.7)


def test_a_higher_confidence_makes_a_wider_interval():
    scores = normal(10)
    narrow, wide = (interval(mean_score, scores, confidence=confidence) for confidence in (0.5, 0.99))
    theirs = stats.bootstrap((scores,), np.mean, confidence_level=0.5, method="percentile", rng=1).confidence_interval
    assert (narrow.low, narrow.high) == pytest.approx((theirs.low, theirs.high), abs=0.7)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_what_averages_refuses_a_diverged_run_and_says_how_many():
    scores = [[1.0, NAN], [2.0, 3.0], [INF, 4.0]]
    for average in (aggregates, lambda x: interval(iqm_score, x), lambda x: paired_difference(x, np.zeros((3, 2)))):
        with pytest.raises(ValueError, match="2 of 6 scores are not finite"):
            average(scores)


@given(matrices())
@settings(max_examples=40, deadline=None)
def test_an_interval_contains_its_estimate(scores):
    for estimate in (*aggregates(scores).values(), performance_profile(scores, [-100.0, 0.0])):
        assert np.all(estimate.low <= estimate.value) and np.all(estimate.value <= estimate.high)


@given(matrices(), st.sampled_from([0.5, 2.0, 8.0]), st.sampled_from([-64.0, 0.0, 512.0]))
@settings(max_examples=40, deadline=None)
def test_aggregates_and_their_intervals_scale_and_shift_with_the_scores(scores, factor, shift):
    before, after = aggregates(scores), aggregates(factor * scores + shift)
    for name, estimate in before.items():
        expected = factor * np.array([estimate.value, estimate.low, estimate.high]) + shift
        assert [after[name].value, after[name].low, after[name].high] == pytest.approx(expected, abs=1e-9)


@given(pairs(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_seeds_does_not_matter_to_an_estimate(both, random):
    x, y = both
    order = list(range(len(x)))
    random.shuffle(order)
    for statistic in (iqm_score, mean_score, median_score):
        assert statistic(x[order]) == pytest.approx(statistic(x), abs=1e-9)
    assert probability(x[order], y) == probability(x, y)
    assert swap_test(x[order], y[order]) == pytest.approx(swap_test(x, y), abs=0.03)


# Normalised scores


def test_normalised_scores_are_0_at_the_low_reference_and_1_at_the_high_one():
    scores = [[-200.0, 500.0], [-100.0, 260.0]]
    assert normalise(scores, [-200.0, 20.0], [-100.0, 500.0]).tolist() == [[0.0, 1.0], [1.0, 0.5]]


def test_normalising_keeps_a_diverged_run_for_what_comes_after():
    assert np.isnan(normalise([[NAN], [5.0]], 0.0, 10.0)).tolist() == [[True], [False]]


@pytest.mark.parametrize("high", [[1.0, 0.0], [1.0, -1.0], [1.0, NAN]])
def test_references_that_leave_no_span_are_refused(high):
    with pytest.raises(ValueError, match="high reference must be above"):
        normalise([[1.0, 2.0]], [0.0, 0.0], high)


# Performance profiles


def test_a_profile_is_the_share_of_runs_above_each_tau():
    scores, taus = normal(6, 3, seed=2).round(-1), [60.0, 80.0, 100.0, 120.0, 1000.0]
    expected = []
    for tau in taus:
        shares = [sum(score > tau for score in column) / 6 for column in scores.T]
        expected.append(sum(shares) / 3)
    assert performance_profile(scores, taus).value == pytest.approx(expected)


def test_the_interval_of_a_profile_agrees_with_loops_at_each_tau():
    scores, taus = normal(8, 2, seed=2), [80.0, 100.0, 115.0]
    found = performance_profile(scores, taus)
    for at, tau in enumerate(taus):
        low, high = bootstrap_by_loops(lambda x, tau=tau: np.mean(x > tau), scores)
        assert (found.low[at], found.high[at]) == pytest.approx((low, high), abs=1 / 16 + 1e-9)


def test_the_interval_of_a_profile_of_one_environment_is_the_binomial_one():
    scores = np.array([0.0] * 7 + [1.0] * 3)
    found = performance_profile(scores, [0.5])
    exact = stats.binom.ppf([0.025, 0.975], 10, 0.3) / 10
    assert (found.low[0], found.high[0]) == pytest.approx(exact)


def test_a_diverged_run_is_above_no_tau():
    assert performance_profile([NAN, INF, -INF, 2.0], [-1e9, 1.0, 2.0]).value.tolist() == [0.25, 0.25, 0.0]


# The probability of improvement


def test_probabilities_of_small_cases_are_those_found_by_hand():
    assert probability_of_improvement([3.0, 4.0], [1.0, 2.0]).value == 1.0
    assert probability_of_improvement([1.0, 3.0], [2.0, 3.0]).value == 1.5 / 4  # 3 > 2, and 3 ties with 3
    assert (
        probability_of_improvement([[1.0, 5.0]], [[2.0, 5.0]]).value == 0.25
    )  # 0 in one environment, 1/2 in the other


@given(pairs())
@settings(max_examples=60, deadline=None)
def test_the_probability_is_the_papers_double_sum_and_mann_whitneys_u(both):
    x, y = both
    assert probability(x, y) == pytest.approx(probability_by_loops(x, y), abs=1e-12)
    u = stats.mannwhitneyu(x, y, axis=0, method="asymptotic").statistic
    assert probability(x, y) == pytest.approx(np.mean(u / (len(x) * len(y))), abs=1e-12)


def test_the_probability_of_two_contenders_with_unlike_numbers_of_seeds_is_the_double_sum():
    x, y = normal(5, 2, seed=1).round(-1), normal(9, 2, seed=2).round(-1)
    assert probability(x, y) == pytest.approx(probability_by_loops(x, y), abs=1e-12)


@given(pairs())
@settings(max_examples=40, deadline=None)
def test_the_probabilities_of_x_over_y_and_y_over_x_add_to_1(both):
    forth, back = probability_of_improvement(*both), probability_of_improvement(*reversed(both))
    assert forth.value + back.value == pytest.approx(1.0)
    assert (forth.low + back.high, forth.high + back.low) == pytest.approx((1.0, 1.0))
    assert forth.low <= forth.value <= forth.high


def test_a_small_shift_of_correlated_scores_still_has_an_interval_that_holds_the_estimate():
    scores = normal(10, spread=1000.0)
    found = probability_of_improvement(scores + 1.0, scores)
    assert found.value == 0.55  # of 100 pairs the 10 of one seed are won, half of the others
    assert found.low <= 0.55 <= found.high


def test_the_interval_of_p_agrees_with_pairs_drawn_by_loops_and_with_scipys_paired_bootstrap():
    shared = normal(10, 2, seed=7)
    x, y = shared + normal(10, 2, seed=8, mean=8.0, spread=5.0), shared + normal(10, 2, seed=9, mean=0.0, spread=5.0)
    found = probability_of_improvement(x, y)
    assert (found.low, found.high) == pytest.approx(tuple(bootstrap_by_loops(probability_by_loops, x, y)), abs=0.03)
    x, y = x[:, 0], y[:, 0]
    found = probability_of_improvement(x, y)
    theirs = stats.bootstrap(
        (x, y), lambda a, b: probability_by_loops(a[:, None], b[:, None]), paired=True, vectorized=False,
        method="percentile", n_resamples=2000, rng=3,
    ).confidence_interval  # fmt: skip
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.03)


def test_a_diverged_run_loses_to_every_finite_one_and_ties_with_another():
    assert probability_of_improvement([NAN, 1.0], [-1e30, -1e30]).value == 0.5
    assert probability_of_improvement([NAN, INF], [-INF, -1e30]).value == 0.25  # two ties among four pairs


# Paired differences


def test_paired_differences_are_taken_seed_by_seed():
    x, y = [10.0, 20.0, 30.0, 140.0], [9.0, 18.0, 27.0, 36.0]
    assert paired_difference(x, y).value == pytest.approx((1 + 2 + 3 + 104) / 4)
    assert paired_difference(x, y, iqm_score).value == pytest.approx(2.5)


def test_what_seeds_share_leaves_the_interval_of_the_paired_difference():
    shared = normal(10, spread=1000.0)
    theirs = stats.bootstrap((np.arange(10.0),), np.mean, method="percentile", n_resamples=20_000, rng=1)
    found = paired_difference(shared + np.arange(10.0), shared)
    expected = (theirs.confidence_interval.low, theirs.confidence_interval.high)
    assert (found.low, found.high) == pytest.approx(expected, abs=0.15)


# Sample efficiency

STEPS = [100, 200, 300, 400]


def test_the_steps_to_a_score_are_those_of_the_first_evaluation_that_reaches_it():
    curves = [[1.0, 5.0, 2.0, 9.0], [1.0, 4.9, 2.0, 5.0], [5.0, NAN, NAN, NAN], [1.0, NAN, 4.0, 4.9]]
    assert steps_to_score(STEPS, curves, 5.0).tolist()[:3] == [200.0, 400.0, 100.0]
    assert np.isnan(steps_to_score(STEPS, curves, 5.0)[3])


def test_where_all_seeds_reach_a_score_the_median_is_given_with_its_interval():
    curves = np.triu(np.ones((4, 4)))[[0, 0, 1, 3, 3, 2, 1]]
    found = sample_efficiency(STEPS, curves, 1.0)
    assert found.steps.tolist() == [100.0, 100.0, 200.0, 400.0, 400.0, 300.0, 200.0]
    assert (found.share.value, found.median.value) == (1.0, 200.0)
    low, high = bootstrap_by_loops(np.median, found.steps[:, None])
    assert (found.median.low, found.median.high) == pytest.approx((low, high))


def test_where_some_seeds_never_reach_a_score_the_share_that_does_is_given():
    found = sample_efficiency(STEPS, np.eye(4)[[0, 1, 2, 3]] * [1, 1, 1, 0], 1.0)
    assert found.median is None and found.share.value == 0.75
    assert (found.share.low, found.share.high) == (0.25, 1.0)


@pytest.mark.parametrize("shape", [(4,), (2, 3), (0, 4)])
def test_curves_that_do_not_fit_their_steps_are_refused(shape):
    with pytest.raises(ValueError, match=re.escape(str(shape))):
        steps_to_score(STEPS, np.zeros(shape), 1.0)


# Tests and corrections


def swap_test_by_enumeration(x, y):
    """The share of all exchanges within pairs whose P is as far from 1/2 as the observed one."""
    cells = list(np.ndindex(x.shape))
    observed = abs(probability_by_loops(x, y) - 0.5)
    count = 0
    for choice in itertools.product([False, True], repeat=len(cells)):
        a, b = x.copy(), y.copy()
        for cell, swap in zip(cells, choice):
            if swap:
                a[cell], b[cell] = y[cell], x[cell]
        count += abs(probability_by_loops(a, b) - 0.5) >= observed - 1e-12
    return count / 2 ** len(cells)


@pytest.mark.parametrize("shape", [(1, 1), (4, 1), (6, 1), (3, 2), (2, 3)])
@pytest.mark.parametrize("digits", [0, -1])
def test_the_swap_test_equals_an_enumeration_of_all_exchanges(shape, digits):
    for seed in range(3):
        x = normal(*shape, seed=seed, mean=115.0).round(digits)
        y = normal(*shape, seed=seed + 50).round(digits)
        assert swap_test(x, y) == pytest.approx(swap_test_by_enumeration(x, y))


def test_the_swap_test_of_many_seeds_agrees_with_scipys_permutation_test():
    x, y = normal(20, seed=1, mean=110.0), normal(20, seed=2)
    theirs = stats.permutation_test(
        (x, y), lambda a, b: stats.rankdata([a, b]).reshape(2, -1)[0].sum(), permutation_type="samples",
        n_resamples=9999, rng=1,
    )  # fmt: skip
    assert swap_test(x, y) == pytest.approx(theirs.pvalue, abs=0.02)
    assert swap_test(x + 1000.0, y) == 1e-4  # never 0: the observed order is one of the 10,000


def test_holm_corrects_by_the_number_of_hypotheses_left():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]).tolist() == [1.0, 1.0]
    assert holm([0.03]).tolist() == [0.03]


@pytest.mark.parametrize("spread", [0.7, 1.0, 2.0])
def test_the_seeds_needed_give_a_simulated_t_test_the_power_wanted(spread):
    generator = np.random.default_rng(0)
    differences = stats.zscore(generator.normal(size=12), ddof=1) * spread
    power = {}
    needed = seeds_needed(differences, 1.0)
    for seeds in (needed - 1, needed):
        x = generator.normal(1.0, spread, size=(seeds, 20_000))
        power[seeds] = np.mean(stats.ttest_rel(x, np.zeros_like(x)).pvalue < 0.05)
    assert power[needed] > 0.79
    assert power[needed - 1] < 0.81


def test_the_seeds_needed_are_those_of_a_table():
    # A paired t-test at 5% and 80% needs 34 pairs for an effect of half a standard deviation, 199 for a fifth (Cohen).
    unit = stats.zscore(np.arange(10.0), ddof=1)
    assert (seeds_needed(unit, 0.5), seeds_needed(unit, 0.2)) == (34, 199)
    assert seeds_needed(7.0 * unit, 3.5) == 34
    assert seeds_needed(unit, 1e-6) == 10_000


def test_the_seeds_needed_for_several_environments_are_those_for_their_mean_seed_by_seed():
    differences = normal(10, 4, mean=5.0)
    assert seeds_needed(differences, 5.0) == seeds_needed(differences.mean(axis=1), 5.0) > 6
    assert seeds_needed(np.full((3, 4), 5.0), 5.0) == 2  # eight scores to exchange, where six would do


def test_no_fewer_seeds_are_named_than_the_swap_test_can_use():
    for level, fewest in ((0.05, 6), (0.05 / 15, 10)):
        assert seeds_needed([5.0, 5.0, 5.0], 5.0, level=level) == fewest
        assert swap_test(np.arange(fewest) + 100.0, np.arange(fewest) + 0.0) <= level
        assert swap_test(np.arange(fewest - 1) + 100.0, np.arange(fewest - 1) + 0.0) > level


# Verdicts in words


def test_a_clear_lead_reads_as_one():
    x = np.arange(10.0)
    y = np.array([0.5, 0, 0, 0, 0, 0, 0, 0, 0, 0]) - 3.0
    sizes = "its mean is 7.450 higher, its IQM 7.500 higher"
    assert verdict("ppo", "a2c", x, y) == f"ppo is ahead of a2c: P = 1.00 [1.00, 1.00]; {sizes}; 10 seeds suffice"
    assert verdict("a2c", "ppo", y, x) == verdict("ppo", "a2c", x, y)


def test_no_lead_is_told_where_the_interval_of_p_holds_one_half_though_the_swap_test_alone_would_tell_one():
    x = np.array([[5, 5], [4, 0], [5, 3], [0, 3], [0, 3], [5, 4]], float)
    y = np.array([[2, 0], [3, 2], [2, 1], [3, 2], [1, 2], [3, 2]], float)
    assert swap_test(x, y) < 0.05 and probability_of_improvement(x, y).low == 0.5
    assert verdict("a", "b", x, y).startswith("a against b: no difference shown")


def test_the_figures_of_a_verdict_are_those_of_the_probability_whichever_contender_comes_first():
    x, y = normal(10, seed=1, mean=125.0), normal(10, seed=2)
    better = probability_of_improvement(x, y)
    figures = f"P = {better.value:.2f} [{better.low:.2f}, {better.high:.2f}]"
    assert 0.5 < better.low < better.high and better.value < 1.0
    for words in (verdict("ppo", "a2c", x, y), verdict("a2c", "ppo", y, x)):
        assert words.startswith(f"ppo is ahead of a2c: {figures}; its mean is ") and words.endswith(
            "; 10 seeds suffice"
        )


def test_where_no_difference_is_shown_the_seeds_that_would_show_it_are_named():
    differences = 20.0 + 34.0 * stats.zscore(np.arange(10.0) % 4, ddof=1)
    x = 100.0 * np.arange(10.0)
    words = verdict("ppo", "a2c", x + differences, x)
    iqm_higher = iqm_by_sorting(x + differences) - iqm_by_sorting(x)
    assert words.startswith("ppo against a2c: no difference shown; P = 0.")
    assert f"; ppo's mean is 20.0 higher, its IQM {iqm_higher:.1f} higher; " in words
    assert words.endswith("; about 47 seeds would be needed to show that mean difference")
    assert seeds_needed(differences, 20.0) == 25
    words = verdict("ppo", "a2c", x + differences, x, effect=100.0)
    assert words.endswith("; 10 seeds suffice to show a mean difference of 100")
    words = verdict("ppo", "a2c", x + differences, x, effect=0.01)
    assert words.endswith("more than 10000 seeds would be needed to show a mean difference of 0.01")


def test_more_seeds_than_those_at_hand_are_wanted_when_these_show_nothing():
    words = verdict("ppo", "a2c", [11.0, 21.0, 31.0, 41.0, 51.0], [0.0, 10.0, 20.0, 30.0, 40.0])
    assert words.endswith("; about 10 seeds would be needed to show that mean difference")


def test_a_mean_difference_of_0_wants_no_number_of_seeds():
    words = verdict("ppo", "a2c", [1.0, 2.0], [2.0, 1.0])
    assert words.endswith(
        "ppo's mean is the same, its IQM the same; the mean difference is 0, which no number of seeds would show"
    )
    wanted = "would be needed to show a mean difference of 1"
    assert wanted in verdict("ppo", "a2c", [1.0, 2.0], [2.0, 1.0], effect=1.0)


def test_one_seed_shows_nothing_in_words():
    assert verdict("ppo", "a2c", [500.0], [9.0]) == "ppo against a2c: one seed shows nothing"
    assert verdict("ppo", "a2c", np.ones((1, 20)), np.zeros((1, 20))) == "ppo against a2c: one seed shows nothing"


def test_identical_returns_are_called_the_same():
    for same in ([500.0] * 10, normal(10, 3)):
        assert verdict("ppo", "a2c", same, same) == "ppo against a2c: the same result in every seed"


def test_the_same_returns_in_another_order_are_not_called_the_same():
    assert "no difference shown" in verdict("ppo", "a2c", [1.0, 2.0, 3.0], [3.0, 2.0, 1.0])


def test_a_diverged_run_counts_as_worst_and_is_counted_in_words():
    y = normal(10, seed=2)
    words = verdict("ppo", "a2c", y + 1000.0, np.where(np.arange(10) < 3, NAN, y))
    assert words.startswith("ppo is ahead of a2c: P = 1.00")
    assert words.endswith("10 seeds suffice (a2c: 3 of 10 runs diverged, counted as worst)")
    words = verdict("ppo", "a2c", y, np.where(np.arange(10) < 1, INF, y))
    assert re.search(
        r"no difference shown; P = \S+ \[.*\]; how many seeds would be needed cannot be told from runs", words
    )
    assert "mean" not in words
    words = verdict("ppo", "a2c", [NAN, 1.0], [NAN, 1.0])
    assert (
        words.startswith("ppo against a2c: the same result in every seed (ppo: 1 of 2 runs") and "(a2c: 1 of" in words
    )


def test_a_diverged_run_can_turn_a_verdict():
    y = normal(10, seed=2)
    assert verdict("ppo", "a2c", y + 40.0, y).startswith("ppo is ahead")
    assert "no difference" in verdict("ppo", "a2c", np.where(np.arange(10) < 5, NAN, y + 40.0), y)


def test_verdicts_come_best_first_and_name_every_other_contender_once():
    returns = np.stack([normal(10, seed=seed, mean=mean) for seed, mean in enumerate([100.0, 400.0, 200.0, 300.0])])
    found = verdicts(["dqn", "ppo", "a2c", "trpo"], returns)
    assert [words.split(":")[0] for words in found] == [f"ppo is ahead of {name}" for name in ("trpo", "a2c", "dqn")]
    assert all(words.endswith("10 seeds suffice, Holm-corrected over 6 pairs") for words in found)


def test_a_lead_that_stands_alone_can_fall_to_the_correction_for_many_contenders():
    returns = np.stack(
        [normal(10, seed=seed, mean=mean) for seed, mean in enumerate([121.0, 100.0, 100.0, 100.0, 99.0])]
    )
    names = ["best", "b", "c", "d", "e"]
    alone = [verdict("best", name, returns[0], row) for name, row in zip(names[1:], returns[1:])]
    among = verdicts(names, returns)
    lead = "best is ahead of"
    assert sum(words.startswith(lead) for words in alone) > sum(words.startswith(lead) for words in among)


def test_two_contenders_need_no_correction_and_one_has_nobody_to_beat():
    x, y = normal(10, seed=1, mean=130.0), normal(10, seed=2)
    assert verdicts(["a2c", "ppo"], [y, x]) == [verdict("ppo", "a2c", x, y)]
    assert verdicts(["ppo"], [x]) == []


def test_the_best_of_several_environments_is_judged_by_ranks_not_by_the_largest_scale():
    steady = normal(10, 3, seed=1) + [60.0, 60.0, 0.0]
    loud = normal(10, 3, seed=2) + [0.0, 0.0, 1.0]
    loud[:, 2] *= 1000.0
    steady[:, 2] *= 1000.0
    found = verdicts(["loud", "steady"], [loud, steady])
    better = probability_of_improvement(steady, loud)
    assert found[0].startswith(f"steady is ahead of loud: P = {better.value:.2f} [")


def test_a_contender_that_diverged_is_not_the_best():
    found = verdicts(["bad", "good"], [[NAN, NAN, 900.0, NAN], [1.0, 2.0, 3.0, 4.0]])
    assert found[0].startswith("good against bad:")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: aggregates([]), "at least one"),
        (lambda: aggregates(np.zeros((2, 2, 2))), "[seeds, environments]"),
        (lambda: interval(mean_score, [1.0, 2.0], confidence=95), "between 0 and 1, not 95"),
        (lambda: verdict("a", "b", [1.0, 2.0], [1.0]), "same seeds"),
        (lambda: verdicts(["a", "b"], [[1.0, 2.0]]), "2 names for the returns of 1"),
        (lambda: verdict("a", "b", [1.0, 2.0], [3.0, 4.0], effect=0.0), "positive difference in score, not 0.0"),
        (lambda: seeds_needed([1.0, 2.0], -1.0), "positive difference in score, not -1.0"),
        (lambda: seeds_needed([1.0], 1.0), "two seeds or more"),
    ],
)
def test_bad_input_is_refused_with_what_is_allowed(call, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        call()


def test_ten_seeds_of_six_contenders_take_less_than_a_second():
    returns = normal(6, 10)
    start = time.process_time()
    verdicts(list("abcdef"), returns)
    for scores in returns:
        aggregates(scores)
        performance_profile(scores, np.linspace(50.0, 150.0, 20))
    assert time.process_time() - start < 1.0
