"""REINFORCE's own parts: which episodes count, and what their steps are weighed with. The batch is read through the
loss, an argument."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import probes
import pytest

from algos import reinforce

GAMMA = 0.9
WALK = probes.random_walk(6)
ONE_OR_TEN = probes.one_or_ten(10)
MANY = reinforce.Config(num_envs=4096, hidden_sizes=(4,))


@functools.cache
def step_with_metrics(env, config):
    """Returns (state, the first step's metrics in NumPy, its batch [T, B] among them)."""
    hparams = reinforce.HParams(gamma=GAMMA)

    def recording_loss(params, apply, batch, hparams):
        return reinforce.loss(params, apply, batch, hparams)[0], {"batch": batch}

    algorithm = reinforce.make(env, config, loss=recording_loss)

    def first_step(key):
        return algorithm.step(algorithm.init(key, hparams), hparams)

    state, metrics = probes.quick_jit(first_step)(jax.random.key(0))
    return state, jax.tree.map(np.asarray, metrics)


def step_with_batch(env, config):
    """Returns (state, the first step's batch [T, B])."""
    state, metrics = step_with_metrics(env, config)
    return state, metrics["batch"]


def episodes_of(ended):
    """Yields (environment, first step, last step or None where the rollout cut it)."""
    for environment in range(ended.shape[1]):
        first = 0
        for time in range(ended.shape[0]):
            if ended[time, environment]:
                yield environment, first, time
                first = time + 1
        if first < ended.shape[0]:
            yield environment, first, None


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("max_steps", [1, 3, 7, 12])
def test_unselected_marks_the_episodes_that_began_early_enough(seed, max_steps):
    ended = np.random.default_rng(seed).random((12, 5)) < 0.3
    expected = np.zeros(ended.shape)
    for environment, first, last in episodes_of(ended):
        if ended.shape[0] - first >= max_steps:
            expected[first : None if last is None else last + 1, environment] = 1.0
    np.testing.assert_array_equal(reinforce.unselected(jnp.asarray(ended), max_steps), expected)


def test_a_rollout_shorter_than_the_time_limit_raises():
    with pytest.raises(ValueError, match="num_steps=9 must be one_or_ten's time limit 10 or more"):
        reinforce.make(ONE_OR_TEN, reinforce.Config(num_steps=9))
    assert reinforce.make(ONE_OR_TEN, reinforce.Config(num_envs=3, num_steps=10)).steps_per_update == 30
    assert reinforce.make(ONE_OR_TEN, reinforce.Config(num_envs=3)).steps_per_update == 60


@pytest.mark.parametrize("bad", [0, -1, 2.5])
def test_sizes_that_are_no_positive_integers_raise(bad):
    for name in ("num_envs", "num_steps"):
        with pytest.raises(ValueError, match=f"{name} must be a positive integer"):
            reinforce.make(ONE_OR_TEN, reinforce.Config(**{name: bad}))


def test_targets_are_returns_within_the_episode_and_counted_episodes_are_whole():
    config = reinforce.Config(num_envs=16, num_steps=20, hidden_sizes=(4,), normalize_advantage=False)
    _, batch = step_with_batch(WALK, config)
    ended = batch.terminated | batch.truncated
    assert (batch.terminated & batch.truncated).any() and (batch.terminated ^ batch.truncated).any()
    counted = 0
    for environment, first, last in episodes_of(ended):
        rows = slice(first, None if last is None else last + 1)
        rewards = batch.reward[rows, environment]
        expected = [sum(GAMMA**k * r for k, r in enumerate(rewards[time:])) for time in range(len(rewards))]
        np.testing.assert_allclose(batch.value_target[rows, environment], expected, rtol=1e-5, atol=1e-6)
        begins_early = first + 6 <= ended.shape[0]
        assert np.all(batch.mask[rows, environment] == begins_early)
        assert last is not None or not begins_early
        counted += begins_early
    assert counted > 16
    np.testing.assert_allclose(batch.advantage, batch.value_target - batch.value, rtol=1e-5, atol=1e-6)


def test_without_a_baseline_the_weight_is_the_return():
    config = reinforce.Config(16, 20, (4,), baseline=False, normalize_advantage=False)
    _, batch = step_with_batch(WALK, config)
    np.testing.assert_array_equal(batch.advantage, batch.value_target)
    assert np.abs(batch.value).max() > 0.1


def test_normalised_weights_have_mean_zero_and_deviation_one_over_the_counted_steps():
    _, batch = step_with_batch(WALK, reinforce.Config(16, 20, (4,), normalize_advantage=True))
    counted = batch.advantage[batch.mask > 0]
    assert 0 < counted.size < batch.mask.size
    np.testing.assert_allclose([counted.mean(), counted.std()], [0.0, 1.0], atol=1e-5)
    raw = (batch.value_target - batch.value)[batch.mask > 0]
    np.testing.assert_allclose(counted, (raw - raw.mean()) / raw.std(), atol=1e-4)


def test_every_update_begins_with_new_episodes():
    state, batch = step_with_batch(ONE_OR_TEN, MANY)
    assert (~(batch.terminated | batch.truncated)[-1]).any()
    assert np.all(np.asarray(state.environment.episode_length) == 0)
    assert set(np.unique(state.environment.observation)) == {1.0, 10.0}


def test_counted_episodes_have_the_true_mean_length_where_all_that_end_in_time_are_too_short():
    _, batch = step_with_batch(ONE_OR_TEN, MANY)
    ended = batch.terminated | batch.truncated
    lengths = {"counted": [], "whole": []}
    for environment, first, last in episodes_of(ended):
        if batch.mask[first, environment]:
            lengths["counted"].append(last - first + 1)
        if last is not None:
            lengths["whole"].append(last - first + 1)
    true_mean, deviation = 5.5, 4.5
    error = {name: (np.mean(x) - true_mean) / (deviation / np.sqrt(len(x))) for name, x in lengths.items()}
    assert abs(error["counted"]) < 4.0
    assert error["whole"] < -20.0


def test_training_metrics_are_of_the_episodes_that_count_and_have_their_true_mean():
    _, metrics = step_with_metrics(ONE_OR_TEN, MANY)
    ended, mask = metrics["batch"].terminated | metrics["batch"].truncated, metrics["batch"].mask
    counted = [last - first + 1 for environment, first, last in episodes_of(ended) if mask[first, environment]]
    assert metrics["episode_count"] == len(counted) < np.sum(ended)
    assert metrics["episode_length_sum"] == metrics["episode_return_sum"] == sum(counted)  # every reward is 1
    assert abs(metrics["episode_return_sum"] / len(counted) - 5.5) < 4.0 * 4.5 / np.sqrt(len(counted))


def test_normalising_one_sample_is_refused():
    once = probes.one_or_ten(1)
    with pytest.raises(ValueError, match="one sample 0: take larger ones, or set it to False"):
        reinforce.make(once, reinforce.Config(num_envs=1, num_steps=1))
    assert reinforce.make(once, reinforce.Config(num_envs=1, num_steps=1, normalize_advantage=False))
