"""Human preferences from individual ratings, and how well other raters foretell them.

A pair is two sentences with one rating drawn for each, as if two raters, one a sentence, had been asked:

    label = 1 where the first is rated higher, 0 where lower, 1/2 where alike.

Raters disagree, so that no judge is right always. What whoever knows the other raters' means reaches (`ceiling`, which bounds
nothing) is computed from all pairs and all ratings, without sampling. Accuracy counts the pairs that are no ties; a judge that gives both sentences one score is right half the time.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

Ties = Literal["half", "drop"]
ROUNDS = 100  # of drawing, before ratings that tie all the time are given up
CELLS = 2_000_000  # of a table of pairs that is held at a time


class Pairs(NamedTuple):
    """N preferences between sentences, which are named by their index."""

    first: np.ndarray  # int64 [N]
    second: np.ndarray  # int64 [N], never the same sentence as the first
    label: np.ndarray  # float32 [N]: 1 where the first is preferred, 0 where the second is, 1/2 for a tie
    ties: float  # share of ties among all that were drawn, kept or dropped


class Ceiling(NamedTuple):
    """What accuracy a judge can reach who knows the raters, and how well they know each other."""

    accuracy: float  # of the mean of the sentence's other raters, in whose company the drawn one counts for nothing
    own_mean: float  # of the mean with the drawn rating in it: too high by what it knows of itself
    one_rater: float  # of one other rater of each sentence
    ties: float  # share of pairs whose two ratings are alike


class Entries(NamedTuple):
    """Every distinct rating of every sentence, with its share of the sentence's raters; arrays [E]."""

    sentence: np.ndarray
    rating: np.ndarray
    share: np.ndarray
    mean_of_others: np.ndarray  # of the sentence's other raters; of all for a single rater


def draw(ratings: Sequence[np.ndarray], part: np.ndarray, num: int, seed: int, ties: Ties = "half") -> Pairs:
    """Returns `num` pairs of sentences of the part. Ties are kept with label 1/2, or dropped and others drawn instead.

    Raises ValueError for fewer than two sentences, and for ratings that tie whatever is drawn where ties are dropped.
    """
    if len(part) < 2 or num < 1:
        raise ValueError(f"{num} pairs of {len(part)} sentences cannot be drawn: one pair or more, of two or more")
    rng, counts = np.random.Generator(np.random.PCG64(seed)), np.array([len(ratings[index]) for index in part])
    starts, flat = np.cumsum(counts) - counts, np.concatenate([ratings[index] for index in part])
    found, drawn, tied = [], 0, 0
    for _ in range(ROUNDS):
        first = rng.integers(len(part), size=num)
        second = (first + rng.integers(1, len(part), size=num)) % len(part)
        chosen = np.stack([first, second])
        rating = flat[starts[chosen] + rng.integers(counts[chosen])]
        label = (np.sign(rating[0] - rating[1]) + 1.0) / 2.0
        drawn, tied = drawn + num, tied + int(np.sum(label == 0.5))
        kept = np.full(num, True) if ties == "half" else label != 0.5
        found.append((part[first[kept]], part[second[kept]], label[kept].astype(np.float32)))
        if sum(len(some[0]) for some in found) >= num:
            return Pairs(*(np.concatenate(column)[:num] for column in zip(*found)), ties=tied / drawn)
    raise ValueError(f"{tied} of {drawn} pairs are ties: these ratings prefer next to nothing")


def preferred(ratings: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the label that is to be expected of each pair of these sentences, P(a > b) + P(a = b) / 2, float64 [N, N]."""
    values, entries = np.unique(np.concatenate(ratings)), entries_of(ratings)
    shares = np.zeros((len(ratings), len(values)))
    shares[entries.sentence, np.searchsorted(values, entries.rating)] = entries.share
    higher = (np.sign(values[:, None] - values) + 1.0) / 2.0
    return shares @ higher @ shares.T


def accuracy(ratings: Sequence[np.ndarray], scores: np.ndarray) -> float:
    """Returns the expected accuracy of scores [N] of rated sentences, over all pairs and all ratings that may be drawn.

    sum P(a > b) [s_i > s_j] / sum P(a != b) over i != j; equal scores are right half the time.
    """
    entries = entries_of(ratings)
    return _agreement(entries, np.asarray(scores, float)[entries.sentence])


def ceiling(ratings: Sequence[np.ndarray]) -> Ceiling:
    """Returns what raters make of pairs of these sentences. Raises ValueError for one that has a single rater."""
    if min(map(len, ratings)) < 2:
        raise ValueError("a sentence with a single rater has no others whose mean could foretell the rating")
    entries, means = entries_of(ratings), np.array([one.mean() for one in ratings])
    apart, tied = _shares(entries, entries.rating, np.equal)
    return Ceiling(
        accuracy=_agreement(entries, entries.mean_of_others),
        own_mean=_agreement(entries, means[entries.sentence]),
        one_rater=_agreement_of_raters(ratings),
        ties=float(tied / apart),
    )


def entries_of(ratings: Sequence[np.ndarray]) -> Entries:
    """Returns the distinct ratings of every sentence."""
    rows = []
    for index, own in enumerate(ratings):
        values, counts = np.unique(own, return_counts=True)
        others = (own.sum() - values) / max(len(own) - 1, 1)
        rows.append((np.full(len(values), index), values, counts / len(own), others))
    return Entries(*(np.concatenate(column) for column in zip(*rows)))


def _agreement(entries: Entries, judged: np.ndarray) -> float:
    """Returns the accuracy over all pairs of what is judged of each entry, [E]."""
    apart, higher = _shares(entries, judged, lambda x, y: (np.sign(x - y) + 1.0) / 2.0, np.greater)
    return float(higher / apart)


def _shares(entries: Entries, judged: np.ndarray, counted, among=lambda x, y: True) -> tuple[float, float]:
    """Returns sums over pairs of entries of two sentences whose ratings `among` takes, weighted by their shares: of 1, and
    of what `counted` says of the two that are judged."""
    totals, rows = np.zeros(2), max(1, CELLS // len(entries.share))
    for start in range(0, len(entries.share), rows):
        here = slice(start, start + rows)
        weight = entries.share[here, None] * entries.share * (entries.sentence[here, None] != entries.sentence)
        weight = weight * among(entries.rating[here, None], entries.rating)
        totals += weight.sum(), (weight * counted(judged[here, None], judged)).sum()
    return tuple(totals)


def _agreement_of_raters(ratings: Sequence[np.ndarray]) -> float:
    """Returns the accuracy of one other rater of each sentence, from tables P_i(a, a') of two raters of a sentence.

    For the sum over all pairs (i, j), the P_j are added up once; the pairs (i, i) among them are taken away.
    """
    values = np.unique(np.concatenate(ratings))
    counts = np.stack([np.bincount(np.searchsorted(values, own), minlength=len(values)) for own in ratings]).astype(
        float
    )
    raters = counts.sum(1)[:, None, None]
    two = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(len(values))
    two /= raters * (raters - 1.0)
    lower = _below(two.sum(0) - two, axis=1)  # the drawn rating of j is lower than a ...
    agreeing = _below(lower, axis=2) + lower / 2.0  # ... and its other rater's than a', or alike
    return float(np.sum(two * agreeing) / np.sum(two * lower.sum(2, keepdims=True)))


def _below(table: np.ndarray, axis: int) -> np.ndarray:
    """Returns the sums of what comes before each place along the axis."""
    return np.cumsum(table, axis) - table
