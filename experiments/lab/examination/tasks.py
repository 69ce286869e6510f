"""Two tasks of one step whose every value is known: whether an algorithm learns at all, counts, and keeps ends apart.

matching  observation -1 or 1, reward 1 where the action fits it, else -1; it terminates: V is 1 under the best policy
cut       observation -1 or 1, reward 1; the time limit cuts it, and it would go on so for ever: V is 1 / (1 - gamma)
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from algos.core.loop import advance, no_metrics
from envs import Discrete, Env, TimeStep
from experiments.lab.definition.experiment import Contender
from experiments.lab.examination.case import NOTE, OK, PROBLEM, Finding

OBSERVATIONS = np.array([[-1.0], [1.0]], np.float32)
BEST = (0, 1)  # actions of `matching`
GAMMA = 0.8
FOR_EVER = 1.0 / (1.0 - GAMMA)
UPDATES = 300
SIZES = {"hidden_sizes": (16,), "target_interval": 10}
NUMBERS = {"learning_rate": 0.02, "value_learning_rate": 0.02, "anneal": 0.0, "gamma": GAMMA, "entropy_coef": 0.0}


class Table(NamedTuple):
    """What one step gives."""

    reward: np.ndarray  # [observation, action]
    terminated: np.ndarray  # bool


MATCHING = Table(np.array([[1.0, -1.0], [-1.0, 1.0]], np.float32), np.array(True))
CUT = Table(np.ones((2, 2), np.float32), np.array(False))


def task(table: Table) -> Env:
    """Returns the task as an environment; its table may be traced."""
    table = Table(*map(jnp.asarray, table))

    def reset(key):
        place = jax.random.bernoulli(key).astype(jnp.int32)
        return place, jnp.asarray(OBSERVATIONS)[place]

    def step(key, place, action):
        seen = jnp.asarray(OBSERVATIONS)[place]
        return place, TimeStep(seen, table.reward[place, action], table.terminated, ~table.terminated)

    return Env("one step", reset, step, (1,), Discrete(2), max_steps=2)


def learns(contender: Contender) -> list[Finding]:
    """Returns what it makes of the two tasks of one step."""
    config = {name: x for name, x in SIZES.items() if name in type(contender.config).__dataclass_fields__}
    learner = dataclasses.replace(contender, config=dataclasses.replace(contender.config, **config))
    hparams = contender.hparams.replace(**{name: x for name, x in NUMBERS.items() if hasattr(contender.hparams, name)})

    def trained(table, key):
        algorithm = learner.make(task(table))
        state = algorithm.init(key, hparams)
        state, _ = advance(algorithm, state, hparams, no_metrics(algorithm, state, hparams), UPDATES)
        metrics = algorithm.step(state, hparams)[1]
        seen = jnp.asarray(OBSERVATIONS)
        greedy = jax.vmap(lambda observation: algorithm.act(state, key, observation, False))(seen)
        value = None if algorithm.value is None else jax.vmap(lambda x: algorithm.value(state, x))(seen)
        return greedy, value, metrics

    tables = jax.tree.map(lambda *x: jnp.stack(x), MATCHING, CUT)
    greedy, value, metrics = jax.jit(jax.vmap(trained, (0, None)))(tables, jax.random.key(0))
    taken = learner.make(task(MATCHING)).steps_per_update
    return counts(jax.tree.map(np.asarray, metrics), taken) + found_out(np.asarray(greedy), value, hparams)


def counts(metrics: dict[str, np.ndarray], taken: int) -> list[Finding]:
    """Returns whether every episode of one step is counted once, with its length and return, and so every step; that it tells
    of some of its episodes alone is a note."""
    told = {name: metrics[f"episode_{name}"][1] for name in ("count", "length_sum", "return_sum")}
    if set(told.values()) == {taken}:
        return [Finding(OK, f"counts its {taken} steps and their episodes, lengths and rewards")]
    said = ", ".join(f"episode_{name} {number:g}" for name, number in told.items())
    text = f"where every step is an episode of reward 1, an update says {said}, and steps_per_update {taken}"
    some = len(set(told.values())) == 1 and 0 < told["count"] < taken
    return [Finding(NOTE if some else PROBLEM, text)]


def found_out(greedy: np.ndarray, value: Any, hparams: Any) -> list[Finding]:
    """Returns whether the best policy was learned, and whether a termination ends what is worth something and a time limit
    does not."""
    found = []
    if tuple(greedy[0].ravel()) != BEST:
        text = "does not learn which of two actions fits the observation (reward 1, else -1)"
        found.append(Finding(PROBLEM, f"{text}: after {UPDATES} updates it acts {greedy[0].tolist()}"))
    if value is None or not hasattr(hparams, "gamma"):
        return found or [Finding(OK, f"learns a task of one step in {UPDATES} updates")]
    ended, cut = (float(np.mean(x)) for x in np.asarray(value))
    if ended > 0.5 * (1.0 + FOR_EVER):
        text = f"bootstraps where the episode terminated: V is {ended:.2f} where 1 is all there is"
        found.append(Finding(PROBLEM, f"{text}, at gamma = {GAMMA}"))
    if cut < 0.5 * (1.0 + FOR_EVER):
        text = f"V is {cut:.2f} where the time limit cuts every step and what follows is worth {FOR_EVER:.0f} in all"
        found.append(Finding(NOTE, f"{text}: near 1 it says that a time limit is taken for an end"))
    text = f"learns a task of one step in {UPDATES} updates; V is {ended:.2f} where it terminates (1 is right)"
    return found or [Finding(OK, f"{text} and {cut:.2f} where it is cut ({FOR_EVER:.0f} is)")]
