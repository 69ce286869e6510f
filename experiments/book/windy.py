"""The windy gridworld: with every episode the way to the goal grows shorter, and the next episode begins sooner."""

import jax.numpy as jnp
import numpy as np
from jax import lax

import envs
from algos.tabular import sarsa
from experiments.book.figure import Curve, Figure, Row
from experiments.book.runs import over_runs

STEPS, EVERY = 8000, 10  # of a run; from one point of the curve to the next
LONG_ENOUGH = 20_000  # steps: the book's episodes have no limit
BOOK = ((1567, 0.2), (2735, 7.1), (3754, 18.4), (4794, 35.1), (5619, 62.5), (6347, 93.3), (6986, 123.4), (7828, 168.8))


def sarsa_online(runs: int = 100) -> Figure:
    """Returns the figure of example 6.5: episodes that SARSA has ended against steps taken, alpha = 0.5, epsilon = 0.1."""
    algorithm = sarsa.make(envs.make("WindyGridworld", max_steps_in_episode=LONG_ENOUGH), sarsa.Config(num_steps=EVERY))
    hparams = sarsa.HParams(learning_rate=0.5, gamma=1.0, epsilon=0.1)

    def one_update(state, _):
        state, metrics = algorithm.step(state, hparams)
        return state, metrics["episode_count"]

    def one_run(key):
        return jnp.cumsum(lax.scan(one_update, algorithm.init(key, hparams), length=STEPS // EVERY)[1])

    ended, x = over_runs(one_run, runs), EVERY * np.arange(1, STEPS // EVERY + 1)
    by = dict(zip(x.tolist(), ended.T))
    rows = [Row("episodes within 7,830 steps", "169, of one run", by[7830]),
            Row("steps an episode, steps 7,000 to 8,000", "about 17", 1000.0 / (by[8000] - by[7000]))]  # fmt: skip
    return Figure("Example 6.5: SARSA on the windy gridworld", "steps", "episodes ended", [Curve("SARSA", x, ended)], rows,
                  (0.0, 200.0), book=list(BOOK))  # fmt: skip
