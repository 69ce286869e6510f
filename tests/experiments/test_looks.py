"""Looking, adding seeds and testing again: the verdicts of all looks together are wrong 5% of the time at most.

The long version prints its figures: python -m pytest -m slow -n 0 -s tests/experiments/test_looks.py
"""

import numpy as np
import pytest
from scipy import stats

from experiments.lab.judging import looks
from experiments.lab.judging.verdicts import LEVEL, holm, swap_test, verdict, verdicts

MOST = 100  # seeds
SIZES = (8, 10, 12, 14, 16)


def test_the_shares_of_any_number_of_looks_add_up_to_less_than_one():
    shares = [looks.share(number) for number in range(1, 200)]
    assert all(one > other > 0.0 for one, other in zip(shares, shares[1:]))
    assert sum(shares) == pytest.approx(0.84 + 0.06 / 0.55) and sum(shares) < 1.0


def test_six_seeds_can_show_a_difference_at_the_first_look_and_five_cannot():
    ahead = np.arange(6.0)
    assert swap_test(ahead + 100.0, ahead) <= LEVEL * looks.share(1) < swap_test(ahead[:5] + 100.0, ahead[:5])
    assert verdict("a", "b", ahead + 100.0, ahead).startswith("a is ahead of b")


def test_what_all_looks_have_shown_is_the_least_of_each_p_over_its_share():
    p_values = [0.03, 0.5, 0.0001, 0.9]
    by_hand = []
    for number in range(len(p_values)):
        by_hand.append(
            min(1.0, *(p_values[k] / (0.84 if k == 0 else 0.06 * 0.45 ** (k - 1)) for k in range(number + 1)))
        )
    np.testing.assert_allclose(looks.spent(p_values), by_hand)


def test_each_look_had_the_seeds_that_were_there_then():
    rows = looks.rows_of([[4, 2], [9], [0, 5]], [0, 2, 4, 5, 9])
    assert [list(each) for each in rows] == [[1, 2], [1, 2, 4], [0, 1, 2, 3, 4]]
    assert [list(each) for each in looks.rows_of(None, [7, 8])] == [[0, 1]]


def scores(differences):
    base = 0.01 * np.arange(len(differences))
    return base + differences, base


def test_a_verdict_says_at_which_look_it_was_reached():
    x, y = scores(np.r_[np.tile([1.0, -0.9], 3), np.full(12, 1.0)])
    rows = looks.rows_of([range(6), range(6, 18)], range(18))
    words = verdict("ppo", "a2c", x, y, looks=rows)
    assert "ppo is ahead of a2c" in words and "18 seeds suffice, shown at look 2 of 2 looks (6, then 18 seeds)" in words
    first = [np.arange(6), np.arange(7)]
    x, y = scores(np.full(7, 1.0))
    assert "6 seeds suffice, shown at look 1 of 2 looks (6, then 7 seeds)" in verdict("a", "b", x, y, looks=first)


def test_a_look_that_all_seeds_together_contradict_shows_nothing():
    x, y = scores(np.r_[np.full(7, 1.0), np.full(40, -1.0)])
    rows = [np.arange(7), np.arange(47)]
    assert verdict("a", "b", x[:7], y[:7]).startswith("a is ahead of b")
    assert verdict("a", "b", x, y).startswith("b is ahead of a")
    assert verdict("a", "b", x, y, looks=rows).startswith("a against b: no difference shown in 2 looks")


def test_what_one_look_would_show_a_second_look_does_not_at_the_same_p_value():
    """13 pairs with 11 to 2: p = 0.022 of a sign test. At a first look it is a lead, at a second it is not enough."""
    x, y = scores(np.r_[np.full(11, 1.0), np.full(2, -1.0)])
    order = np.array([0, 11, 1, 12, *range(2, 11)])
    x, y = x[order], y[order]
    assert looks.share(2) * LEVEL < swap_test(x, y) < looks.share(1) * LEVEL
    assert "is ahead" in verdict("a", "b", x, y)
    words = verdict("a", "b", x, y, looks=[np.arange(4), np.arange(13)])
    assert words.startswith("a against b: no difference shown in 2 looks (4, then 13 seeds); P = ")


def test_several_contenders_are_corrected_for_pairs_at_every_look():
    generator = np.random.default_rng(3)
    matrices = generator.normal(size=(3, 14, 1)) + np.array([2.5, 0.0, 0.0])[:, None, None]
    rows = [np.arange(7), np.arange(14)]
    pairs = [(0, 1), (0, 2), (1, 2)]
    spent = [looks.spent([swap_test(matrices[a][r], matrices[b][r]) for r in rows]) for a, b in pairs]
    corrected = [holm([each[look] for each in spent]) for look in range(2)]
    lines = verdicts(["a", "b", "c"], matrices, looks=rows)
    for pair, line in enumerate(sorted(lines)):
        reached = [look for look in range(2) if corrected[look][pair] <= LEVEL]
        assert ("is ahead" in line) == bool(reached)
        assert not reached or f"shown at look {reached[0] + 1} of 2" in line
    assert any("is ahead" in line for line in lines)


