"""Running moments against NumPy over all that was seen, and discounted sums against a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import envs
from algos import a2c, ppo, trpo
from algos.core import normalize
from algos.core.types import Transition

STEPS, ENVS = 7, 3


def transitions(generator):
    observation = generator.normal(3.0, 2.0, size=(STEPS, ENVS, 2))
    ends = generator.random((2, STEPS, ENVS)) < 0.2
    return Transition(
        observation=jnp.asarray(observation),
        action=None,
        policy=None,
        reward=jnp.asarray(generator.normal(size=(STEPS, ENVS))),
        next_observation=jnp.asarray(observation + 1.0),
        terminated=jnp.asarray(ends[0]),
        truncated=jnp.asarray(ends[1]),
    )


def running_at(lengths):
    return envs.VectorState(None, None, None, jnp.asarray(lengths))


def two_rollouts(float64_normalizer, gamma):
    generator = np.random.default_rng(0)
    rollouts = [transitions(generator), transitions(generator)]
    first, seen = normalize.digest(float64_normalizer, rollouts[0], running_at([0, 0, 0]), gamma)
    second, seen_second = normalize.digest(first, rollouts[1], running_at([4, 0, 2]), gamma)
    return rollouts, (first, second), (seen, seen_second)


def start(observation=True, reward=True):
    vector = envs.vectorize(envs.make("MountainCar-v0"), ENVS)
    return normalize.start(vector, observation, reward)


def test_moments_are_those_of_all_observations_seen(float64):
    rollouts, (_, second), _ = two_rollouts(start(), 0.9)
    everything = np.concatenate([np.asarray(rollout.observation).reshape(-1, 2) for rollout in rollouts])
    assert second.observation.count == len(everything)
    np.testing.assert_allclose(second.observation.mean, everything.mean(0), rtol=1e-12)
    np.testing.assert_allclose(second.observation.variance, everything.var(0), rtol=1e-12)


def test_a_rollout_is_normalised_by_what_was_seen_before_it(float64):
    rollouts, (first, _), (seen, seen_second) = two_rollouts(start(), 0.9)
    np.testing.assert_allclose(seen.observation, rollouts[0].observation, rtol=1e-7)  # nothing seen: mean 0, variance 1
    scale = np.sqrt(np.asarray(first.observation.variance) + 1e-8)
    for name in ("observation", "next_observation"):
        expected = (np.asarray(getattr(rollouts[1], name)) - np.asarray(first.observation.mean)) / scale
        np.testing.assert_allclose(getattr(seen_second, name), np.clip(expected, -10, 10), rtol=1e-10)


def test_rewards_are_divided_by_the_deviation_of_the_discounted_return(float64):
    gamma = 0.9
    rollouts, (_, second), (_, seen) = two_rollouts(start(), gamma)
    running, returns = np.zeros(ENVS), []
    for number, rollout in enumerate(rollouts):
        if number == 1:
            running[1] = 0.0  # environment 1 began a new episode between the rollouts
        for step in range(STEPS):
            running = np.asarray(rollout.reward)[step] + gamma * running
            returns.append(running)
            running = np.where(rollout.terminated[step] | rollout.truncated[step], 0.0, running)
    np.testing.assert_allclose(second.discounted_return.variance, np.var(returns), rtol=1e-12)
    np.testing.assert_allclose(seen.reward, np.asarray(rollouts[1].reward) / np.std(returns), rtol=1e-7)
    np.testing.assert_allclose(second.running_return, running, rtol=1e-12)


def test_switched_off_it_changes_nothing():
    rollouts, (first, _), (seen, _) = two_rollouts(start(observation=False, reward=False), 0.9)
    assert jax.tree.leaves(first) == []
    for name in ("observation", "next_observation", "reward"):
        assert getattr(seen, name) is getattr(rollouts[0], name)


@pytest.mark.parametrize("module", [a2c, ppo, trpo])
def test_the_policy_that_is_trained_is_the_one_that_acted(module):
    def first_loss(params, apply, batch, hparams):
        policy, _ = apply(params, batch.observation)
        return jnp.sum(0.0 * ravel_pytree(params)[0]), {"gap_max": jnp.max(jnp.abs(policy.kl(batch.policy)))}

    config = module.Config(num_envs=4, num_steps=32, hidden_sizes=(8,), normalize_observation=True)
    algorithm = module.make(envs.make("MountainCar-v0"), config, loss=first_loss)

    def two_steps(key):
        state, _ = algorithm.step(algorithm.init(key, module.HParams()), module.HParams())
        return algorithm.step(state, module.HParams())

    state, metrics = jax.jit(two_steps)(jax.random.key(0))
    assert state.normalizer.observation.count == 2 * 4 * 32
    assert metrics["gap_max"] < 1e-6


def test_acting_sees_the_observation_normalised():
    algorithm = a2c.make(
        envs.make("Pendulum-v1"), a2c.Config(num_envs=2, hidden_sizes=(8,), normalize_observation=True)
    )
    state = jax.jit(algorithm.init)(jax.random.key(0), a2c.HParams())
    moments = normalize.Moments(jnp.float32(9.0), jnp.array([1.0, 2.0, 3.0]), jnp.array([4.0, 4.0, 4.0]))
    shifted = state.replace(normalizer=state.normalizer.replace(observation=moments))
    plain = algorithm.act(state, jax.random.key(1), jnp.array([0.5, 0.5, 0.5]), False)
    np.testing.assert_allclose(
        algorithm.act(shifted, jax.random.key(1), jnp.array([2.0, 3.0, 4.0]), False), plain, atol=1e-6
    )


@pytest.mark.parametrize("number", [0.0, 0.1, -3.3, 1000.1])
def test_a_feature_that_is_always_one_number_is_seen_as_0_until_it_changes(number):
    normalizer = start(reward=False)
    generator = np.random.default_rng(0)
    for _ in range(3):
        samples = np.stack([np.full((128, 8), number), generator.normal(5.0, 2.0, (128, 8))], axis=-1)
        samples = jnp.asarray(samples, jnp.float32)
        normalizer = normalizer.replace(observation=normalize.update(normalizer.observation, samples))
    seen = normalize.observe(normalizer, samples)
    np.testing.assert_array_equal(seen[..., 0], 0.0)
    moments = normalizer.observation
    usual = jnp.clip((samples - moments.mean) / jnp.sqrt(moments.variance + 1e-8), -10, 10)
    np.testing.assert_array_equal(seen[..., 1], usual[..., 1])
    changed = normalize.observe(normalizer, samples + jnp.asarray([1.0, 0.0]))
    np.testing.assert_array_equal(changed[..., 0], 10.0)
    assert np.isnan(normalize.observe(normalizer, jnp.full(2, jnp.nan))).all()


def test_moments_of_billions_of_samples_stay_what_they_are():
    samples = jnp.asarray(np.random.default_rng(0).normal(3.0, 1.4, (16, 8, 3)), jnp.float32)
    true = np.asarray(samples, np.float64)
    seen = normalize.Moments(jnp.float32(2**30), jnp.asarray(true.mean((0, 1))), jnp.asarray(true.var((0, 1))))
    seen = jax.tree.map(lambda x: x.astype(jnp.float32), seen)
    many = jax.jit(lambda moments: jax.lax.fori_loop(0, 200_000, lambda _, x: normalize.update(x, samples), moments))
    seen = many(seen)
    np.testing.assert_allclose(seen.mean, true.mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(seen.variance, true.var((0, 1)), rtol=1e-5)
