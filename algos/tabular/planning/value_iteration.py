"""Value iteration (Bellman 1957; Sutton and Barto 2018, section 4.4).

    V(s) <- max_a sum_{s', r} p(s', r | s, a) (r + gamma V(s'))

All states at once, from the old values, or one after another, each from the newest (Gauss-Seidel). It stops on the certified
bound, not on how little a sweep changed: with gamma = 0.99 values that still move by 1e-6 can be 1e-4 from the best.
"""

import jax
import numpy as np

from algos.tabular import bellman
from algos.tabular.planning.solution import Solution, check_problem, solved
from algos.tabular.planning.sweeps import gauss_seidel, synchronous, until
from envs.mdp.model import MDP


def solve(
    mdp: MDP, gamma: float, tolerance: float = 1e-9, *, in_place: bool = False, max_sweeps: int = 10**9,
    dtype=np.float64, devices=None,
) -> Solution:  # fmt: skip
    """Returns the best values, each certain to the `tolerance`, or as nearly as `dtype` and `max_sweeps` let it: `bound` says.

    Without a discount nothing is certain, and it stops where a sweep changes no value by more than the tolerance.
    in_place: Gauss-Seidel, fewer and slower sweeps. devices: share the states of a large model out over these.
    Raises ValueError for a gamma that cannot be, and for gamma = 1 where a policy that never ends gains or loses nothing.
    """
    check_problem(mdp, gamma, tolerance)
    if in_place and devices is not None and len(devices) > 1:
        raise ValueError("in place one state follows another: that is work for one device")
    with jax.enable_x64(True):
        tables = bellman.tables(mdp, dtype)
        loop = gauss_seidel if in_place else synchronous
        value, sweeps = until(loop, tables, gamma, tolerance, max_sweeps, devices)
        return solved(tables, value, gamma, sweeps)
