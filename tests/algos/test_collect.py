"""What every algorithm that normalises is given to learn from, over several rollouts, against a Python loop.

The loop shares nothing with what it checks: it keeps all that was seen in lists and asks NumPy for their moments.
"""

import jax
import jax.numpy as jnp
import numpy as np
import probes
import pytest

from algos import a2c, ppo, reinforce, trpo
from algos.core import on_policy
from envs import Discrete, Env, TimeStep

ROLLOUTS, GAMMA, LIMIT, SMALL = 5, 0.9, 6, 1e-8
ALGORITHMS = {
    "reinforce": (reinforce, {"num_steps": 9}),
    "a2c": (a2c, {"num_steps": 5}),
    "ppo": (ppo, {"num_steps": 5, "num_epochs": 1, "num_minibatches": 1}),
    "trpo": (trpo, {"num_steps": 5, "cg_iterations": 2, "value_epochs": 1, "value_minibatches": 1}),
}


def timed_walk() -> Env:
    """Returns a walk of up to LIMIT steps that may end by itself; observation: the time in the episode, and the place."""

    def seen(state):
        return jnp.stack([state[0].astype(jnp.float32), state[1]])

    def reset(key):
        state = (jnp.int32(0), 3.0 + jax.random.normal(key))
        return state, seen(state)

    def step(key, state, action):
        key_move, key_end, key_reward = jax.random.split(key, 3)
        state = (state[0] + 1, 0.9 * state[1] + jax.random.normal(key_move))
        reward = 2.0 + jax.random.normal(key_reward)
        return state, TimeStep(seen(state), reward, jax.random.bernoulli(key_end, 0.2), state[0] >= LIMIT)

    return Env("timed_walk", reset, step, (2,), Discrete(2), LIMIT)


def recorded(name, monkeypatch):
    """Returns [(raw transitions, batch)] of the algorithm's rollouts, [T, B, ...] in NumPy."""
    module, fields = ALGORITHMS[name]
    rollouts, batches = [], []
    rollout, collect = on_policy.rollout, on_policy.collect

    def recording(function, kept):
        def recorder(*args):
            state, record, episodes = function(*args)
            jax.debug.callback(lambda record: kept.append(jax.tree.map(np.asarray, record)), record, ordered=True)
            return state, record, episodes

        return recorder

    monkeypatch.setattr(on_policy, "rollout", recording(rollout, rollouts))
    monkeypatch.setattr(on_policy, "collect", recording(collect, batches))
    config = module.Config(num_envs=3, normalize_observation=True, normalize_reward=True, **fields)
    algorithm = module.make(timed_walk(), config, network=probes.Linear())
    hparams = module.HParams(gamma=GAMMA)

    def run(key):
        state = algorithm.init(key, hparams)
        return jax.lax.fori_loop(0, ROLLOUTS, lambda _, state: algorithm.step(state, hparams)[0], state)

    jax.block_until_ready(probes.quick_jit(run)(jax.random.key(2)).params)
    jax.effects_barrier()
    assert len(rollouts) == len(batches) == ROLLOUTS
    return list(zip(rollouts, batches))


@pytest.mark.parametrize("name", ALGORITHMS)
def test_observations_and_rewards_are_normalised_as_a_loop_over_all_that_was_seen_does(name, monkeypatch):
    observations, returns, running, begins_inside = [], [], np.zeros(3), 0
    for raw, batch in recorded(name, monkeypatch):
        mean, deviation = 0.0, 1.0
        if observations:
            mean, deviation = np.mean(observations, axis=0), np.sqrt(np.var(observations, axis=0) + SMALL)
        for field in ("observation", "next_observation"):
            expected = np.clip((getattr(raw, field) - mean) / deviation, -10.0, 10.0)
            np.testing.assert_allclose(getattr(batch, field), expected, rtol=1e-4, atol=1e-5)
        for time in range(raw.reward.shape[0]):
            for environment in range(3):
                fresh = raw.observation[time, environment, 0] == 0.0
                begins_inside += not fresh and time == 0
                running[environment] = raw.reward[time, environment] + (0.0 if fresh else GAMMA * running[environment])
                returns.append(running[environment])
                observations.append(raw.observation[time, environment].astype(np.float64))
        expected = np.clip(raw.reward / np.sqrt(np.var(returns) + SMALL), -10.0, 10.0)
        np.testing.assert_allclose(batch.reward, expected, rtol=1e-4)
        np.testing.assert_array_equal(batch.terminated, raw.terminated)
    assert (begins_inside > 0) == (name != "reinforce")  # whose rollouts begin with new episodes


@pytest.mark.parametrize(
    ("shape", "seen"),
    [((2, 8, 64, 3, 4, 2), (512, 3, 4, 2)), ((2, 5, 3, 3, 4, 2), (2, 5, 3, 3, 4, 2)), ((2, 8, 64, 7), (2, 8, 64, 7))],
)
def test_many_images_are_valued_in_rows_and_all_else_at_once(shape, seen):
    shapes = []

    def value(observation):
        shapes.append(observation.shape)
        return jnp.sum(observation, axis=tuple(range(observation.ndim - len(shape) + 3, observation.ndim)))

    observations = jnp.arange(np.prod(shape)).reshape(shape)
    found = on_policy.in_rows(value, observations)
    np.testing.assert_array_equal(found, np.asarray(observations).sum(axis=tuple(range(3, len(shape)))))
    assert set(shapes) == {seen}
