"""What every planner returns, and what it refuses."""

import math
from functools import partial

import jax
import numpy as np
from flax import struct

from algos.tabular import bellman
from envs.mdp.endings import check_ends, check_policy_ends
from envs.mdp.model import MDP


@struct.dataclass
class Solution:
    """Values, a policy that is best for them, and what is certain of them."""

    value: np.ndarray  # [S]; backward induction: [H + 1, S], by steps left
    policy: np.ndarray  # [S, A], the best actions all alike, or the policy evaluated; backward induction: [H, S, A]
    bound: float  # no value is further than this from the exact one, rounding included; inf without a discount
    iterations: int  # of the method: sweeps, or improvements of the policy


def check_problem(mdp: MDP, gamma: float, tolerance: float = 1.0) -> None:
    """Raises ValueError for a gamma or a tolerance that cannot be, and for a model that has no values without a discount."""
    check_numbers(gamma, tolerance)
    if gamma == 1.0:
        check_ends(mdp)


def check_numbers(gamma: float, tolerance: float = 1.0) -> None:
    """Raises ValueError unless gamma is a discount and the tolerance can be reached."""
    if not 0.0 <= gamma <= 1.0:
        raise ValueError(f"gamma must be 0 to 1, not {gamma}")
    if not tolerance > 0.0:
        raise ValueError(f"tolerance must be above 0, not {tolerance}")


def check_policy(mdp: MDP, policy, gamma: float) -> np.ndarray:
    """Returns the policy as probabilities [S, A], float64. Raises ValueError where it is none, or never ends and must."""
    policy, shape = np.asarray(policy, np.float64), (mdp.num_states, mdp.num_actions)
    if policy.shape != shape:
        raise ValueError(f"policy must be [states, actions] = {list(shape)}, not {list(policy.shape)}")
    wrong = ~((policy >= 0.0).all(1) & (np.abs(policy.sum(1) - 1.0) <= 1e-6))
    if wrong.any():
        state = np.flatnonzero(wrong)[0]
        raise ValueError(f"policy of state {state} is no distribution: {policy[state]}")
    policy = policy / policy.sum(1, keepdims=True)
    if gamma == 1.0:
        check_policy_ends(mdp, policy)
    return policy


@partial(jax.jit, static_argnames="whole")
def certified(tables: bellman.Tables, value, gamma, whole: bool = True):
    """Returns (value, bound) after one more backup, and the greedy policy where the `whole` solution is asked for."""
    q = bellman.action_value(tables, value, gamma)
    backed_up = q.max(1)
    shift, bound = bellman.error_bound(tables, value, backed_up, gamma)
    return backed_up + shift, bound, bellman.greedy(q) if whole else None


def solved(tables: bellman.Tables, value, gamma: float, iterations: int, policy=None) -> Solution:
    """Returns the solution that a value [S] makes, with the bound that one more backup proves. policy None: the greedy one."""
    value, bound, best = certified(tables, value, gamma, policy is None)
    policy = np.asarray(best) if policy is None else policy
    return Solution(np.asarray(value), policy, _number(bound), int(iterations))


def _number(bound) -> float:
    """Returns the bound, infinite where a value is not finite."""
    return float(bound) if math.isfinite(bound) else math.inf
