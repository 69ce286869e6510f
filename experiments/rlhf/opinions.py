"""What people said of texts, as stages ask for it: ratings of each, or which of two answers they would rather have."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from experiments.rlhf import gold, linear, pairs
from experiments.rlhf.features import Features
from experiments.rlhf.linear import Linear
from experiments.rlhf.reading import Rated

RIDGE = 0.3  # of the gold judge of preferences


class Opinions(NamedTuple):
    """Functions of a part, the indices of its texts [n]."""

    compared: Callable[
        ..., pairs.Pairs
    ]  # (part, number, seed) -> so many comparisons, or all there are, ties among them
    accuracy: Callable[
        ..., float
    ]  # (part, scores [n]) -> share of the part's pairs that are ordered as people had them
    # (part) -> the accuracy of whoever knows the other raters' means, which is no bound; None where nobody can know
    ceiling: Callable[..., float | None]
    judge: Callable[..., Linear]  # (texts, part) -> the gold judge, fitted on the part
    agreement: Callable[..., dict[str, float]]  # (part, scores [n]) -> how far a gold judge agrees with people
    # (texts [n]) -> (the label that is to be expected of each pair of them, whether people compared it), each [n, n]
    among: Callable[..., tuple[np.ndarray, np.ndarray]]
    joint: int  # texts in a row of a part that are compared with each other; 1: any are
    unit: str  # in which the gold judge scores


def of_ratings(rated: Rated) -> Opinions:
    """Returns the opinions of raters who gave each sentence a number: two ratings of two sentences are a comparison."""

    def own(part):
        return [rated.ratings[index] for index in part]

    return Opinions(
        compared=lambda part, number, seed: pairs.draw(rated.ratings, part, number, seed),
        accuracy=lambda part, scores: pairs.accuracy(own(part), scores),
        ceiling=lambda part: pairs.ceiling(own(part)).accuracy,
        judge=lambda texts, part: gold.fit(rated, part),
        agreement=lambda part, scores: gold.agreement(scores, rated, part)._asdict(),
        among=lambda some: (pairs.preferred(own(some)), ~np.eye(len(some), dtype=bool)),
        joint=1,
        unit="ratings",
    )


def of_preferences() -> Opinions:
    """Returns the opinions of people who chose one of two answers: text 2i rather than text 2i + 1."""

    def compared(part, number, seed):
        chosen, turned = part[part % 2 == 0], np.random.default_rng(seed)
        chosen = turned.permutation(chosen)[:number]  # in no order: whoever takes the first of them takes any
        first = turned.integers(0, 2, len(chosen))  # else the label would always be 1
        label = (first == 0).astype(np.float32)
        return pairs.Pairs(chosen + first, chosen + 1 - first, label, ties=0.0)

    def accuracy(part, scores):
        of_text = dict(zip(part.tolist(), np.asarray(scores, float)))
        margin = np.array([of_text[index] - of_text[index + 1] for index in part.tolist() if index % 2 == 0])
        return float(np.mean((np.sign(margin) + 1.0) / 2.0))

    def judge(texts, part):
        features: tuple[tuple[Features, float], ...] = gold.FEATURES
        return linear.fit_preferences(texts, compared(part, len(part), 0), features, RIDGE)

    def among(some):
        partners = (some[:, None] // 2 == some // 2) & (some[:, None] != some)
        return np.where(some[:, None] % 2 == 0, 1.0, 0.0) * np.ones(len(some)), partners

    return Opinions(
        compared=compared,
        accuracy=accuracy,
        ceiling=lambda part: None,
        judge=judge,
        agreement=lambda part, scores: {"pair_accuracy": accuracy(part, scores)},
        among=among,
        joint=2,
        unit="log-odds of being preferred",
    )
