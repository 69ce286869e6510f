"""Mountain car by tiles: how many steps should a return look ahead, and how fast should it be learned from?"""

import numpy as np

import envs
from algos.linear import features, named
from algos.linear import semi_gradient_sarsa as sarsa
from experiments.book.figure import Curve, Figure, Row
from experiments.book.random_walk import best
from experiments.book.runs import first_episodes, over_runs, took

EPISODES, TILINGS, TILES = 50, 8, 8
LOW, HIGH = (-1.2, -0.07), (0.5, 0.07)  # the book's bounds: gymnax draws the goal, at 0.5, nearer than the border
LONG_ENOUGH = 5_000  # steps: the book's episodes have no limit
N_STEP = {  # n: the learning rates, and the least number of steps with its rate
    1: ((0.5, 0.75, 1.0, 1.25, 1.5, 1.75), (1.5, 231)),
    2: ((0.5, 0.75, 1.0, 1.25, 1.5, 1.75), (1.25, 227)),
    4: ((0.25, 0.5, 0.75, 1.0, 1.25, 1.5), (0.75, 222)),
    8: ((0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 1.0), (0.5, 228)),
    16: ((0.15, 0.2, 0.25, 0.3, 0.4, 0.5), (0.25, 253)),
}


def n_step(runs: int = 30) -> Figure:
    """Returns figure 10.4: steps an episode over the first 50, against alpha for each n."""
    curves, rows = [], []
    for n, (rates, (_, published)) in N_STEP.items():
        found = lengths(n, rates, runs)
        curves.append(Curve(f"n = {n}", np.array(rates), found))
        rows.append(Row(f"n = {n}, fewest steps", f"{published}", found[:, best(found)]))
    points = [published for _, published in N_STEP.values()]
    return Figure("Figure 10.4: mountain car, n-step SARSA, 8 tilings of 8 x 8", "alpha x number of tilings (8)",
                  f"steps an episode, mean of the first {EPISODES}", curves, rows, (210.0, 300.0), book=points, line="o-")  # fmt: skip


def lengths(n: int, rates, runs: int) -> np.ndarray:
    """Returns the mean length of each run's episodes at each learning rate, [runs, alphas]."""
    env = envs.make("MountainCar-v0", max_steps_in_episode=LONG_ENOUGH)
    see, dimensions = named.between(LOW, HIGH)
    tiles = features.seen_as(features.tile_coding(dimensions, TILINGS, TILES), see)
    algorithm = sarsa.make(env, sarsa.Config(n=n, num_steps=1), features=tiles)

    def one_run(key, learning_rate):
        hparams = sarsa.HParams(learning_rate=learning_rate, gamma=1.0, epsilon=0.0)
        return first_episodes(algorithm, hparams, key, EPISODES, took).mean()

    return over_runs(one_run, runs, {"learning_rate": rates}).T
