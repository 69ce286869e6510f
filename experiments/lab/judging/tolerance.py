"""Where a single new run will lie: a tolerance interval of the runs that were made (Wilks 1941), distribution-free.

Between the r-th lowest and the r-th highest of n runs lies a share of all runs there could be that is Beta(n + 1 - 2r, 2r)
distributed, whatever the distribution of a run's score, where it is continuous; where scores repeat it is larger.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

from experiments.lab.judging.criterion import BY_RETURN, Criterion
from experiments.lab.judging.statistics import as_worst

SHARE, CONFIDENCE = 0.8, 0.9


class NewRun(NamedTuple):
    """Bounds between which at least `share` of all runs lie, with this confidence; not finite: a run that diverged."""

    low: float
    high: float
    share: float
    confidence: float


def new_run(scores, criterion: Criterion = BY_RETURN) -> NewRun | None:
    """Returns where one more run's value would lie, from the scores of runs [n], NaN where one diverged; None for one run.

    With 18 runs or more: the narrowest bounds, as many runs cut at each end, that hold 80% with a confidence of 90%. With
    fewer no two runs bound as much: the lowest and the highest, and the share that they do hold with that confidence.
    """
    ordered = np.sort(as_worst(scores))
    number = len(ordered)
    if number < 2:
        return None
    cut, share = order_statistics(number)
    low, high = sorted(criterion.score([ordered[cut - 1], ordered[number - cut]]).tolist())
    return NewRun(low, high, share, CONFIDENCE)


def order_statistics(number: int) -> tuple[int, float]:
    """Returns (r, share): the r-th lowest and the r-th highest of so many runs bound that share."""
    cuts = np.arange(1, number // 2 + 1)
    enough = cuts[stats.beta.sf(SHARE, number + 1 - 2 * cuts, 2 * cuts) >= CONFIDENCE]
    if enough.size:
        return int(enough[-1]), SHARE
    return 1, float(stats.beta.isf(CONFIDENCE, number - 1, 2))


def told(found: NewRun | None) -> dict[str, float] | None:
    """Returns what the summary says of it."""
    return found._asdict() if found else None
