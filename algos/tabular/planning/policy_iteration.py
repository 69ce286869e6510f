"""Policy iteration (Howard 1960; Sutton and Barto 2018, section 4.3): evaluate the policy, make it greedy, until it stays.

A state's actions change only where another is better by more than rounding, so that equals never take turns, and a policy
that comes to an end is followed by one that does: where nothing is earned for ever, equal values tempt to go on for ever.
"""

import jax
import jax.numpy as jnp
import numpy as np

from algos.tabular import bellman
from algos.tabular.planning import policy_evaluation
from algos.tabular.planning.solution import Solution, check_policy, check_problem, solved
from envs.mdp.endings import REMEDY, closed
from envs.mdp.model import MDP, expected_reward

SPARSE = 2_000  # states up to which a factorisation is the faster evaluation whatever the model


def solve(mdp: MDP, gamma: float, policy=None, method: str | None = None, max_iterations: int = 1_000) -> Solution:
    """Returns the best values and policy, with the bound that one more backup proves.

    policy [S, A]: where to begin; None: all actions alike. method: of `policy_evaluation`; None: by the model's size.
    Raises ValueError as value iteration does; for gamma = 1 also where going on for ever costs nothing, but ending does.
    """
    check_improvable(mdp, gamma)
    if max_iterations < 1:
        raise ValueError(f"max_iterations must be 1 or more, not {max_iterations}")
    policy = check_policy(mdp, uniform(mdp) if policy is None else policy, gamma)
    method = method or ("direct" if mdp.num_states <= SPARSE else "krylov")
    with jax.enable_x64(True):
        tables, total, better, iterations = bellman.tables(mdp), -np.inf, True, 0
        while better and iterations < max_iterations:
            value = policy_evaluation.solve(mdp, policy, gamma, method).value
            policy, better = improved(tables, value, policy, gamma)
            better = better and value.sum() > total  # rounding alone could go in circles
            total, iterations = value.sum(), iterations + 1
        return solved(tables, value, gamma, iterations)


@jax.jit
def improved(tables: bellman.Tables, value, policy, gamma):
    """Returns (policy [S, A], whether it is another): greedy in the states where it earns more than the value."""
    q = bellman.action_value(tables, value, gamma)
    better = q.max(1) > value + 8.0 * bellman.rounding(tables, value)
    return jnp.where(better[:, None], bellman.greedy(q), policy), better.any()


def uniform(mdp: MDP) -> np.ndarray:
    """Returns the policy [S, A] that takes all actions alike: it comes to an end wherever any policy can."""
    return np.full((mdp.num_states, mdp.num_actions), 1.0 / mdp.num_actions)


def check_improvable(mdp: MDP, gamma: float) -> None:
    """Raises ValueError where policies that end, improved step by step, need not come to the best one: without a discount,
    where it costs nothing to go on for ever and something to end."""
    check_problem(mdp, gamma)
    if gamma == 1.0 and (mdp.reward < 0.0).any():
        free = closed(mdp, expected_reward(mdp) == 0.0)
        if free.any():
            state = np.argwhere(free)[0][0]
            raise ValueError(
                f"from state {state} a policy can go on for ever at no cost: use value iteration, {REMEDY}"
            )
