"""Where a single new run will lie: Wilks' numbers from tables, and the share that the bounds hold by simulation."""

import numpy as np
import pytest
from scipy import integrate, special

from experiments.lab.judging.criterion import Criterion
from experiments.lab.judging.tolerance import CONFIDENCE, SHARE, new_run, order_statistics


def confidence_by_integration(number, cut, share):
    """P(the r-th highest less the r-th lowest of n uniform numbers >= share), from the density of that range."""
    within, outside = number + 1 - 2 * cut, 2 * cut
    norm = special.beta(within, outside)
    return integrate.quad(lambda u: u ** (within - 1) * (1.0 - u) ** (outside - 1) / norm, share, 1.0)[0]


@pytest.mark.parametrize(("fewest", "cut"), [(18, 1), (32, 2)])
def test_the_fewest_runs_that_bound_80_percent_with_90_percent_confidence_are_those_of_wilks(fewest, cut):
    """18 runs for the extremes: 1 - 18 0.8^17 + 17 0.8^18 = 0.9009."""
    assert order_statistics(fewest) == (cut, SHARE)
    assert confidence_by_integration(fewest, cut, SHARE) >= CONFIDENCE
    assert confidence_by_integration(fewest - 1, cut, SHARE) < CONFIDENCE
    assert order_statistics(fewest - 1)[0] == max(cut - 1, 1)


@pytest.mark.parametrize("number", [2, 3, 5, 10, 17])
def test_fewer_runs_say_the_share_that_their_extremes_do_hold(number):
    cut, share = order_statistics(number)
    assert cut == 1 and share < SHARE
    assert confidence_by_integration(number, 1, share) == pytest.approx(CONFIDENCE)
    assert 1.0 - number * share ** (number - 1) + (number - 1) * share**number == pytest.approx(CONFIDENCE)


def test_the_bounds_are_runs_themselves():
    scores = np.random.default_rng(0).permutation(np.arange(40.0))
    assert new_run(scores)[:2] == (1.0, 38.0) and order_statistics(40)[0] == 2
    assert new_run(scores[:10])[:2] == (scores[:10].min(), scores[:10].max())
    assert new_run([3.0]) is None


def test_where_less_is_better_the_bounds_are_of_the_values():
    values = np.array([0.5, 0.1, 0.3])
    found = new_run(-values, Criterion("nash_conv", higher_is_better=False))
    assert (found.low, found.high) == (0.1, 0.5)


def test_a_run_that_diverged_is_the_worst_that_a_new_one_may_do():
    found = new_run([1.0, np.nan, 3.0])
    assert found.low == -np.inf and found.high == 3.0
    found = new_run([-1.0, np.nan, -3.0], Criterion("nash_conv", higher_is_better=False))
    assert (found.low, found.high) == (1.0, np.inf)


@pytest.mark.parametrize("number", [3, 10, 20])
@pytest.mark.parametrize("draw", ["normal", "standard_cauchy", "exponential"])
def test_the_bounds_hold_their_share_with_their_confidence_whatever_the_distribution(number, draw):
    generator = np.random.default_rng(number)
    runs, others = getattr(generator, draw)(size=(600, number)), np.sort(getattr(generator, draw)(size=20_000))
    held = []
    for each in runs:
        found = new_run(each)
        inside = np.searchsorted(others, found.high, "right") - np.searchsorted(others, found.low, "left")
        held.append(inside / len(others) >= found.share)
    error = 3.0 * np.sqrt(0.1 * 0.9 / len(runs))
    assert np.mean(held) >= CONFIDENCE - error
    if number < 18:  # no more is claimed than there is
        assert np.mean(held) <= CONFIDENCE + error
