"""The cliff: a method that learns the values of what it does keeps away from it, one that learns the best ones does not."""

import numpy as np

import envs
from algos.tabular import expected_sarsa, q_learning, sarsa
from algos.tabular.planning import policy_evaluation, value_iteration
from envs.mdp import epsilon_soft
from experiments.book.figure import Curve, Figure, Row
from experiments.book.runs import earned, first_episodes, over_runs

METHODS = {"SARSA": sarsa, "Q-learning": q_learning, "expected SARSA": expected_sarsa}
EPSILON = 0.1
TOGETHER = 10  # episodes that are averaged in the picture
LONG_ENOUGH = 20_000  # steps: the book's episodes have no limit
EARLY, MADE = 100, 1000  # episodes: those of the interim performance, and all; the last half is the asymptotic one
INTERIM = {
    "expected SARSA": {0.1: -133.7, 0.5: -56.3, 0.9: -45.7},
    "SARSA": {0.1: -139.2, 0.5: -71.3, 0.9: -68.8},
    "Q-learning": {0.1: -149.7, 0.5: -80.6, 0.9: -73.0},
}
RATES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def online(runs: int = 200) -> Figure:
    """Returns the figure of example 6.6: the return while learning, alpha = 0.5, beside what the two can come to."""
    found = {name: returns(METHODS[name], runs, 500, [0.5])[0] for name in ("SARSA", "Q-learning")}
    x = np.arange(TOGETHER / 2, 500, TOGETHER)
    curves = [Curve(name, x, values.reshape(runs, -1, TOGETHER).mean(2)) for name, values in found.items()]
    rows = [Row("SARSA, episodes 100 to 500", "-25 ± 3", found["SARSA"][:, 100:].mean(1)),
            Row("Q-learning, episodes 100 to 500", "-47 ± 4", found["Q-learning"][:, 100:].mean(1))]  # fmt: skip
    return Figure("Example 6.6: the cliff, epsilon = 0.1, alpha = 0.5", "episodes", f"return, mean of {TOGETHER} episodes", curves, rows,
                  (-100.0, 0.0), limits())  # fmt: skip


def interim(runs: int = 50) -> Figure:
    """Returns figure 6.3: the return against alpha, over the first 100 episodes and at last."""
    curves, rows, book = [], [], []
    for colour, (name, module) in enumerate(METHODS.items()):
        found = returns(module, runs, MADE, RATES)  # [alphas, runs, episodes]
        early, late = found[..., :EARLY].mean(2).T, found[..., MADE // 2 :].mean(2).T
        curves += [
            Curve(f"{name}, at last", np.array(RATES), late, False, colour),
            Curve(f"{name}, first 100", np.array(RATES), early, True, colour),
        ]
        for rate, published in INTERIM[name].items():
            rows.append(
                Row(f"{name}, alpha = {rate:g}, first 100 episodes", f"{published:g}", early[:, RATES.index(rate)])
            )
            book.append((rate, published))
        if name != "SARSA":
            level = "-51" if name == "Q-learning" else "-20.6"
            rows.append(Row(f"{name}, alpha = 0.1, at last", level, late[:, 0]))
    return Figure(
        "Figure 6.3: the cliff, epsilon = 0.1",
        "alpha",
        "return of an episode",
        curves,
        rows,
        (-160.0, 0.0),
        limits(),
        book,
        line="o-",
    )


def returns(module, runs: int, episodes: int, rates) -> np.ndarray:
    """Returns the return of every episode, [alphas, runs, episodes]."""
    algorithm = module.make(envs.make("CliffWalking", max_steps_in_episode=LONG_ENOUGH), module.Config(num_steps=1))

    def one_run(key, learning_rate):
        hparams = module.HParams(learning_rate=learning_rate, gamma=1.0, epsilon=EPSILON)
        return first_episodes(algorithm, hparams, key, episodes, earned)

    return over_runs(one_run, runs, {"learning_rate": rates})


def limits() -> dict[str, float]:
    """Returns what epsilon-greedy behaviour earns, exactly: by the best values, and at best."""
    mdp = envs.make("CliffWalking").model
    greedy = value_iteration.solve(mdp, 1.0).policy
    behaviour = (1.0 - EPSILON) * greedy + EPSILON / mdp.num_actions
    by_best_values = policy_evaluation.solve(mdp, behaviour, 1.0).value
    best = value_iteration.solve(epsilon_soft(mdp, EPSILON), 1.0).value
    return {
        "best epsilon-soft policy": float(mdp.start @ best),
        "epsilon-greedy on Q*": float(mdp.start @ by_best_values),
    }
