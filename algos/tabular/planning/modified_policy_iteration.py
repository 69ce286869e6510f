"""Modified policy iteration (Puterman and Shin 1978): value iteration that follows each greedy policy for a while.

    pi <- greedy(V),   V <- T_pi^m T V

A sweep of one policy costs 1/A of a full one, and some of them are nearly an evaluation: for large models and gamma near 1
the fastest planner here. m is not fixed: sweeps of a policy end when they change the values a tenth as much as the
improvement did, for what is left is then small beside what a better policy will change.
"""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from algos.tabular import bellman
from algos.tabular.planning import policy_evaluation
from algos.tabular.planning.policy_iteration import check_improvable, uniform
from algos.tabular.planning.solution import Solution, check_numbers, solved
from algos.tabular.planning.sweeps import enough, until
from envs.mdp.model import MDP


def solve(
    mdp: MDP, gamma: float, tolerance: float = 1e-9, *, most_sweeps: int = 200, max_iterations: int = 10**9,
    dtype=np.float64, devices=None,
) -> Solution:  # fmt: skip
    """Returns the best values, each certain to the `tolerance`, or as nearly as `dtype` and `max_iterations` let it.

    most_sweeps: of one policy, the largest m. devices: share the states of a large model out over these. Without a discount it begins from the value
    of the policy that takes all actions alike, from which values can only rise. Raises ValueError as policy iteration does.
    """
    check_numbers(gamma, tolerance)
    check_improvable(mdp, gamma)
    if most_sweeps < 0:
        raise ValueError(f"most_sweeps must be 0 or more, not {most_sweeps}")
    first = policy_evaluation.solve(mdp, uniform(mdp), gamma).value if gamma == 1.0 else None
    with jax.enable_x64(True):
        tables = bellman.tables(mdp, dtype)
        value, iterations = until(
            improve_and_follow(most_sweeps), tables, gamma, tolerance, max_iterations, devices, first
        )
        return solved(tables, value, gamma, iterations)


@lru_cache
def improve_and_follow(most_sweeps: int):
    """Returns the loop, for `until`, that improves the policy and follows it for up to so many sweeps."""

    def follow(policy, value, gamma, small, everywhere):
        def unfinished(carry):
            _, made, change = carry
            return (made < most_sweeps) & (change > small)

        def sweep(carry):
            value, made, _ = carry
            new = everywhere(bellman.backup(policy, value, gamma))
            return new, made + 1, bellman.spread(policy, new - value)

        return lax.while_loop(unfinished, sweep, (value, 0, jnp.inf))[0]

    def loop(tables, value, gamma, tolerance, most, everywhere=lambda x: x):
        def unfinished(carry):
            _, made, done = carry
            return ~done & (made < most)

        def improve(carry):
            value, made, _ = carry
            new, action = bellman.best(tables, value, gamma)
            new, policy = everywhere(new), bellman.choose(tables, action)
            done = enough(tables, value, new, gamma, tolerance)
            small = jnp.where(done, jnp.inf, 0.1 * bellman.spread(tables, new - value))
            return follow(policy, new, gamma, small, everywhere), made + 1, done

        return lax.while_loop(unfinished, improve, (value, 0, False))

    return loop
