"""The statistics against loops that follow rliable's published definitions."""

import numpy as np
import pytest

from experiments.lab.statistics import iqm, iqm_interval


def iqm_by_sorting(scores):
    """Mean of the middle half: a quarter, rounded down, is dropped at each end."""
    cut = len(scores) // 4
    return np.mean(sorted(scores)[cut : len(scores) - cut])


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


def test_each_column_has_its_own_interval():
    scores = np.random.default_rng(1).normal(size=(8, 3))
    low, high = iqm_interval(scores)
    for column in range(3):
        assert (low[column], high[column]) == pytest.approx(iqm_interval(scores[:, column]))


def test_one_seed_allows_no_interval():
    assert np.isnan(iqm_interval([3.0])).all()


def test_a_diverged_seed_is_not_dropped_silently():
    assert np.isnan(iqm([1.0, np.nan, 2.0, 3.0]))
    assert np.isnan(iqm_interval([1.0, np.nan, 2.0, 3.0])).all()
