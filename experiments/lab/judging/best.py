"""Which contenders, or points of a sweep, could be the best: a set that holds the best one in 95% of comparisons.

Multiple comparisons with the best (Hsu 1984), distribution-free: a contender leaves the set where one of its k - 1 rivals is
shown to be better, by one-sided tests of exchanges that Bonferroni corrects for the k - 1. The best one leaves only where one
of its own tests errs, so that the number of contenders that are asked about needs no correction beyond its rivals.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from experiments.lab.judging import looks as looked
from experiments.lab.judging.exchange import one_sided
from experiments.lab.judging.looks import Looks
from experiments.lab.judging.seed_counts import LEVEL, can_show
from experiments.lab.judging.statistics import same_shape


def could_be_best(names: Sequence[str], returns, looks: Looks | None = None) -> list[str]:
    """Returns the names that could be the best, in their order; returns: [contenders, seeds, ...], diverged runs as worst.

    Better means P > 1/2, as in a verdict. looks: as seeds were added; the level is spent over them as a verdict's is.
    """
    matrices = same_shape(returns) if len(names) else []
    looks = looks or looked.one(len(matrices[0]) if matrices else 0)
    behind = np.ones((len(names), len(names)))  # [a, b]: the p-value of "b is not better than a", over all looks
    for a, b in combinations(range(len(names)), 2):
        p_values = [one_sided(matrices[a][rows], matrices[b][rows]) for rows in looks]
        behind[b, a], behind[a, b] = (looked.spent(each)[-1] for each in zip(*p_values))
    rivals = max(len(names) - 1, 1)
    return [name for name, p_values in zip(names, behind) if rivals * p_values.min(initial=1.0) > LEVEL]


def best_in_words(could: Sequence[str], of: int, looks: Looks, environments: int = 1, what: str = "contender") -> str:
    """Returns the set in words, "" of one, and of two contenders, of which a verdict says more. of: how many were asked about;
    looks, environments: of their scores."""
    seeds = len(looks[-1])
    if of < 2 or (of == 2 and what == "contender"):
        return ""
    if not can_show(looks, environments, of - 1, sides=1):
        return f"could be best: any of the {of} {what}s, as {seeds} seed{'s' * (seeds > 1)} can rule none out"
    method = "one-sided, 5% over all looks" + f", Bonferroni-corrected over {of - 1} rivals" * (of > 2)
    if len(could) == of:
        return f"could be best: each of the {of} {what}s, none is shown to be worse than another ({method})"
    told = ", ".join(could) if could else "none"
    return f"could be best: {told}; each other {what} is shown to be worse than some ({method})"
