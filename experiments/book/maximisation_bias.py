"""Maximisation bias: the best of ten noisy estimates is too high, and Q-learning believes it."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from algos.tabular import double_q_learning, q_learning
from algos.tabular.experience import Step, epsilon_greedy
from experiments.book.figure import Curve, Figure, Row
from experiments.book.runs import over_runs

EPISODES, ACTIONS, MEAN = 300, 10, -0.1  # of B, whose rewards are normal of variance 1
A, B, END = 0, 1, 2  # from A: action 0 goes to B, 1 ends; both earn nothing
METHODS = {"Q-learning": q_learning, "double Q-learning": double_q_learning}


def lefts(runs: int = 10_000) -> Figure:
    """Returns figure 6.5: how often each episode begins with the action that is worth -0.1, in %."""
    found = {
        name: 100.0 * over_runs(lambda key, module=module: went_left(module, key), runs)
        for name, module in METHODS.items()
    }
    x = np.arange(1, EPISODES + 1)
    curves = [Curve(name, x, values) for name, values in found.items()]
    rows = [
        Row("Q-learning, left in episode 19, %", "94", found["Q-learning"][:, 18]),
        Row("Q-learning, left in episode 300, %", "11.8", found["Q-learning"][:, -1]),
        Row("double Q-learning, left in episode 300, %", "6.7", found["double Q-learning"][:, -1]),
    ]
    return Figure("Figure 6.5: maximisation bias", "episodes", "% of left actions from A", curves, rows, (0.0, 100.0),
                  {"best, epsilon / 2": 5.0}, [(19, 94.0), (300, 11.8), (300, 6.7)])  # fmt: skip


def went_left(module, key) -> jax.Array:
    """Returns in which episodes the first action was left, [episodes]. A has two actions and B ten, as no `MDP` could have;
    the methods' own updates learn."""
    hparams = module.HParams(learning_rate=0.1, gamma=1.0, epsilon=0.1)
    double = module is double_q_learning
    q = jnp.zeros((2, 3, ACTIONS) if double else (3, ACTIONS))

    def row(q, state):
        return q[0, state] + q[1, state] if double else q[state]

    def episode(q, key):
        words, noise = jax.random.bits(jax.random.fold_in(key, 0), (4,)), jax.random.normal(jax.random.fold_in(key, 1))
        first = epsilon_greedy(row(q, A)[:2], hparams.epsilon, words[0])
        left = first == 0
        reached = jnp.where(left, B, END)
        q = module.update(q, Step(A, first, jnp.float32(0.0), reached, None, ~left, False, words[2:3]), hparams)
        second = epsilon_greedy(row(q, B), hparams.epsilon, words[1])
        after = module.update(q, Step(B, second, MEAN + noise, END, None, jnp.bool_(True), False, words[3:]), hparams)
        return jnp.where(left, after, q), left.astype(jnp.float32)

    return lax.scan(episode, q, jax.random.split(key, EPISODES))[1]
