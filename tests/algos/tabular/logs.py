"""Logs of steps for tests, and a method's learning run over one: no environment, so that both sides see the same steps."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import probes
from jax import lax

from algos.tabular import online
from algos.tabular.experience import Step


class Log(NamedTuple):
    """T steps of whole episodes, NumPy arrays [T]."""

    state: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    next_state: np.ndarray
    next_action: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray


def random_log(seed: int, num_steps: int = 60, states: int = 5, actions: int = 3, ends=(0.15, 0.05)) -> Log:
    """Returns episodes that wander at random, end by themselves or are cut; the last step ends one."""
    random = np.random.default_rng(seed)
    visited, taken = random.integers(states, size=num_steps + 1), random.integers(actions, size=num_steps + 1)
    terminated, truncated = (random.random(num_steps) < chance for chance in ends)
    terminated[-1] = True
    reward = random.integers(-3, 4, num_steps) / 2.0
    next_state, next_action = visited[1:].copy(), taken[1:].copy()
    for t in np.flatnonzero(terminated | truncated):  # what was reached is no state of the next episode
        next_state[t], next_action[t] = random.integers(states), random.integers(actions)
    return Log(visited[:-1], taken[:-1], reward, next_state, next_action, terminated, truncated)


def episodes(log: Log) -> list[Log]:
    """Returns the log cut into its episodes."""
    cuts = np.flatnonzero(log.terminated | log.truncated)[:-1] + 1
    return [Log(*parts) for parts in zip(*(np.split(x, cuts) for x in log))]


def method_of(module, env, config, monkeypatch, **chosen) -> online.Method:
    """Returns what a module's `make` hands to `online`: how its table is learned."""
    kept = {}

    def keep(env, name, method, *_):
        kept["method"] = method
        return real[kind](env, name, method, *_)

    real = {kind: getattr(online, kind) for kind in ("control", "prediction")}
    (kind,) = [kind for kind in real if hasattr(module, kind)]
    with monkeypatch.context() as patch:
        patch.setattr(module, kind, keep)
        module.make(env, config, **chosen)
    return kept["method"]


def learned(method: online.Method, log: Log, hparams, words=None):
    """Returns the table, NumPy, after every step [T, ...] of the log."""
    words = np.zeros((len(log.state), method.num_words), np.uint32) if words is None else words
    steps = Step(*map(jnp.asarray, log), words=jnp.asarray(words))
    return np.asarray(_run(method, hparams, steps))


@functools.partial(probes.quick_jit, static_argnums=0)
def _run(method, hparams, steps):
    def one_step(carry, step):
        params, memory = method.learn(*carry, step, hparams)
        return (params, memory), params

    return lax.scan(one_step, method.start(hparams), steps)[1]