def false_leads(generator, choose, most_looks):
    """Returns (whether any look showed a difference by its share, whether any did at 5%) of two equal contenders whose
    seeds are added as `choose` wants: (p-values so far, seeds so far) -> seeds in all, or None to stop."""
    x, y = generator.normal(size=(2, MOST))
    n, p_values = 10, []
    while n is not None and len(p_values) < most_looks:
        p_values.append(swap_test(x[:n], y[:n]))
        if looks.spent(p_values)[-1] <= LEVEL:
            break
        n = choose(p_values, n)
    return looks.spent(p_values)[-1] <= LEVEL, min(p_values) <= LEVEL


def by_two(p_values, n):
    """Whoever adds two seeds and looks again."""
    return n + 2


def by_what_was_seen(p_values, n):
    """Whoever adds as many as make a false lead most probable, knowing the levels: few where it is near, many where not."""
    z, wanted = stats.norm.isf(p_values[-1] / 2.0), stats.norm.isf(LEVEL * looks.share(len(p_values) + 1) / 2.0)
    more = int(round(n * min(max((wanted / max(z, 1e-9)) ** 2 - 1.0, 0.0), 2.0)))
    return n + max(more, 1) if n + max(more, 1) <= MOST else None


def test_looking_five_times_misleads_no_more_often_than_it_may_and_would_without_the_shares():
    generator, runs = np.random.default_rng(0), 150
    found = np.zeros((runs, len(SIZES)))
    for run in range(runs):
        x, y = generator.normal(size=(2, SIZES[-1]))
        found[run] = [swap_test(x[:n], y[:n]) for n in SIZES]
    counted = np.mean([looks.spent(p_values)[-1] <= LEVEL for p_values in found])
    naive = np.mean(found.min(axis=1) <= LEVEL)
    bound = LEVEL + 2.0 * np.sqrt(LEVEL * (1.0 - LEVEL) / runs)
    assert counted <= bound < naive


def test_whoever_adds_the_most_misleading_number_of_seeds_is_wrong_5_percent_of_the_time_at_most():
    """With many seeds the tests are of Brownian motion B(n) / sqrt(n). The next look is where a false lead is most probable,
    sqrt(n / n') = z / z', and at once where z already passes the next level."""
    generator, runs = np.random.default_rng(1), 100_000
    n, total, misled = np.ones(runs), generator.normal(size=runs), np.zeros(runs, bool)
    for number in range(1, 9):
        level, following = (stats.norm.isf(LEVEL * looks.share(each) / 2.0) for each in (number, number + 1))
        z = np.abs(total) / np.sqrt(n)
        misled |= z >= level
        later = n / np.clip((z / following) ** 2, 1.0 / 20.0, 0.999)
        total, n = total + generator.normal(size=runs) * np.sqrt(later - n), later
    assert 0.04 < misled.mean() <= LEVEL


@pytest.mark.slow
@pytest.mark.parametrize("choose", [by_two, by_what_was_seen])
def test_whoever_adds_seeds_until_a_difference_is_shown_is_misled_5_percent_of_the_time_at_most(choose):
    generator, runs = np.random.default_rng(1), 1500
    counted, naive = np.mean([false_leads(generator, choose, 6) for _ in range(runs)], axis=0)
    error = 2.0 * np.sqrt(LEVEL * (1.0 - LEVEL) / runs)
    print(f"\n{choose.__name__}, up to 6 looks: {counted:.1%} false leads; at 5% a look {naive:.1%} (+- {error:.1%})")
    assert counted <= LEVEL + error and naive > LEVEL + 3.0 * error


@pytest.mark.slow
def test_what_the_shares_cost_is_told():
    generator, runs = np.random.default_rng(2), 1000
    for shift in (1.0, 1.5):
        rows = []
        for _ in range(runs):
            x, y = generator.normal(size=(2, 24))
            p_values = [swap_test(x[:n] + shift, y[:n]) for n in (10, 24)]
            rows.append((p_values[0] <= LEVEL, looks.spent(p_values)[0] <= LEVEL, looks.spent(p_values)[1] <= LEVEL))
        plain, first, both = np.mean(rows, axis=0)
        print(f"\na difference of {shift} deviations: 10 seeds show it {plain:.0%} at 5%, {first:.0%} at the first look; "
              f"{both:.0%} at one of two looks (10, then 24)")  # fmt: skip
        assert plain - 0.15 < first <= plain and both > first
