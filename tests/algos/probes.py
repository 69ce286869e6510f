"""Environments, and a network, for tests.

Probes are so small that every value and the best policy are known, and each fails for its own reason. They are tables,
so that one compiled program trains on all of them.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from algos.core.distributions import Categorical
from envs import Discrete, Env, TimeStep

LIMIT = 5
STATES = LIMIT + 1

# These programs compile for longer than they run: optimising them less makes the tests twice as quick.
quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


class Linear(nn.Module):
    """Policy logits and value as one linear map, named so that a test can recognise it."""

    @nn.compact
    def __call__(self, observation):
        outputs = nn.Dense(3, name="the_users_own")(observation)
        return Categorical(outputs[..., :2]), outputs[..., 2]


class Probe(NamedTuple):
    """What happens in each of the states; the action matters to the reward alone."""

    observation: np.ndarray  # [STATES, STATES]
    start_chance: np.ndarray  # [STATES]
    reward: np.ndarray  # [STATES, 2]
    following: np.ndarray  # [STATES]
    terminated: np.ndarray  # [STATES], of the step from there
    truncated: np.ndarray  # [STATES]


def probe_env(probe: Probe) -> Env:
    """Returns the probe as an environment; its tables may be traced."""
    table = Probe(*map(jnp.asarray, probe))

    def reset(key):
        state = jax.random.categorical(key, jnp.log(table.start_chance)).astype(jnp.int32)
        return state, table.observation[state]

    def step(key, state, action):
        reached = table.following[state]
        gain = table.reward[state, action]
        return reached, TimeStep(table.observation[reached], gain, table.terminated[state], table.truncated[state])

    return Env("probe", reset, step, (STATES,), Discrete(2), LIMIT)


def _probe(observation, starts, reward, *, terminated, truncated) -> Probe:
    """Returns a probe whose states follow one another, ended at the states named."""
    observations, rewards = np.zeros((STATES, STATES), np.float32), np.zeros((STATES, 2), np.float32)
    observations[: len(observation), : np.shape(observation)[1]] = observation
    rewards[: len(reward)] = reward
    start_chance = np.isin(np.arange(STATES), starts) / len(starts)
    following = np.minimum(np.arange(STATES) + 1, STATES - 1).astype(np.int32)
    ends = [np.isin(np.arange(STATES), states) for states in (terminated, truncated)]
    return Probe(observations, start_chance.astype(np.float32), rewards, following, *ends)


def constant_reward() -> Probe:
    """One step, reward 1. Fails: the value loss or the optimiser."""
    return _probe([[1.0]], [0], [[1.0, 1.0]], terminated=[0], truncated=[])


def delayed_reward() -> Probe:
    """Two steps, reward 1 at the second. Fails: discounting."""
    return _probe([[0.0], [1.0]], [0], [[0.0, 0.0], [1.0, 1.0]], terminated=[1], truncated=[])


def observation_reward() -> Probe:
    """One step, reward = observation = -1 or 1. Fails: the way of the observation to the critic."""
    return _probe([[-1.0], [1.0]], [0, 1], [[-1.0, -1.0], [1.0, 1.0]], terminated=[0, 1], truncated=[])


def action_reward() -> Probe:
    """One step, reward 1 for action 1, else -1. Fails: the policy's loss."""
    return _probe([[1.0]], [0], [[-1.0, 1.0]], terminated=[0], truncated=[])


def matching_reward() -> Probe:
    """One step, reward 1 for action 0 at observation -1 and action 1 at 1, else -1. Fails: mixed-up samples."""
    return _probe([[-1.0], [1.0]], [0, 1], [[1.0, -1.0], [-1.0, 1.0]], terminated=[0, 1], truncated=[])


def terminated_late() -> Probe:
    """Five steps of reward 1 that end by themselves, the time in sight. Fails: bootstrapping through termination."""
    return _probe(np.eye(STATES), [0], np.ones((LIMIT, 2)), terminated=[LIMIT - 1], truncated=[])


def cut_for_ever() -> Probe:
    """Reward 1 for ever, cut by the time limit every five steps, the time out of sight. Fails: truncation taken for
    termination."""
    return _probe(np.ones((STATES, 1)), [0], np.ones((LIMIT, 2)), terminated=[], truncated=[LIMIT - 1])


def cut_before_reward() -> Probe:
    """Begins at observation -1, where the time limit cuts the first step, which reaches 1; or at 1, where a step earns
    1 and ends. Fails: bootstrapping from the observation after the reset."""
    return _probe([[-1.0], [1.0]], [0, 1], [[0.0, 0.0], [1.0, 1.0]], terminated=[1], truncated=[0])


def one_or_ten(longest: int = 10) -> Env:
    """Returns an environment whose episodes last 1 or `longest` steps, decided by a fair coin at reset; reward 1.

    State and observation: the steps still to come.
    """

    def reset(key):
        left = jnp.where(jax.random.bernoulli(key), longest, 1).astype(jnp.int32)
        return left, left.astype(jnp.float32)[None]

    def step(key, left, action):
        left = left - 1
        observation = left.astype(jnp.float32)[None]
        return left, TimeStep(observation, jnp.float32(1.0), left <= 0, jnp.array(False))

    return Env("one_or_ten", reset, step, (1,), Discrete(2), longest)


def random_walk(limit: int = 6) -> Env:
    """Returns a walk from a random start: it may end by itself (chance 1/4 a step), by the limit, or by both at once.

    State: time and place. Observation: the place. Reward: normal.
    """

    def reset(key):
        place = jax.random.normal(key, (2,))
        return (jnp.int32(0), place), place

    def step(key, state, action):
        key_move, key_end, key_reward = jax.random.split(key, 3)
        time, place = state
        place = 0.5 * place + jax.random.normal(key_move, (2,))
        reached = TimeStep(place, jax.random.normal(key_reward), jax.random.bernoulli(key_end, 0.25), time + 1 >= limit)
        return (time + 1, place), reached

    return Env("random_walk", reset, step, (2,), Discrete(2), limit)
