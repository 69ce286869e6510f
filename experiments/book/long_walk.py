"""The random walk of 1000 states by a few features: what do values come to that cannot all be right?

The book learns for 100,000 episodes; here it is fewer, by learning rates that are larger by as much.
"""

import functools

import jax.numpy as jnp
import numpy as np

import envs
from algos.linear import expected, features, gradient_monte_carlo, named, semi_gradient_n_step_td, semi_gradient_td
from algos.tabular.planning import policy_evaluation
from experiments.book.figure import Curve, Figure, Row
from experiments.book.random_walk import best
from experiments.book.runs import every_update, first_episodes, over_runs

STATES = np.arange(1, 1001)
LENGTH = 83.152  # steps of an episode, on average
FEWER = 5  # times fewer episodes than the book's, and as many times its learning rate
RATES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
N_STEP = (1, 2, 4, 8, 16, 32, 64)
ORDERS = (5, 10, 20)
BASES = {
    "polynomial": (features.polynomial, 1e-4),
    "Fourier": (functools.partial(features.fourier, scaled=False), 5e-5),
}
TOGETHER = 50  # episodes between two looks at the error
TRAINED = 5000  # episodes, of bases


def monte_carlo(runs: int = 20) -> Figure:
    """Returns figure 9.1: the values of ten groups by gradient Monte Carlo, beside the best that ten groups can have."""
    _, weight, truth = walk()
    exact = expected.projection(rows_of(10), weight, truth)
    return of_groups(
        "Figure 9.1: gradient Monte Carlo", gradient_monte_carlo, 2e-5, exact, "nearest to the truth", runs
    )


def temporal_difference(runs: int = 20) -> Figure:
    """Returns figure 9.2, left: the same by semi-gradient TD(0), which comes to its fixed point."""
    env, weight, _ = walk()
    exact = expected.td_fixed_point(expected.expected(env.model, np.ones((1002, 1)), rows_of(10), weight, 1.0))
    return of_groups(
        "Figure 9.2, left: semi-gradient TD(0)", semi_gradient_td, 2e-4, exact, "fixed point of TD(0)", runs
    )


def of_groups(title: str, module, rate: float, exact, what: str, runs: int) -> Figure:
    """Returns the figure of ten groups' values at last."""
    env, weight, truth = walk()
    episodes = 100_000 // FEWER
    algorithm = module.make(env, module.Config(features="aggregation:10", num_steps=round(episodes * LENGTH)))
    hparams = module.HParams(learning_rate=rate * FEWER)
    w = over_runs(lambda key: every_update(algorithm, hparams, key, 1, lambda state, _: state.params)[0], runs)
    rows = [Row("value of states 1 to 100", f"exact {exact[0]:.4f}", w[:, 0]),
            Row("value of states 901 to 1000", f"exact {exact[-1]:.4f}", w[:, -1]),
            Row("RMS error weighted by visits", f"exact {rms(exact, 10):.4f}", np.array([rms(one, 10) for one in w]))]  # fmt: skip
    curves = [
        Curve(f"learned, {episodes:,} episodes", STATES, w @ rows_of(10)[STATES].T, False, 0),
        Curve(what, STATES, np.tile(rows_of(10)[STATES] @ exact, (runs, 1)), True, 0),
        Curve("true values", STATES, np.tile(truth[STATES], (runs, 1)), False, 1),
    ]
    return Figure(f"{title}, 1000 states in 10 groups", "state", "value", curves, rows, (-1.0, 1.0))


def n_step(runs: int = 50) -> Figure:
    """Returns figure 9.2, right: semi-gradient n-step TD on 20 groups, the error over the first 10 episodes."""
    found = {n: errors(n, runs) for n in N_STEP}
    rows = [Row(f"n = {n}, least error", "", values[:, best(values)]) for n, values in found.items()]
    curves = [Curve(f"n = {n}", np.array(RATES), values) for n, values in found.items()]
    return Figure("Figure 9.2, right: semi-gradient n-step TD, 1000 states in 20 groups", "alpha",
                  "RMS error of the 1000 values, mean of the first 10 episodes", curves, rows, (0.25, 0.55))  # fmt: skip


def errors(n: int, runs: int) -> np.ndarray:
    """Returns the error of each run at each learning rate, [runs, alphas]."""
    env, _, truth = walk()
    config = semi_gradient_n_step_td.Config(n=n, features="aggregation:20", num_steps=1)
    algorithm, rows = semi_gradient_n_step_td.make(env, config), rows_of(20)[STATES]

    def error(state, metrics):
        return jnp.sqrt(jnp.mean((jnp.asarray(rows, float) @ state.params - truth[STATES]) ** 2))

    def one_run(key, learning_rate):
        hparams = semi_gradient_n_step_td.HParams(learning_rate=learning_rate)
        return jnp.mean(first_episodes(algorithm, hparams, key, 10, error))

    return over_runs(one_run, runs, {"learning_rate": RATES}).T


def bases(runs: int = 10) -> Figure:
    """Returns figure 9.5: gradient Monte Carlo by polynomials and by the Fourier basis, the error as episodes go by."""
    x = np.arange(TOGETHER, TRAINED + 1, TOGETHER)
    curves, rows = [], []
    for kind, (basis, rate) in BASES.items():
        for order in ORDERS:
            found = learning(basis(1, order), rate, x, runs)
            curves.append(Curve(f"{kind}, order {order}", x, found))
            rows.append(Row(f"{kind}, order {order}, episode {TRAINED:,}", "", found[:, -1]))
    return Figure("Figure 9.5: bases, the walk of 1000 states", "episodes", "RMS error weighted by visits", curves, rows,
                  (0.0, 0.45))  # fmt: skip


def learning(basis: features.Features, rate: float, episodes, runs: int) -> np.ndarray:
    """Returns the error after so many episodes, [runs, episodes]: it is looked at every so many steps."""
    env, weight, truth = walk()
    chosen = features.seen_as(basis, named.point_of(env)[0])
    table = named.of_states(env, chosen).value
    module = gradient_monte_carlo
    algorithm = module.make(env, module.Config(num_steps=round(TOGETHER * LENGTH)), features=chosen)
    updates = round(1.05 * len(episodes))

    def look(state, metrics):
        squared = (jnp.asarray(table) @ state.params - truth) ** 2
        return metrics["episode_count"], jnp.sqrt(jnp.sum(jnp.asarray(weight) * squared))

    def one_run(key):
        counts, error = every_update(algorithm, module.HParams(learning_rate=rate), key, updates, look)
        return jnp.interp(jnp.asarray(episodes, float), jnp.cumsum(counts), error)

    return over_runs(one_run, runs)


def rms(w, groups: int) -> float:
    """Returns the root of the mean squared error of a group's values, each state weighted by its visits."""
    _, weight, truth = walk()
    return float(np.sqrt(weight @ (rows_of(groups) @ np.asarray(w, np.float64) - truth) ** 2))


@functools.cache
def walk():
    """Returns (environment, mu [S], true values [S])."""
    env = envs.make("RandomWalk-1000")
    only = np.ones((env.model.num_states, 1))
    return env, expected.on_policy_weight(env.model, only), policy_evaluation.solve(env.model, only, 1.0).value


@functools.cache
def rows_of(groups: int) -> np.ndarray:
    """Returns which group each state is in, one-hot [S, groups]."""
    env, _, _ = walk()
    return np.eye(groups)[named.of_states(env, named.features_of(env, f"aggregation:{groups}")).index[:, 0]]
