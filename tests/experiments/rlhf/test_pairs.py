"""Human preferences are drawn as two raters would give them, and what a judge can reach is exact."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from experiments.rlhf import pairs
from experiments.rlhf.reading import read_ratings
from experiments.rlhf.splits import split

FEW = [np.array(own) for own in ([3, 1, 1], [0, 2, -1, 2], [1, 1], [-4, 3, 3, 0, 2], [2, 2, 1])]


def each_pair(ratings):
    """Yields (chance, i, j, rater of i, rater of j) of every way to draw a pair, as fractions."""
    for i, j in itertools.permutations(range(len(ratings)), 2):
        for p, q in itertools.product(range(len(ratings[i])), range(len(ratings[j]))):
            yield Fraction(1, len(ratings[i]) * len(ratings[j])), i, j, p, q


def enumerated_accuracy(ratings, judge):
    """Returns the accuracy of judge(i, rater) -> value over every way to draw a pair that is no tie."""
    right = total = Fraction(0)
    for chance, i, j, p, q in each_pair(ratings):
        a, b = int(ratings[i][p]), int(ratings[j][q])
        if a != b:
            x, y = judge(i, p), judge(j, q)
            total += chance
            right += chance * (Fraction(1, 2) if x == y else Fraction(int((x > y) == (a > b))))
    return float(right / total)


def mean_of_others(i, rater):
    own = [int(x) for place, x in enumerate(FEW[i]) if place != rater]
    return Fraction(sum(own), len(own))


def test_the_ceiling_is_that_of_every_pair_and_every_rater_enumerated():
    found = pairs.ceiling(FEW)
    assert found.accuracy == pytest.approx(enumerated_accuracy(FEW, mean_of_others), abs=1e-12)
    own = enumerated_accuracy(FEW, lambda i, _: Fraction(int(FEW[i].sum()), len(FEW[i])))
    assert found.own_mean == pytest.approx(own, abs=1e-12)
    tied = sum(chance for chance, i, j, p, q in each_pair(FEW) if FEW[i][p] == FEW[j][q]) / 20
    assert found.ties == pytest.approx(float(tied), abs=1e-12)


def test_how_well_raters_know_each_other_is_that_of_every_two_raters_enumerated():
    right = total = Fraction(0)
    for chance, i, j, p, q in each_pair(FEW):
        a, b = FEW[i][p], FEW[j][q]
        others = [(x, y) for x in np.delete(FEW[i], p) for y in np.delete(FEW[j], q)]
        if a != b:
            agreeing = sum(Fraction(1, 2) if x == y else Fraction(int((x > y) == (a > b))) for x, y in others)
            total, right = total + chance, right + chance * agreeing / len(others)
    assert pairs.ceiling(FEW).one_rater == pytest.approx(float(right / total), abs=1e-12)


def test_the_accuracy_of_scores_is_that_of_every_pair_enumerated_and_equal_scores_are_right_half_the_time():
    scores = np.array([0.3, -1.0, 0.3, 2.0, 0.0])
    assert pairs.accuracy(FEW, scores) == pytest.approx(enumerated_accuracy(FEW, lambda i, _: scores[i]), abs=1e-12)
    assert pairs.accuracy(FEW, np.zeros(5)) == pytest.approx(0.5, abs=1e-12)
    assert pairs.accuracy(FEW, -scores) == pytest.approx(1.0 - pairs.accuracy(FEW, scores), abs=1e-12)


def test_a_table_cut_into_blocks_gives_the_same(monkeypatch):
    whole = pairs.ceiling(FEW)
    monkeypatch.setattr(pairs, "CELLS", 40)
    assert pairs.ceiling(FEW) == pytest.approx(whole, abs=1e-12)


def test_on_the_held_out_human_sentences_the_ceiling_is_886_in_1000():
    rated = read_ratings()
    found = pairs.ceiling([rated.ratings[index] for index in split(rated.texts).held_out])
    assert found.accuracy == pytest.approx(0.886, abs=0.001)
    assert found.one_rater < found.accuracy < found.own_mean


def test_pairs_are_of_two_sentences_of_the_part_and_their_labels_of_ratings_that_were_given():
    part = np.array([3, 1, 4])
    drawn = pairs.draw(FEW, part, 5_000, seed=0)
    assert not np.any(drawn.first == drawn.second)
    assert set(drawn.first) == set(drawn.second) == set(part)
    for i, j in itertools.permutations(part, 2):
        here = drawn.label[(drawn.first == i) & (drawn.second == j)]
        compared = np.sign(FEW[i][:, None] - FEW[j])
        chance = np.array([np.mean(compared == sign) for sign in (-1, 0, 1)])
        counts = np.array([np.sum(here == label) for label in (0.0, 0.5, 1.0)])
        assert counts.sum() == len(here) == pytest.approx(5_000 / 6, abs=5 * np.sqrt(5_000 * 5 / 36))
        assert np.all(counts[chance == 0.0] == 0)
        assert np.all(np.abs(counts - len(here) * chance) <= 5 * np.sqrt(len(here) * chance * (1 - chance)))
    assert drawn.ties == np.mean(drawn.label == 0.5)


def test_ties_are_dropped_and_others_drawn_instead_where_that_is_asked():
    part = np.arange(5)
    kept, dropped = (pairs.draw(FEW, part, 1_000, 0, ties) for ties in ("half", "drop"))
    assert len(dropped.label) == 1_000
    assert set(dropped.label) == {0.0, 1.0}
    first = kept.label != 0.5
    np.testing.assert_array_equal(dropped.first[: first.sum()], kept.first[first])
    assert dropped.ties == pytest.approx(kept.ties, abs=0.05)


def test_the_seed_alone_decides_what_is_drawn():
    part = np.arange(5)
    first, again, other = (pairs.draw(FEW, part, 100, seed) for seed in (3, 3, 4))
    assert all(np.array_equal(x, y) for x, y in zip(first, again))
    assert not np.array_equal(first.first, other.first)


def test_what_prefers_nothing_is_refused():
    with pytest.raises(ValueError, match=r"^(\d+) of \1 pairs are ties: these ratings prefer"):
        pairs.draw([np.array([1]), np.array([1, 1])], np.arange(2), 2, 0, "drop")
    with pytest.raises(ValueError, match="1 sentences cannot be drawn"):
        pairs.draw(FEW, np.array([2]), 10, 0)
    with pytest.raises(ValueError, match="a single rater"):
        pairs.ceiling([np.array([1]), np.array([1, 2])])
