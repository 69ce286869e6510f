"""The book's mountain car, and that its figure comes out."""

import numpy as np
import pytest

from experiments.book import mountain_car


def test_few_episodes_are_as_long_as_they_are_told_to_be_and_get_shorter():
    early = mountain_car.lengths(4, (0.5,), 2)
    assert early.shape == (2, 1) and (150 < early).all() and (early < 320).all()


@pytest.mark.slow
@pytest.mark.parametrize(("n", "rate", "published"), [(1, 1.5, 231), (2, 1.25, 227), (4, 0.75, 222)])
def test_figure_10_4_steps_of_an_episode_over_the_first_50(n, rate, published):
    found = mountain_car.lengths(n, (rate,), 40)
    assert np.mean(found) == pytest.approx(published, rel=0.04)
