"""The value of a policy (Sutton and Barto 2018, section 4.1): V = r_pi + gamma P_pi V.

- direct: a sparse factorisation. Exact to rounding, fast while the factors stay sparse: up to some 10^4 states.
- krylov: BiCGSTAB (van der Vorst 1992), for which the matrix is never built: any size, and few steps where gamma is large.
- sweeps: V <- T_pi V, the book's.
Without a discount the policy must come to an end from every state, else the equation has no single solution.
"""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse

from algos.tabular import bellman
from algos.tabular.planning.solution import Solution, check_numbers, check_policy, solved
from algos.tabular.planning.sweeps import synchronous, until
from envs.mdp.model import MDP

METHODS = ("direct", "krylov", "sweeps")
STEPS, MOST_RESTARTS = 500, 100  # of BiCGSTAB, before it begins anew from the true residual


def solve(
    mdp: MDP, policy, gamma: float, method: str = "direct", tolerance: float = 1e-9, *, max_sweeps: int = 10**9,
    dtype=np.float64,
) -> Solution:  # fmt: skip
    """Returns the values of the policy [S, A], by one of METHODS, with the bound that one backup of them proves.

    tolerance: of the sweeps, as in value iteration. Raises ValueError for what is no policy, and for gamma = 1 where it
    comes to no end.
    """
    check_numbers(gamma, tolerance)
    policy = check_policy(mdp, policy, gamma)
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    with jax.enable_x64(True):
        followed = bellman.follow(bellman.tables(mdp, dtype), policy.astype(dtype))
        if method == "direct":
            return solved(followed, direct(followed, gamma), gamma, 1, policy)
        if method == "krylov":
            value, iterations = krylov(followed, gamma, tolerance)
            return solved(followed, value, gamma, iterations, policy)
        value, sweeps = until(synchronous, followed, gamma, tolerance, max_sweeps)
        return solved(followed, value, gamma, sweeps, policy)


def direct(followed: bellman.Tables, gamma: float) -> np.ndarray:
    """Returns V of (I - gamma P) V = r by a sparse factorisation, [S]."""
    successor, onward = (np.asarray(x)[:, 0] for x in (followed.successor, followed.onward))
    states, width = successor.shape
    ends = np.arange(0, states * width + 1, width)
    moves = scipy.sparse.csr_array((onward.ravel().astype(np.float64), successor.ravel(), ends), (states, states))
    system = scipy.sparse.eye_array(states) - gamma * moves
    value = scipy.sparse.linalg.spsolve(system.tocsc(), np.asarray(followed.reward[:, 0], np.float64))
    return value.astype(followed.onward.dtype)


def krylov(followed: bellman.Tables, gamma: float, tolerance: float):
    """Returns (V [S], restarts): BiCGSTAB on what the last answer left over, until one more makes it no better."""
    value = best = jnp.zeros(followed.reward.shape[0], followed.onward.dtype)
    least, restarts = np.inf, 0
    while restarts < MOST_RESTARTS:
        change, bound, correction = _correction(followed, value, gamma)
        if not change < 0.5 * least:
            break
        best, least = value, change
        if bound <= tolerance:
            break
        value, restarts = value + correction, restarts + 1
    return best, restarts


@jax.jit
def _correction(followed: bellman.Tables, value, gamma):
    """Returns (largest residual, certified bound, what BiCGSTAB adds to the value for it)."""
    moves = followed.replace(reward=jnp.zeros_like(followed.reward))
    backed_up = bellman.backup(followed, value, gamma)
    residual = backed_up - value
    _, bound = bellman.error_bound(followed, value, backed_up, gamma)
    correction, _ = jax.scipy.sparse.linalg.bicgstab(
        lambda x: x - bellman.backup(moves, x, gamma), residual, tol=1e-8, maxiter=STEPS
    )
    return jnp.max(jnp.abs(residual)), bound, correction
