"""How the contenders of a task are judged: a function of what was trained, compiled with the rest, and, where arrays do not
say it, one that the host calls with what the first gave.

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
from algos.tabular import bellman, exact
from algos.tabular.planning import policy_evaluation, value_iteration
from algos.tabular.planning.solution import check_numbers
from envs import Env
from envs.mdp.model import MDP, reachable, terminal_states
from experiments.lab.judging.criterion import Criterion

WEIGHTINGS = ("states", "visits")


class Judge(NamedTuple):
    """measure(algorithm, env, state, key, **settings) -> {metric: values [n]}, pure, for one trial.

    Each metric's value is the mean of its values, in float64. The one called `metric` ranks; the others are recorded
    beside it. The same key is given to every contender under one seed at one evaluation.

    on_host(found, **settings) -> {metric: values [n]}, of what `measure` gave as NumPy arrays of any shape: for what no
    program can say, as what a text is worth. No program calls back to it, so that all are found in the compilation cache.
    """

    metric: str
    higher_is_better: bool
    measure: Callable[..., dict[str, jax.Array]]
    settings: dict[str, Any] = {}  # numbers and words, recorded in the manifest
    on_host: Callable[..., dict[str, np.ndarray]] | None = None  # None: `measure` says it all

    @property
    def criterion(self) -> Criterion:
        """The metric that ranks, and which way."""
        return Criterion(self.metric, self.higher_is_better)

    def measured(self, algorithm: Algorithm, env: Env, state, key) -> dict[str, jax.Array]:
        """Returns what `measure` gives. Raises ValueError, in one line, where that is not as it should be."""
        found = self.measure(algorithm, env, state, key, **self.settings)
        if self.on_host is not None:
            return found
        self._require_metric(found)
        return {name: jax.numpy.asarray(values).reshape(-1) for name, values in found.items()}

    def told(self, found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the metrics of what the compiled part measured of one trial. Raises ValueError as `measured`."""
        if self.on_host is None:
            return found
        told = self.on_host(found, **self.settings)
        self._require_metric(told)
        return {name: np.asarray(values, np.float32).reshape(-1) for name, values in told.items()}

    def _require_metric(self, found: Any) -> None:
        if not isinstance(found, dict) or self.metric not in found:
            given = ", ".join(found) if isinstance(found, dict) else type(found).__name__
            raise ValueError(f"a judge gives a dict that has its metric {self.metric!r}, not: {given or 'nothing'}")


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
    observations = not_folded(jax.vmap(env.observe)(jnp.arange(env.model.num_states)))
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


def not_folded(observations: jax.Array) -> jax.Array:
    """Returns what is observed of all states, hidden from the compiler, which else computes by itself, one element after
    another, which state each one-hot row shows: 20 s for a thousand states."""
    return lax.optimization_barrier(observations)


def value_rms(gamma: float = 1.0, weighting: str = "states") -> Judge:
    """Returns the judge of prediction: how far the values learned are from those of the policy that is followed.

    value_rms: sqrt(sum_s w(s) (V(s) - V_pi(s))^2), V_pi solved exactly. weighting: "states", all alike, or "visits", by how
    often episodes come to them (discounted), of the states that they can come to and that do not only name an end.
    value_error_max: the largest |V - V_pi| of these. Raises ValueError for another weighting, and a gamma not from 0 to 1.
    """
    if weighting not in WEIGHTINGS:
        raise ValueError(f"weighting must be one of {', '.join(WEIGHTINGS)}, not {weighting!r}")
    check_numbers(gamma)
    return Judge("value_rms", False, measure_values, {"gamma": gamma, "weighting": weighting})


def measure_values(algorithm: Algorithm, env: Env, state, key, gamma: float, weighting: str) -> dict[str, jax.Array]:
    """Returns what `value_rms` says, each [1], to float32's rounding."""
    if env.model is None:
        raise ValueError(f"{env.name} is no finite model, and only of one are the values known")
    if algorithm.policy is None or algorithm.value is None:
        raise ValueError("it says no policy and no values of its own")
    with jax.ensure_compile_time_eval():
        observations = jax.vmap(env.observe)(jnp.arange(env.model.num_states))
        policy = jax.vmap(lambda observation: jnp.exp(algorithm.policy(state, observation).log_probs()))(observations)
        if isinstance(policy, jax.core.Tracer):
            raise ValueError("its policy changes as it learns, and so would what its values are held against")
        truth, weight = true_values(env.model, np.asarray(policy), gamma, weighting)
    value = jax.vmap(lambda observation: algorithm.value(state, observation))(not_folded(observations))
    error = jnp.where(weight > 0.0, value - truth, 0.0)
    found = {"value_rms": jnp.sqrt(jnp.sum(weight * error**2)), "value_error_max": jnp.max(jnp.abs(error))}
    return {name: jnp.reshape(value, 1) for name, value in found.items()}


def true_values(mdp: MDP, policy: np.ndarray, gamma: float, weighting: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns (V_pi [S], the weights of the states [S], which sum to 1), float32. Raises ValueError where gamma = 1 and the
    policy [S, A] comes to no end."""
    value = policy_evaluation.solve(mdp, policy, gamma).value
    counted = reachable(mdp) & ~terminal_states(mdp)
    if weighting == "visits":
        with jax.enable_x64(True):
            counted = counted * np.asarray(exact.visits(mdp, jnp.asarray(policy, float), gamma))
    return value.astype(np.float32), (counted / counted.sum()).astype(np.float32)


def policy_value(followed: bellman.Tables, gamma: float) -> jax.Array:
    """Returns the values of a model with one action, [S], by as many sweeps as leave gamma^n of float32's rounding."""
    sweeps = math.ceil(math.log(np.finfo(np.float32).eps) / math.log(max(gamma, 1e-3)))
    nothing = jnp.zeros(followed.reward.shape[0], jnp.float32)
    return lax.fori_loop(0, sweeps, lambda _, value: bellman.backup(followed, value, gamma), nothing)
