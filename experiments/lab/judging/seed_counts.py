"""How many seeds it takes to show a difference (Colas et al. 2018, arXiv 1806.08295), and whether so many can show any."""

import math

import numpy as np
from scipy import stats

from experiments.lab.judging.exchange import least_p
from experiments.lab.judging.looks import Looks, share
from experiments.lab.judging.statistics import finite, matrix_of

LEVEL = 0.05  # how often a verdict is allowed to be wrong where nothing differs, over all looks at a run
POWER = 0.8
MOST_SEEDS = 10_000  # beyond this a number of seeds is no advice


def seeds_needed(differences, effect: float, level: float = LEVEL, power: float = POWER) -> int:
    """Returns how many seeds it takes to show a mean paired difference of effect, in the units of the differences.

    The smallest n at which the two-sided paired t-test has the power wanted (noncentral t), the spread taken from the
    differences given, [seeds] or [seeds, environments] (averaged over environments, seed by seed); and never fewer than
    `swap_test` needs to reach the level at all. It is as uncertain as that spread: from few seeds, a rough guide, and a
    low one where scores of one seed are nearly equal, since a verdict ranks runs and sees less there than a t-test does.
    """
    require_effect(effect)
    differences = finite(matrix_of(differences))
    if len(differences) < 2 or not (0.0 < level < 1.0 and 0.0 < power < 1.0):
        raise ValueError("the spread takes two seeds or more, and level and power lie between 0 and 1")
    fewest = max(2, math.ceil((1.0 - math.log2(level)) / differences.shape[1]))
    spread = float(differences.mean(axis=1).std(ddof=1))
    normal = (stats.norm.isf(level / 2.0) + stats.norm.isf(1.0 - power)) * spread / effect
    seeds = max(fewest, math.ceil(min(normal**2, MOST_SEEDS)))
    # A t-test never needs fewer seeds than the normal one that the search starts from.
    while spread > 0.0 and seeds < MOST_SEEDS and _t_test_power(seeds, effect / spread, level) < power:
        seeds += 1
    return seeds


def can_show(looks: Looks, environments: int, pairs: int, sides: int = 2) -> bool:
    """Returns whether some scores would have shown a difference between two contenders at one of the looks, among so many
    pairs; sides: 1 for one-sided tests."""
    return any(
        pairs * least_p(len(rows) * environments) * sides / 2.0 <= LEVEL * share(number)
        for number, rows in enumerate(looks, 1)
    )


def require_effect(effect: float, what: str = "effect") -> None:
    """Raises ValueError for a size that is no positive number."""
    if not (np.isfinite(effect) and effect > 0.0):
        raise ValueError(f"{what} must be a positive difference in score, not {effect}")


def _t_test_power(seeds: int, effect: float, level: float) -> float:
    bound, shift = stats.t.isf(level / 2.0, seeds - 1), effect * math.sqrt(seeds)
    return stats.nct.sf(bound, seeds - 1, shift) + stats.nct.cdf(-bound, seeds - 1, shift)
