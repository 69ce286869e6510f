"""How the contenders of a task are judged: a function of what was trained, compiled with the rest.

A task without a judge is judged by the return of whole episodes with the greedy policy.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from algos.core.types import Algorithm
from algos.tabular import bellman
from algos.tabular.planning import value_iteration
from envs import Env
from envs.mdp.model import terminal_states
from experiments.lab.criterion import Criterion


class Judge(NamedTuple):
    """measure(algorithm, env, state, key, **settings) -> {metric: values [n]}, pure, for one trial.

    Each metric's value is the mean of its values, in float64. The one called `metric` ranks; the others are recorded
    beside it. The same key is given to every contender under one seed at one evaluation.
    """

    metric: str
    higher_is_better: bool
    measure: Callable[..., dict[str, jax.Array]]
    settings: dict[str, Any] = {}  # numbers and words, recorded in the manifest

    @property
    def criterion(self) -> Criterion:
        """The metric that ranks, and which way."""
        return Criterion(self.metric, self.higher_is_better)

    def measured(self, algorithm: Algorithm, env: Env, state, key) -> dict[str, jax.Array]:
        """Returns what `measure` gives. Raises ValueError, in one line, where that is not as it should be."""
        found = self.measure(algorithm, env, state, key, **self.settings)
        if not isinstance(found, dict) or self.metric not in found:
            given = ", ".join(found) if isinstance(found, dict) else type(found).__name__
            raise ValueError(f"a judge gives a dict that has its metric {self.metric!r}, not: {given or 'nothing'}")
        return {name: jax.numpy.asarray(values).reshape(-1) for name, values in found.items()}


def exact_return(gamma: float = 0.99) -> Judge:
    """Returns the judge that knows the truth, for environments that are finite models (`Env.model`).

    exact_return: J of the greedy policy, the expected discounted return from the start distribution, no time limit.
    stochastic_return: J of the policy that explores. optimality_gap: J* less exact_return.
    value_error_max, value_error_mean: |V - V*|, V as it was learned, over the states that do not only name an end.
    Raises ValueError for a gamma under which a policy that never ends has no value.
    """
    if not 0.0 <= gamma < 1.0:
        raise ValueError(f"the exact return takes a gamma from 0 to below 1, not {gamma}")
    return Judge("exact_return", True, measure_exactly, {"gamma": gamma})


def measure_exactly(algorithm: Algorithm, env: Env, state, key, gamma: float) -> dict[str, jax.Array]:
    """Returns what `exact_return` says, each [1], to float32's rounding."""
    if env.model is None:
        raise ValueError(f"{env.name} is no finite model, and only one can be judged exactly")
    with jax.ensure_compile_time_eval():
        optimal = np.asarray(value_iteration.solve(env.model, gamma).value)
    tables = bellman.tables(env.model, np.float32)
    start = jnp.asarray(env.model.start, jnp.float32)
    observations = jax.vmap(env.observe)(jnp.arange(env.model.num_states))
    greedy = jax.vmap(lambda observation: algorithm.act(state, key, observation, False))(observations)
    earned = start @ policy_value(bellman.choose(tables, greedy), gamma)
    found = {"exact_return": earned, "optimality_gap": float(env.model.start @ optimal) - earned}
    if algorithm.policy is not None:
        policy = jax.vmap(lambda observation: algorithm.policy(state, observation))(observations)
        found["stochastic_return"] = start @ policy_value(bellman.follow(tables, jnp.exp(policy.log_probs())), gamma)
    if algorithm.value is not None:
        value = jax.vmap(lambda observation: algorithm.value(state, observation))(observations)
        error = jnp.abs(value - optimal.astype(np.float32))[np.flatnonzero(~terminal_states(env.model))]
        found |= {"value_error_max": jnp.max(error), "value_error_mean": jnp.mean(error)}
    return {name: jnp.reshape(value, 1) for name, value in found.items()}


def policy_value(followed: bellman.Tables, gamma: float) -> jax.Array:
    """Returns the values of a model with one action, [S], by as many sweeps as leave gamma^n of float32's rounding."""
    sweeps = math.ceil(math.log(np.finfo(np.float32).eps) / math.log(max(gamma, 1e-3)))
    nothing = jnp.zeros(followed.reward.shape[0], jnp.float32)
    return lax.fori_loop(0, sweeps, lambda _, value: bellman.backup(followed, value, gamma), nothing)
