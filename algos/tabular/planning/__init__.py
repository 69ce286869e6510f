"""Planning: what is best where the model is known, one method a file, each with a certified bound on its error.

    solution = value_iteration.solve(mdp, gamma=0.99)        # .value [S], .policy [S, A], .bound

These are for the host, not for the inside of a training step: they compute in double precision whatever precision the
program trains in, stop by what was computed, and look at the clock of no one. So they enter `jax.enable_x64` and compile
their loops themselves, which algorithms never do. What a compiled program needs is in `algos.tabular.bellman`.
"""

from algos.tabular.planning import (
    backward_induction,
    modified_policy_iteration,
    policy_evaluation,
    policy_iteration,
    value_iteration,
)
from algos.tabular.planning.solution import Solution

__all__ = [
    "Solution", "backward_induction", "modified_policy_iteration", "policy_evaluation", "policy_iteration",
    "value_iteration",
]  # fmt: skip
