"""Least-squares policy iteration (Lagoudakis and Parr 2003): of a log of steps that any policy made, again and again the Q of
the greedy policy in closed form (LSTDQ), until the weights stay.

    A = ridge I + sum_t x(S, A) (x(S, A) - gamma x(S', pi(S')))^T,   b = sum_t R x(S, A),   w = A^-1 b
    pi(s) = argmax_a w . x(s, a)

x(S', .) = 0 where the episode ended. A function of a log, and no `Algorithm`: it keeps every step, and solves d x d systems by
LAPACK, which programs that are vmapped over seeds must not (several at a time can wait for each other for ever).
"""

from typing import NamedTuple

import numpy as np

from algos.linear.lstd import solved


class Solution(NamedTuple):
    """The weights at last, float64, and how they were come by."""

    weights: np.ndarray  # [d]
    iterations: int  # systems that were solved
    converged: bool  # the last one moved no weight by more than `tolerance`; else two or more policies take turns
    ridge: float
    condition: float  # of the last A


def solve(x, reward, next_x, terminated, gamma: float, *, ridge: float = 0.0, begin=None, weight=None,
          most: int = 50, tolerance: float = 1e-9) -> Solution:  # fmt: skip
    """Returns the solution of T steps: x [T, d] of the pair, next_x [T, A, d] of the next state with every action, reward,
    terminated and weight (how much a step counts, None: 1) [T]. begin: the weights [d] that the first policy is greedy by,
    None: 0. Of equal actions the first is taken. Raises ValueError as `lstd.solution` does."""
    x, next_x = np.asarray(x, np.float64), np.asarray(next_x, np.float64)
    weighted = x if weight is None else np.asarray(weight, np.float64)[:, None] * x
    discount = gamma * (1.0 - np.asarray(terminated, np.float64))
    earned, every = weighted.T @ np.asarray(reward, np.float64), np.arange(len(x))
    weights = np.zeros(x.shape[1]) if begin is None else np.asarray(begin, np.float64)
    if not ridge >= 0.0 or most < 1:
        raise ValueError(f"the ridge must be 0 or more and most 1 or more, not {ridge!r} and {most!r}")
    for iterations in range(1, most + 1):  # noqa: B007
        following = next_x[every, (next_x @ weights).argmax(1)]
        matrix = ridge * np.eye(x.shape[1]) + weighted.T @ (x - discount[:, None] * following)
        found = solved(matrix, earned, ridge)
        change, weights = np.abs(found.weights - weights).max(), found.weights
        if change <= tolerance:
            break
    return Solution(weights, iterations, bool(change <= tolerance), float(ridge), found.condition)
