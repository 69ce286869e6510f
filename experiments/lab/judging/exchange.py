"""Tests that exchange, seed by seed, what two contenders scored (Fisher 1935; Phipson and Smyth 2010 for samples of exchanges).

Where nothing but chance tells the two apart, every exchange was as probable as what was seen: the p-value is the share of
exchanges that are as extreme as it, whatever the distribution of the scores and whatever the two share under a seed.
"""

from functools import lru_cache

import numpy as np
from scipy import stats

from experiments.lab.judging.statistics import BOOTSTRAP_SEED, as_worst, finite, same_shape

ENUMERATED, SAMPLED = (
    13,
    10_000,
)  # exchanges of up to 13 pairs are all tried, of more so many, the observed one among them


def swap_test(x, y) -> float:
    """Returns the p-value of P(X > Y) against 1/2 when the two scores of a seed may change places; two-sided, exact.

    Exchanging x_i and y_i leaves the pooled ranks r as they are: P - 1/2 is proportional to sum_i s_i (r(x_i) - r(y_i))
    with signs s_i of +-1. All signs are tried, or 10,000 of which one is as observed and the others are random.
    """
    signed, observed = _signed_sums(x, y)
    return float(np.mean(np.abs(signed) >= abs(observed)))


def one_sided(x, y) -> tuple[float, float]:
    """Returns the p-values (of P(X > Y) <= 1/2, of P(X > Y) >= 1/2) by the exchanges of `swap_test`."""
    signed, observed = _signed_sums(x, y)
    return float(np.mean(signed >= observed)), float(np.mean(signed <= observed))


def equivalence_test(x, y, margin: float) -> float:
    """Returns the p-value of |theta| >= margin, for differences d_i = x_i - y_i that lie symmetrically about theta.

    Two one-sided tests (Schuirmann 1987): the larger of the p-values of theta >= margin and theta <= -margin. Under theta =
    margin the signs of d_i - margin are as good as thrown, and sum_i s_i (d_i - margin) is at most what was seen where those
    that change sign add up to 0 or more. Differences of several environments are averaged seed by seed. Contenders that are
    alike but for a shift have such differences, whatever the distribution of their scores.
    """
    x, y = (finite(matrix) for matrix in same_shape((x, y)))
    differences = (x - y).mean(axis=1)
    changed = _exchanges(len(differences))
    rounding = 1e-9 * (np.abs(differences).sum() + margin)
    p_values = [np.mean(changed @ (d - margin) >= -rounding) for d in (differences, -differences)]
    return float(max(p_values))


def least_p(number: int) -> float:
    """Returns the least p-value that the two-sided test can give, for so many scores of each; the one-sided give half of it
    where all exchanges are tried."""
    return 2.0 ** (1 - number) if number <= ENUMERATED else 1.0 / SAMPLED


def holm(p_values) -> np.ndarray:
    """Returns the p-values corrected for their number: max over j <= i of (m - j + 1) p_(j), at most 1 (Holm 1979)."""
    p_values = np.asarray(p_values, np.float64)
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty_like(p_values)
    corrected[order] = np.maximum.accumulate(np.arange(len(order), 0, -1) * p_values[order])
    return np.minimum(corrected, 1.0)


def _signed_sums(x, y) -> tuple[np.ndarray, float]:
    """Returns sum_i s_i (r(x_i) - r(y_i)) of every exchange, [exchanges], and of none."""
    x, y = (as_worst(matrix) for matrix in same_shape((x, y)))
    ranks = stats.rankdata(np.concatenate([x, y]), axis=0)
    difference = (ranks[: len(x)] - ranks[len(x) :]).ravel()
    difference = difference[difference != 0.0]
    return difference.sum() - 2.0 * _exchanges(len(difference)) @ difference, difference.sum()


@lru_cache(4)
def _exchanges(number: int) -> np.ndarray:
    """Returns what is exchanged, 1.0, and what is not, [exchanges, number]; the first exchanges nothing."""
    if number <= ENUMERATED:
        chosen = np.arange(2**number)[:, None] >> np.arange(number) & 1
    else:
        chosen = np.random.default_rng(BOOTSTRAP_SEED).integers(2, size=(SAMPLED, number), dtype=np.int8)
        chosen[0] = 0
    return chosen.astype(np.float64)
