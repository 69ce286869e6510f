"""Testing again as seeds are added: the level is spent over the looks, so that all of them together stay at 5%.

A look is a verdict that somebody could have acted on: on 10 seeds, then on 24. Whoever looks, adds seeds and looks again
until the verdict pleases is wrong far more often than 5% of the time, if each look is tested at 5%. Look k is tested at
5% times `share(k)`; the shares add up to less than 1, so by Bonferroni all looks ever made stay below 5%. What is missing to
1 is for those who choose how many seeds to add by what they saw.

The p-value of all looks so far is min_k p_k / share(k); it is corrected for the number of pairs as any other.
"""

from collections.abc import Sequence

import numpy as np

FIRST, SECOND, RATIO = 0.84, 0.06, 0.45  # 0.84: ten seeds, whose least p is 1/512, can show a difference among 21 pairs

Looks = Sequence[np.ndarray]  # the rows of the scores that each look had, the last one all


def share(look: int) -> float:
    """Returns the share of the level that look number 1, 2, ... may use."""
    return FIRST if look == 1 else SECOND * RATIO ** (look - 2)


def spent(p_values: Sequence[float]) -> list[float]:
    """Returns, after each look, the p-value of it and all before: the least p_k / share(k), at most 1."""
    scaled = [p / share(number) for number, p in enumerate(p_values, 1)]
    return np.minimum(np.minimum.accumulate(scaled), 1.0).tolist()


def one(seeds: int) -> list[np.ndarray]:
    """Returns the looks of a run that was looked at once."""
    return [np.arange(seeds)]


def rows_of(looks: Sequence[Sequence[int]] | None, seeds: Sequence[int]) -> list[np.ndarray]:
    """Returns the rows that each look had; looks: the seeds that each one added (None: one look), seeds: of the rows."""
    known: set[int] = set()
    rows = []
    for added in looks or [seeds]:
        known |= set(added)
        rows.append(np.flatnonzero([seed in known for seed in seeds]))
    return rows


def in_words(looks: Looks) -> str:
    """Returns '2 looks (10, then 24 seeds)'."""
    return f"{len(looks)} looks ({', then '.join(str(len(rows)) for rows in looks)} seeds)"
