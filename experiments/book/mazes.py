"""Mazes: what planning on remembered steps saves, and what it costs when the maze is not as it was."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import envs
from algos.tabular import dyna_q, dyna_q_plus, q_learning
from algos.tabular.planning import value_iteration
from envs.mdp import epsilon_soft
from envs.mdp.model import terminal_states
from experiments.book.figure import Curve, Figure, Row
from experiments.book.runs import first_episodes, over_runs, took

LONG_ENOUGH = 20_000  # steps: the book's episodes have no limit
EPISODES, EPSILON = 50, 0.1
PLANNING = (0, 5, 50)
SECOND = {0: "830", 5: "180", 50: "35"}  # steps of episode 2, read off the picture
EVERY = 10  # steps from one point of a cumulative curve to the next


def planning(runs: int = 100) -> Figure:
    """Returns figure 8.2: steps an episode on the Dyna maze, n steps of planning after each that is taken."""
    found = {n: lengths(n, runs) for n in PLANNING}
    x = np.arange(2, EPISODES + 1)
    curves = [Curve(f"{n} planning steps", x, values[:, 1:]) for n, values in found.items()]
    rows = [Row(f"n = {n}, episode 2", SECOND[n], found[n][:, 1]) for n in PLANNING]
    rows += [Row(f"n = {n}, episodes 31 to 50", "14 to 16", found[n][:, 30:].mean(1)) for n in PLANNING]
    book = [(2, float(level)) for level in SECOND.values()]
    return Figure(
        "Figure 8.2: the Dyna maze",
        "episodes",
        "steps an episode",
        curves,
        rows,
        (10.0, 1500.0),
        limits(),
        book,
        scale="log",
    )


def lengths(n: int, runs: int) -> np.ndarray:
    """Returns the steps of each episode, [runs, episodes]. Without planning Dyna-Q is Q-learning."""
    env = envs.make("DynaMaze", max_steps_in_episode=LONG_ENOUGH)
    module = dyna_q if n else q_learning
    config = module.Config(num_steps=1, **({"num_planning": n} if n else {}))
    algorithm, hparams = module.make(env, config), module.HParams(learning_rate=0.1, gamma=0.95, epsilon=EPSILON)
    return over_runs(lambda key: first_episodes(algorithm, hparams, key, EPISODES, took), runs)


def limits() -> dict[str, float]:
    """Returns the steps of the shortest way, and on average of the best policy that is epsilon-greedy."""
    mdp = envs.make("DynaMaze").model
    steps = mdp.replace(reward=np.where(terminal_states(mdp)[:, None, None], 0.0, -1.0) * np.ones(mdp.reward.shape))
    ways = {"shortest way": steps, "best epsilon-soft policy": epsilon_soft(steps, EPSILON)}
    return {what: -float(mdp.start @ value_iteration.solve(of, 1.0).value) for what, of in ways.items()}


def blocking(runs: int = 50) -> Figure:
    """Returns figure 8.4: the short way is blocked after 1000 steps, and there is a longer one."""
    found = {name: rewards(module, "BlockingMaze", 1000, 3000, 10, runs) for name, module in METHODS.items()}
    return changed("Figure 8.4: the way is blocked after 1,000 steps", found, {"Dyna-Q": "97", "Dyna-Q+": "150"})


def shortcut(runs: int = 50) -> Figure:
    """Returns figure 8.5: a shorter way opens after 3000 steps; nothing that worked before stops working."""
    found = {name: rewards(module, "ShortcutMaze", 3000, 6000, 50, runs) for name, module in METHODS.items()}
    return changed("Figure 8.5: a shortcut opens after 3,000 steps", found, {"Dyna-Q": "308", "Dyna-Q+": "400"})


METHODS = {"Dyna-Q": dyna_q, "Dyna-Q+": dyna_q_plus}


def changed(title: str, found: dict[str, np.ndarray], published: dict[str, str]) -> Figure:
    """Returns the figure of cumulative rewards, [runs, points]."""
    x = EVERY * np.arange(1, next(iter(found.values())).shape[1] + 1)
    rows = [
        Row(f"{name}, reward within {x[-1]:,} steps", published[name], values[:, -1]) for name, values in found.items()
    ]
    curves = [Curve(name, x, values) for name, values in found.items()]
    ours = [float(values[:, -1].mean()) for values in found.values()]
    top = 1.05 * max([*ours, *map(float, published.values())])
    return Figure(
        title,
        "steps",
        "cumulative reward",
        curves,
        rows,
        (0.0, top),
        book=[(x[-1], float(y)) for y in published.values()],
    )


def rewards(module, maze: str, change: int, steps: int, num_planning: int, runs: int) -> np.ndarray:
    """Returns the rewards so far after every so many steps, [runs, points]: what was learned and remembered before the
    change is kept, and the episode goes on. The book says nothing of alpha, kappa and the planning steps of these figures."""
    before, after = (
        module.make(envs.make(maze, after=after, max_steps_in_episode=LONG_ENOUGH), module.Config(num_planning=num_planning, num_steps=EVERY))
        for after in (False, True)
    )  # fmt: skip
    chosen = {"learning_rate": 1.0, "gamma": 0.95, "epsilon": EPSILON} | (
        {"kappa": 1e-3} if module is dyna_q_plus else {}
    )
    hparams = module.HParams(**chosen)

    def one_run(key):
        state, early = lax.scan(
            lambda state, _: earning(before, state, hparams), before.init(key, hparams), length=change // EVERY
        )
        _, late = lax.scan(lambda state, _: earning(after, state, hparams), state, length=(steps - change) // EVERY)
        return jnp.cumsum(jnp.concatenate([early, late]))

    return over_runs(one_run, runs)


def earning(algorithm, state, hparams) -> tuple[object, jax.Array]:
    """Returns the state after an update, and what the episodes that ended in it earned: 1 each, at the goal."""
    state, metrics = algorithm.step(state, hparams)
    return state, metrics["episode_return_sum"]
