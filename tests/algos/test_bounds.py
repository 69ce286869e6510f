"""A policy acts in units of the environment's bounds: what it samples is what is learned from, scaled is what is done."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import probes
import pytest

from algos import a2c, dqn, ppo, trpo
from algos.core import rollout
from algos.core.loop import advance, no_metrics
from algos.core.networks import actor_critic
from envs import Box, Discrete, Env, TimeStep, vectorize

LOW, HIGH = (5.0, 0.0, -1e-3, 0.0, 5.0), (10.0, 1.0, 1e-3, 1000.0, np.inf)
TARGET = np.array([8.0, 0.7, -2e-4, 300.0, 6.5], np.float32)
UNIT = np.array([2.5, 0.5, 1e-3, 500.0, 1.0], np.float32)  # half of what lies between the bounds
STEPS = 30_000
SPACES = {
    "5 to 10": Box((5.0, 0.0), (10.0, 1000.0)),
    "-1 to 1": Box((-1.0,), (1.0,)),
    "(2, 2)": Box([[5.0, 0.0], [-1.0, 2.0]], [[10.0, 1.0], [1.0, 3.0]]),
    "()": Box(5.0, 10.0),
    "3 from 5": Discrete(3, start=5),
}


def bandit() -> Env:
    """Returns an environment of one step; reward: minus the square of the distance to the target, in half-widths."""

    def reset(key):
        return jnp.int32(0), jnp.ones(1)

    def step(key, state, action):
        reward = -jnp.sum(((action - TARGET) / UNIT) ** 2)
        return state, TimeStep(jnp.ones(1), reward, jnp.array(True), jnp.array(False))

    return Env("bandit", reset, step, (1,), Box(LOW, HIGH), 1)


def echo(space) -> Env:
    """Returns an environment of two steps that shows the action it was given, and rewards by its sum."""
    size = getattr(space, "size", 1)

    def reset(key):
        return jnp.int32(0), jnp.zeros(size)

    def step(key, time, action):
        assert action.shape == space.shape
        observation = action.astype(jnp.float32).reshape(size)
        return time + 1, TimeStep(observation, jnp.sum(observation), time >= 1, jnp.array(False))

    return Env("echo", reset, step, (size,), space, 2)


@pytest.mark.parametrize(
    ("module", "fields"),
    [
        (ppo, {"learning_rate": 1e-2, "entropy_coef": 0.0}),
        (a2c, {"learning_rate": 1e-2, "entropy_coef": 0.0}),
        (trpo, {}),
    ],
)
def test_the_best_action_is_found_whatever_the_bounds(module, fields):
    env = bandit()
    algorithm, hparams = module.make(env, module.Config(hidden_sizes=(8,))), module.HParams(total_steps=STEPS, **fields)

    def train(key):
        state = algorithm.init(key, hparams)
        num_updates = STEPS // algorithm.steps_per_update
        state, _ = advance(algorithm, state, hparams, no_metrics(algorithm, state, hparams), num_updates)
        return env.action.to_environment(algorithm.act(state, key, jnp.ones(1), False))

    found = probes.quick_jit(train)(jax.random.key(0))
    np.testing.assert_allclose((found - TARGET) / UNIT, 0.0, atol=0.25)


@functools.cache
def acted(name):
    """Returns (actions as recorded [T, B, ...], what the environment was given [T, B, size]) of a wide policy's rollout."""
    env = echo(SPACES[name])
    network, vector = actor_critic(env, (4,)), vectorize(env, 3)

    def run(key):
        state = vector.reset(key)
        params = network.init(key, state.observation)
        _, transitions, _ = rollout.rollout(vector, network.apply, params, state, key, 20)
        return transitions.action, transitions.next_observation

    return jax.tree.map(np.asarray, probes.quick_jit(run)(jax.random.key(0)))


def expected(space, action):
    """Returns what the environment is to be given, [..., size], by NumPy."""
    if isinstance(space, Discrete):
        return action[..., None] + space.start
    low, high = np.ravel(space.low), np.ravel(space.high)
    return np.clip((low + high) / 2 + (high - low) / 2 * action, low, high)


@pytest.mark.parametrize("name", SPACES)
def test_a_rollout_records_what_was_sampled_and_does_what_it_means_within_the_bounds(name):
    action, given = acted(name)
    np.testing.assert_allclose(given, expected(SPACES[name], action), rtol=1e-5, atol=1e-5)
    if isinstance(SPACES[name], Box):
        assert action.shape == (20, 3, SPACES[name].size)
        assert 0.2 < np.mean(np.abs(action) > 1.0) < 0.45  # of a standard normal 0.32 lies beyond the bounds


@pytest.mark.parametrize("name", SPACES)
def test_evaluation_does_what_the_policys_action_means(name):
    space = SPACES[name]
    action = jnp.int32(2) if isinstance(space, Discrete) else jnp.linspace(-0.5, 3.0, space.size)
    returns = probes.quick_jit(lambda key: rollout.evaluate(echo(space), lambda *_: action, key, 3))(jax.random.key(0))
    np.testing.assert_allclose(returns, 2 * expected(space, np.asarray(action)).sum(), rtol=1e-6)


@pytest.mark.parametrize(
    ("module", "fields", "shape", "space"),
    [
        (ppo, {"normalize_observation": True}, (2, 2, 3), Box(5.0, 10.0)),
        (trpo, {}, (5, 5, 1), Box(np.zeros((2, 2)), np.ones((2, 2)))),
        (dqn, {}, (1, 1, 1), Discrete(3, start=5)),
    ],
)
def test_pixels_and_actions_of_any_shape_pass_a_whole_update(module, fields, shape, space):
    def reset(key):
        return jnp.int32(0), jnp.zeros(shape, jnp.uint8)

    def step(key, state, action):
        assert action.shape == space.shape
        return state, TimeStep(jnp.ones(shape, jnp.uint8), jnp.float32(0.0), jnp.array(True), jnp.array(False))

    algorithm, hparams = (
        module.make(Env("pixels", reset, step, shape, space, 1), module.Config(**fields)),
        module.HParams(),
    )
    state = jax.eval_shape(algorithm.init, jax.random.key(0), hparams)
    after, _ = jax.eval_shape(algorithm.step, state, hparams)
    assert after.environment.observation.dtype == jnp.uint8
    assert jax.tree.map(jnp.shape, after.params) == jax.tree.map(jnp.shape, state.params)
