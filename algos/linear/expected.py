"""What linear methods do on average, computed from a model and not sampled (Sutton and Barto 2018, sections 9.4 and 11.2 to
11.7), NumPy, float64.

    A = X^T D (X - gamma P X),   b = X^T D r,   C = X^T D X,   D = diag(weight)                                  (9.11)
    semi-gradient TD:  w + alpha (b - A w),  which stays where A w = b                                           (9.12)
    TDC:   w + alpha (b - A w - (C - A^T) h),  h + beta (b - A w - C h)
    GTD2:  w + alpha A^T h,                    h + beta (b - A w - C h)

P and r are those of the policy learned about, weight [S] how often the steps that are learned from begin in a state. An
eigenvalue of A with a negative real part is a direction in which semi-gradient TD diverges.
"""

from typing import NamedTuple

import jax
import numpy as np

from algos.tabular import bellman, exact
from envs.mdp.endings import check_policy_ends
from envs.mdp.model import MDP


class Expected(NamedTuple):
    """The expectations that the methods' fixed points are made of, as at the top of this file."""

    A: np.ndarray  # [d, d]
    b: np.ndarray  # [d]
    C: np.ndarray  # [d, d]


def expected(mdp: MDP, policy, x, weight, gamma: float) -> Expected:
    """Returns A, b and C of a policy [S, A], features x [S, d] and the weight of each state [S]."""
    tables = bellman.follow(bellman.tables(mdp), np.asarray(policy, np.float64))
    x, onward = np.asarray(x, np.float64), np.asarray(tables.onward)[:, 0]
    following = np.einsum("sk,skd->sd", onward, x[np.asarray(tables.successor)[:, 0]])
    weighted = np.asarray(weight, np.float64)[:, None] * x
    return Expected(weighted.T @ (x - gamma * following), weighted.T @ np.asarray(tables.reward)[:, 0], weighted.T @ x)


def on_policy_weight(mdp: MDP, policy) -> np.ndarray:
    """Returns mu [S], the share of an episode's steps that begin in each state (S&B eq. 9.3). Raises ValueError where the
    policy [S, A] need not come to an end."""
    check_policy_ends(mdp, np.asarray(policy))
    with jax.enable_x64(True):
        visits = np.asarray(exact.visits(mdp, jax.numpy.asarray(policy, float), 1.0))
    return visits / visits.sum()


def td_fixed_point(found: Expected) -> np.ndarray:
    """Returns w [d], where semi-gradient TD(0) stays: A w = b."""
    return np.linalg.solve(found.A, found.b)


def projection(x, weight, values) -> np.ndarray:
    """Returns w [d] of the values nearest to those given [S], each squared error times its weight: gradient Monte Carlo's."""
    root = np.sqrt(np.asarray(weight, np.float64))
    return np.linalg.lstsq(root[:, None] * np.asarray(x, np.float64), root * np.asarray(values, np.float64))[0]


def semi_gradient_sweep(found: Expected, w, alpha: float) -> np.ndarray:
    """Returns w [d] after a sweep of semi-gradient dynamic programming: every state by its weight, all at once (11.9)."""
    return w + alpha * (found.b - found.A @ w)


def tdc_sweep(found: Expected, w, h, alpha: float, beta: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns (w, h) after the mean step of TDC."""
    pull = found.b - found.A @ w
    return w + alpha * (pull - (found.C - found.A.T) @ h), h + beta * (pull - found.C @ h)


def gtd2_sweep(found: Expected, w, h, alpha: float, beta: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns (w, h) after the mean step of GTD2."""
    return w + alpha * found.A.T @ h, h + beta * (found.b - found.A @ w - found.C @ h)
