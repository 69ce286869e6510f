"""Which contenders could be the best: by hand on small cases, and how often the set holds the best by simulation."""

import itertools

import numpy as np
import pytest

from experiments.lab.judging.best import best_in_words, could_be_best
from experiments.lab.judging.looks import rows_of, share
from experiments.lab.judging.verdicts import LEVEL, verdicts

NAN = np.nan


def could_by_enumeration(names, returns):
    """Every rival against every contender: exchanges of their ranks within seeds, in plain loops."""
    left = []
    for i, name in enumerate(names):
        p_values = []
        for j in range(len(names)):
            if j == i:
                continue
            pooled = sorted([*returns[i], *returns[j]])
            differences = [pooled.index(b) - pooled.index(a) for a, b in zip(returns[i], returns[j])]
            sums = [np.dot(signs, differences) for signs in itertools.product([1, -1], repeat=len(differences))]
            p_values.append(np.mean([each >= sum(differences) for each in sums]))
        if min(p_values) / share(1) * (len(names) - 1) > LEVEL:
            left.append(name)
    return left


@pytest.mark.parametrize("seed", range(6))
def test_the_set_is_that_of_an_enumeration_of_all_exchanges(seed):
    generator = np.random.default_rng(seed)
    returns = generator.normal(size=(4, 9)) + np.array([0.0, 0.4, 1.2, 2.0])[:, None]
    names = list("abcd")
    assert could_be_best(names, returns) == could_by_enumeration(names, returns)
    assert "d" in could_be_best(names, returns)


def test_who_is_shown_to_be_behind_in_a_verdict_could_not_be_the_best():
    generator = np.random.default_rng(1)
    for _ in range(6):
        returns = generator.normal(size=(5, 10)) + np.linspace(0.0, 2.5, 5)[:, None]
        behind = {
            line.split(":")[0].split(" of ")[1] for line in verdicts(list("abcde"), returns) if "is ahead" in line
        }
        assert not behind & set(could_be_best(list("abcde"), returns))


def test_a_contender_that_diverged_everywhere_could_not_be_the_best():
    assert could_be_best(["good", "bad"], [np.arange(8.0), np.full(8, NAN)]) == ["good"]


def test_too_few_seeds_rule_none_out_and_say_so():
    returns = 100.0 * np.arange(7)[:, None] + np.arange(3.0)
    names = [*map(str, range(7))]
    assert could_be_best(names, returns) == names
    words = best_in_words(names, 7, [np.arange(3)])
    assert words == "could be best: any of the 7 contenders, as 3 seeds can rule none out"
    for seeds in range(2, 12):
        returns = 100.0 * np.arange(7)[:, None] + np.arange(float(seeds))
        could = could_be_best(names, returns)
        assert ("can rule none out" in best_in_words(could, 7, [np.arange(seeds)])) == (len(could) == 7)


def test_the_set_is_told_in_words_with_its_method():
    looks, method = [np.arange(10)], "(one-sided, 5% over all looks, Bonferroni-corrected over 2 rivals)"
    assert best_in_words(["a"], 3, looks) == (
        f"could be best: a; each other contender is shown to be worse than some {method}")  # fmt: skip
    assert best_in_words(["a", "b", "c"], 3, looks, what="point") == (
        f"could be best: each of the 3 points, none is shown to be worse than another {method}")  # fmt: skip
    assert best_in_words(["a"], 1, looks) == best_in_words([], 0, looks) == best_in_words(["a"], 2, looks) == ""
    assert best_in_words(["a"], 2, looks, what="point").endswith("worse than some (one-sided, 5% over all looks)")


def test_one_contender_and_none_are_no_question():
    assert could_be_best(["a"], [[1.0, 2.0]]) == ["a"] and could_be_best([], []) == []


def test_a_later_look_has_the_level_that_is_left():
    x = np.arange(7.0)
    returns, looks = [x, x + 100.0], rows_of([range(4), range(4, 7)], range(7))
    assert could_be_best(["a", "b"], returns) == ["b"]
    assert could_be_best(["a", "b"], returns, looks) == ["a", "b"]  # 2^-7 is above the second look's 0.3%


def share_held(effects, seeds, repetitions, generator):
    """How often the set holds the best, and how many it holds."""
    names, found = [*map(str, range(len(effects)))], []
    for _ in range(repetitions):
        returns = generator.normal(size=(len(effects), seeds)) + np.asarray(effects)[:, None]
        found.append(could_be_best(names, returns))
    best = names[int(np.argmax(effects))]
    return np.mean([best in each for each in found]), np.mean([*map(len, found)])


def test_the_set_mostly_holds_the_best_of_equal_contenders():
    held, size = share_held([0.0, 0.0, 0.0, 0.0], 8, 60, np.random.default_rng(0))
    assert held >= 0.89 and size > 3.0


@pytest.mark.slow
@pytest.mark.parametrize("effects", [(0.0,) * 3, (0.0,) * 7, (0.0, 0.5, 1.0), (2.0, 1.9, 0.0, 0.0, 0.0, 0.0)])
def test_the_set_holds_the_best_19_times_in_20(effects):
    held, size = share_held(effects, 10, 800, np.random.default_rng(1))
    print(f"\n{effects}, 10 seeds: the best is held {held:.1%} of the time, {size:.1f} of {len(effects)} on average")
    assert held >= 0.95 - 2.0 * np.sqrt(0.05 * 0.95 / 800)
