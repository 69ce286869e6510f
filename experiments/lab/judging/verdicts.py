"""Verdicts in words: whether one contender is ahead of another, whether the two differ by less than matters, and how many
seeds it would take to know."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from experiments.lab.judging import looks as looked
from experiments.lab.judging.criterion import BY_RETURN, Criterion, figure
from experiments.lab.judging.exchange import equivalence_test, holm, swap_test
from experiments.lab.judging.looks import Looks
from experiments.lab.judging.seed_counts import LEVEL, MOST_SEEDS, can_show, require_effect, seeds_needed
from experiments.lab.judging.statistics import (
    Estimate,
    as_worst,
    iqm_score,
    mean_score,
    probability,
    probability_of_improvement,
    same_shape,
)


@dataclass(frozen=True)
class Question:
    """What is asked of every pair of one comparison."""

    looks: Looks  # the rows that each look had, as seeds were added
    effect: float | None = None  # the difference that seeds are counted for; None: the mean one observed
    margin: float | None = None  # a difference too small to matter; None: nobody named one
    criterion: Criterion = BY_RETURN  # scores are its values, or their negatives where less is better


@dataclass(frozen=True)
class Pair:
    """Two contenders' scores under the same seeds, and after each look the p-values corrected for the number of pairs."""

    names: tuple[str, str]
    scores: tuple[np.ndarray, np.ndarray]  # [seeds, environments]
    apart: Sequence[float]  # of no difference
    within: Sequence[float]  # of a difference as large as the margin; 1.0 without one
    pairs: int


