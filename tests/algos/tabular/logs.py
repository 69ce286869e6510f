"""Logs of steps for tests, and a method's learning over one: no environment, so that both sides see the same steps."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from algos.tabular.experience import Step
from envs.mdp import as_env, from_arrays

STATES, ACTIONS = 5, 3


class Log(NamedTuple):
    """T steps of whole episodes, NumPy arrays [T]."""

    state: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    next_state: np.ndarray
    next_action: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray


def random_log(seed: int, num_steps: int = 60, terminates: float = 0.15, cut: float = 0.05) -> Log:
    """Returns episodes that wander at random, end by themselves or are cut; the last step ends one."""
    random = np.random.default_rng(seed)
    states, actions = random.integers(STATES, size=num_steps + 1), random.integers(ACTIONS, size=num_steps + 1)
    terminated, truncated = (random.random(num_steps) < chance for chance in (terminates, cut))
    terminated[-1] = True
    next_state, next_action = states[1:].copy(), actions[1:].copy()
    for t in np.flatnonzero(terminated | truncated):  # what was reached is no state of the next episode
        next_state[t], next_action[t] = random.integers(STATES), random.integers(ACTIONS)
    reward = random.normal(size=num_steps)
    return Log(states[:-1], actions[:-1], reward, next_state, next_action, terminated, truncated)


def episodes(log: Log) -> list[Log]:
    """Returns the log cut into its episodes."""
    cuts = np.flatnonzero(log.terminated | log.truncated)[:-1] + 1
    return [Log(*parts) for parts in zip(*(np.split(x, cuts) for x in log))]


@functools.cache
def any_env(outcomes: int = STATES):
    """Returns an environment of so many states and actions; what it does matters to no test of a log."""
    successor = np.broadcast_to(np.arange(outcomes) % STATES, (STATES, ACTIONS, outcomes))
    return as_env(from_arrays(successor, 1.0 / outcomes, 0.0, False), "any", 100)


def learned(method, log: Log, hparams, words=None):
    """Returns the table, NumPy, after every step of the log, [T, ...]."""
    return learning(method, log, hparams, words)[0]


def learning(method, log: Log, hparams, words=None):
    """Returns (the table after every step, the memory after the last)."""
    words = np.zeros((len(log.state), method.num_words), np.uint32) if words is None else words
    integers = {name: jnp.asarray(x, jnp.int32) for name, x in log._asdict().items() if x.dtype == np.int64}
    rest = {name: jnp.asarray(x) for name, x in log._asdict().items() if x.dtype != np.int64}
    tables, memory = _run(method, hparams, Step(**integers, **rest, words=jnp.asarray(words)))
    return np.asarray(tables), memory


@functools.partial(jax.jit, static_argnums=0, compiler_options={"xla_backend_optimization_level": 0})
def _run(method, hparams, steps):
    def one_step(carry, step):
        params, memory = method.learn(*carry, step, hparams)
        return (params, memory), params

    (_, memory), tables = lax.scan(one_step, method.start(hparams), steps)
    return tables, memory
