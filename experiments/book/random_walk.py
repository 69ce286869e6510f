"""Random walks, where the values are known: which share of the error is left after some episodes?"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import envs
from algos.tabular import batch, monte_carlo_prediction, n_step_td, td, td_lambda
from algos.tabular.experience import Step
from envs.mdp.sampling import walk
from experiments.book.figure import Curve, Figure, Row
from experiments.book.runs import first_episodes, over_runs

EPISODES = 10
TRUTH = np.arange(-18, 19, 2) / 20  # of the 19 states
RATES = (0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.17, 0.2, 0.24, 0.28, 0.32, 0.37, 0.43, 0.5, 0.58, 0.65, 0.73, 0.82,
         0.91, 1.0)  # fmt: skip
N_STEP = {1: (0.82, 0.3473), 2: (0.58, 0.2814), 4: (0.37, 0.2676), 8: (0.22, 0.2807), 16: (0.135, 0.3128), 32: (0.083, 0.361), 64: None}  # fmt: skip
LAMBDA = {0.0: 0.348, 0.4: 0.276, 0.8: 0.261, 0.9: 0.285, 0.95: 0.334, 0.975: None, 1.0: 0.49}
WALKS, LONGEST = 100, 2500  # of the five states; steps enough for so many walks
BEFORE = 0.5  # what a state is worth that was not met yet
TRUTH_OF_FIVE = np.arange(1, 6) / 6
CONSTANT = {"TD": (0.05, 0.1, 0.15), "Monte Carlo": (0.01, 0.02, 0.03, 0.04)}  # alphas of example 6.2


def n_step(runs: int = 100) -> Figure:
    """Returns figure 7.2: n-step TD on 19 states, the error over the first 10 episodes against alpha for each n."""
    found = {n: errors(n_step_td, {"n": n}, runs, learning_rate=RATES) for n in N_STEP}
    rows, book = [], []
    for n, published in N_STEP.items():
        if published:
            rows.append(least(f"n = {n}, least error", published[1], found[n]))
            book.append(published)
    curves = [Curve(f"n = {n}", np.array(RATES), values) for n, values in found.items()]
    return Figure(
        "Figure 7.2: n-step TD on the random walk of 19 states", "alpha", BESIDE, curves, rows, (0.25, 0.55), book=book
    )


def traces(runs: int = 100) -> Figure:
    """Returns figure 12.6: TD(lambda) with accumulating traces on the same task."""
    rates, lambdas = (x.ravel() for x in np.meshgrid(RATES, list(LAMBDA)))
    every = errors(td_lambda, {}, runs, learning_rate=rates, lambda_=lambdas)
    found = dict(zip(LAMBDA, np.split(every, len(LAMBDA), axis=1)))
    rows = [least(f"lambda = {x:g}, least error", LAMBDA[x], values) for x, values in found.items() if LAMBDA[x]]
    book = [(RATES[best(found[x])], level) for x, level in LAMBDA.items() if level]
    curves = [Curve(f"lambda = {x:g}", np.array(RATES), values) for x, values in found.items()]
    return Figure(
        "Figure 12.6: TD(lambda) on the random walk of 19 states",
        "alpha",
        BESIDE,
        curves,
        rows,
        (0.25, 0.55),
        book=book,
    )


BESIDE_OF_FIVE = "RMS error of the 5 values"
BESIDE = f"RMS error of the 19 values, mean of the first {EPISODES} episodes"


def errors(module, config: dict, runs: int, **settings) -> np.ndarray:
    """Returns the error of each run at each of the settings, [runs, settings]."""
    algorithm = module.make(envs.make("RandomWalk-19"), module.Config(num_steps=1, **config))

    def error(state, metrics):
        return jnp.sqrt(jnp.mean((state.params[1:-1] - TRUTH) ** 2))

    def one_run(key, **setting):
        return jnp.mean(first_episodes(algorithm, module.HParams(**setting), key, EPISODES, error))

    return over_runs(one_run, runs, settings).T


def least(what: str, published: float, values: np.ndarray) -> Row:
    """Returns the row of the best alpha, values [runs, alphas]."""
    return Row(what, f"{published:g}", values[:, best(values)])


def best(values: np.ndarray) -> int:
    """Returns which alpha has the least mean of [runs, alphas]; one at which a run diverged has none."""
    mean = values.mean(0)
    return int(np.nanargmin(np.where(np.isfinite(mean), mean, np.nan)))


def online(runs: int = 100) -> Figure:
    """Returns the figure of example 6.2: TD(0) and every-visit Monte Carlo on five states, the error after each of 100 walks."""
    curves, rows = [], []
    for name, rates in CONSTANT.items():
        found = errors_of_walks(name, runs, rates)
        curves += [
            Curve(f"{name}, alpha = {rate:g}", np.arange(WALKS + 1), values, name != "TD")
            for rate, values in zip(rates, found)
        ]
        last = found[..., -1]
        which, published = ("alpha = 0.05", "0.033") if name == "TD" else ("its best alpha", "0.08 to 0.1")
        rows.append(Row(f"{name}, {which}, after 100 walks", published, last[0 if name == "TD" else best(last.T)]))
    return Figure("Example 6.2: the random walk of 5 states", "walks", BESIDE_OF_FIVE, curves, rows, (0.0, 0.25),
                  book=[(WALKS, 0.033)])  # fmt: skip


def errors_of_walks(name: str, runs: int, rates) -> np.ndarray:
    """Returns the error before the first walk and after each, [alphas, runs, 1 + walks]."""
    module, config = {"TD": (td, {}), "Monte Carlo": (monte_carlo_prediction, {"first_visit": False})}[name]
    algorithm = module.make(envs.make("RandomWalk-5"), module.Config(num_steps=1, **config))

    def error(state, metrics=None):
        return jnp.sqrt(jnp.mean((state.params[1:-1] - TRUTH_OF_FIVE) ** 2))

    def one_run(key, learning_rate):
        hparams = module.HParams(learning_rate=learning_rate, gamma=1.0, initial_value=BEFORE)
        before = error(algorithm.init(key, hparams))
        return jnp.append(before, first_episodes(algorithm, hparams, key, WALKS, error))

    return over_runs(one_run, runs, {"learning_rate": rates})


def batches(runs: int = 100) -> Figure:
    """Returns figure 6.2: batch TD(0) and batch Monte Carlo on five states, the error after each of 100 walks.

    Both in closed form: what the sweeps of the book come to (`algos.tabular.batch`)."""
    logs = over_runs(lambda key: walked(key), runs)
    found = np.array([[both(log[: end + 1]) for end in ends_of(log)] for log in logs])  # [runs, walks, 2]
    x = np.arange(1, WALKS + 1)
    curves = [Curve("batch TD(0)", x, found[..., 0]), Curve("batch Monte Carlo", x, found[..., 1])]
    rows = [Row("batch TD, after 100 walks", "0.036", found[:, -1, 0]),
            Row("batch Monte Carlo, after 100 walks", "0.054", found[:, -1, 1])]  # fmt: skip
    return Figure(
        "Figure 6.2: batch training on the random walk of 5 states",
        "walks",
        BESIDE_OF_FIVE,
        curves,
        rows,
        (0.0, 0.25),
        book=[(WALKS, 0.036), (WALKS, 0.054)],
    )


def walked(key) -> jax.Array:
    """Returns the steps of walks, [steps, (state, reward, next state, terminated)]."""
    episodes = walk(envs.make("RandomWalk-5").model, LONGEST)

    def one_step(state, uniform):
        reached, reward, terminated, _ = episodes.step(uniform, state, 0)
        begin = episodes.start(uniform)
        after = jax.tree.map(lambda x, y: jnp.where(terminated, x, y), begin, reached)
        return after, jnp.stack([state.index, reward, reached.index, terminated])

    return lax.scan(one_step, episodes.start(jnp.float32(0.0)), jax.random.uniform(key, (LONGEST,)))[1]


def ends_of(log: np.ndarray) -> np.ndarray:
    """Returns the last step of each of the first walks."""
    return np.flatnonzero(log[:, 3])[:WALKS]


def both(log: np.ndarray) -> tuple[float, float]:
    """Returns the errors of batch TD(0) and of batch Monte Carlo on a log of whole walks."""
    state, reward, next_state, terminated = log.T
    state, next_state = state.astype(int), next_state.astype(int)
    step = Step(state, None, reward, next_state, None, terminated, None, None)
    last = np.searchsorted(np.flatnonzero(terminated), np.arange(len(log)))
    returns = reward[np.flatnonzero(terminated)][last]  # all that a walk earns it earns at its end
    visits = np.bincount(state, minlength=7)
    averages = np.bincount(state, returns, 7) / np.maximum(visits, 1)

    def error(values):
        return np.sqrt(np.mean((np.where(visits > 0, values, BEFORE)[1:6] - TRUTH_OF_FIVE) ** 2))

    return error(batch.td_solution(step, 7, 1.0)), error(averages)