def verdicts(
    names: Sequence[str],
    returns,
    effect: float | None = None,
    told: Collection[frozenset[str]] = (),
    looks: Looks | None = None,
    margin: float | None = None,
    criterion: Criterion = BY_RETURN,
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
    asked = _question(len(matrices[0]), effect, looks, margin, criterion)
    spent = np.array([_p_values(matrices[a], matrices[b], asked) for a, b in pairs])
    spent = spent.reshape(len(pairs), 2, len(asked.looks))
    corrected = np.apply_along_axis(holm, 0, spent) if pairs else spent
    return [
        _sentence(Pair((names[a], names[b]), (matrices[a], matrices[b]), *p_values, len(pairs)), asked)
        for (a, b), p_values in list(zip(pairs, corrected))[: len(names) - 1]
        if frozenset((names[a], names[b])) not in told
    ]


def verdict(
    name: str,
    other: str,
    returns,
    other_returns,
    effect: float | None = None,
    looks: Looks | None = None,
    margin: float | None = None,
    criterion: Criterion = BY_RETURN,
) -> str:
    """Returns in words whether one contender is ahead of another, from final scores under the same seeds.

    Ahead: `swap_test` is below the level of the look (5% over all looks, see `looks`) and the interval of P leaves out 1/2.
    No difference larger than the margin: `equivalence_test` is below that level, and only where a margin was named. Else the
    number of seeds that would show a difference of effect (by default the mean one observed) is `seeds_needed`, at the next
    look's level and a power of 80%.
    """
    x, y = same_shape((returns, other_returns))
    asked = _question(len(x), effect, looks, margin, criterion)
    return _sentence(Pair((name, other), (x, y), *_p_values(x, y, asked), 1), asked)


def _question(seeds: int, effect, looks, margin, criterion) -> Question:
    if effect is not None:
        require_effect(effect)
    if margin is not None:
        require_effect(margin, "margin")
    return Question(looks or looked.one(seeds), effect, margin, criterion)


def _p_values(x, y, asked: Question) -> tuple[list[float], list[float]]:
    """Returns, after each look, the p-value of all looks so far: of no difference, and of one as large as the margin."""
    apart = looked.spent([swap_test(x[rows], y[rows]) for rows in asked.looks])
    if asked.margin is None or not (np.isfinite(x) & np.isfinite(y)).all():
        return apart, [1.0] * len(apart)
    return apart, looked.spent([equivalence_test(x[rows], y[rows], asked.margin) for rows in asked.looks])


def _sentence(pair: Pair, asked: Question) -> str:
    diverged = [
        f" ({name}: {count} of {matrix.size} runs diverged, counted as worst)"
        for name, matrix in zip(pair.names, pair.scores)
        if (count := np.sum(~np.isfinite(matrix)))
    ]
    return _finding(pair, asked) + "".join(diverged)


def _finding(pair: Pair, asked: Question) -> str:
    (name, other), (x, y), looks = pair.names, pair.scores, asked.looks
    if len(x) == 1:
        return f"{name} against {other}: one seed shows nothing"
    corrected = f", Holm-corrected over {pair.pairs} pairs" if pair.pairs > 1 else ""
    if np.array_equal(as_worst(x), as_worst(y)):
        bounded = f"; {_size(asked)}{_at(pair.within, looks)}{corrected}" if _is_within(pair, asked) else ""
        return f"{name} against {other}: the same result in every seed{bounded}"
    better = probability_of_improvement(x, y)
    if not _is_ahead(pair, better, asked):
        return f"{name} against {other}: {_undecided(pair, better, asked)}{corrected}"
    if better.high < 0.5:
        (name, other), (x, y) = (other, name), (y, x)
        better = Estimate(1.0 - better.value, 1.0 - better.high, 1.0 - better.low)
    parts = [_chance(better), _sizes("its", x, y, asked.criterion)]
    parts.append(f"{len(looks[_reached(pair.apart)])} seeds suffice{_at(pair.apart, looks)}{corrected}")
    parts += [f"yet {_size(asked)}{_at(pair.within, looks)}"] if _is_within(pair, asked) else []
    return f"{name} is ahead of {other}: {'; '.join(filter(None, parts))}"


def _undecided(pair: Pair, better: Estimate, asked: Question) -> str:
    """Returns what is said where nobody is ahead."""
    (x, y), looks = pair.scores, asked.looks
    sizes = _sizes(f"{pair.names[0]}'s", x, y, asked.criterion)
    if _is_within(pair, asked):
        suffice = f"{len(looks[_reached(pair.within)])} seeds suffice{_at(pair.within, looks)}"
        return "; ".join([_size(asked), _chance(better), sizes, suffice])
    after = f" in {looked.in_words(looks)}" if len(looks) > 1 else ""
    shown = _chance(better)
    if not can_show(looks, x.shape[1], pair.pairs):
        shown = f"P = {better.value:.2f}, and {len(x)} seeds can show no difference whatever they score"
    parts = [f"no difference shown{after}", shown, sizes]
    parts += [f"one larger than {asked.margin:g} is not ruled out"] if asked.margin is not None else []
    parts.append(_wanting(x, y, asked.effect, LEVEL * looked.share(len(looks) + 1) / pair.pairs))
    return "; ".join(filter(None, parts))


def _is_ahead(pair: Pair, better: Estimate, asked: Question) -> bool:
    """Returns whether a look showed a difference, and all seeds together do not contradict it."""
    rows = asked.looks[_reached(pair.apart)]
    then = probability(*(matrix[rows] for matrix in pair.scores))
    held = (then - 0.5) * (better.value - 0.5) > 0.0
    return bool(pair.apart[-1] <= LEVEL and held and not better.low <= 0.5 <= better.high)


def _is_within(pair: Pair, asked: Question) -> bool:
    """Returns whether a look ruled out differences as large as the margin, and all seeds together do not contradict it."""
    if asked.margin is None or pair.within[-1] > LEVEL:
        return False
    x, y = pair.scores
    return abs(float((x - y).mean())) < asked.margin


def _reached(p_values: Sequence[float]) -> int:
    return int(np.argmax(np.asarray(p_values) <= LEVEL))  # 0 where no look reached it


def _at(p_values: Sequence[float], looks: Looks) -> str:
    return f", shown at look {_reached(p_values) + 1} of {looked.in_words(looks)}" if len(looks) > 1 else ""


def _chance(better: Estimate) -> str:
    return f"P = {better.value:.2f} [{better.low:.2f}, {better.high:.2f}]"


def _size(asked: Question) -> str:
    return f"no difference larger than {asked.margin:g}"


def _sizes(whose: str, x, y, criterion: Criterion) -> str:
    """Returns "its mean is 45.0 higher, its IQM 16.0 lower", of the values that people see; "" where runs diverged."""
    if not (np.isfinite(x) & np.isfinite(y)).all():
        return ""
    mean, iqm = (float(criterion.score(statistic(x) - statistic(y))) for statistic in (mean_score, iqm_score))
    return f"{whose} mean is {_higher(mean)}, its IQM {_higher(iqm)}"


def _higher(difference: float) -> str:
    if difference == 0.0:
        return "the same"
    return f"{figure(abs(difference))} {'higher' if difference > 0.0 else 'lower'}"


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
    what = "that mean difference" if effect is None else f"a mean difference of {size:.3g}"
    if needed <= seeds:
        return f"{seeds} seeds suffice to show {what}"
    count = f"about {needed}" if needed < MOST_SEEDS else f"more than {MOST_SEEDS}"
    return f"{count} seeds would be needed to show {what}"
