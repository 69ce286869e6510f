"""Rollouts and evaluation against plain Python loops under the same keys: the number by which everything is ranked."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algos.core.distributions import DiagonalGaussian
from algos.core.rollout import episode_metrics, evaluate, rollout
from envs import Box, Discrete, Env, TimeStep, vectorize

LONGEST = 9
CHOICES = Discrete(5)
AFTER_THE_END = 1000.0  # each step's reward after it: one that counted would show


def parting(last_reward: float, action=CHOICES) -> Env:
    """Returns episodes of 1 to LONGEST steps that the key of the reset decides, half of them ended by a time limit. A step
    earns what its action and its key say, the last one `last_reward` beside; later ones AFTER_THE_END."""

    def reset(key):
        length = jax.random.randint(key, (), 1, LONGEST + 1)
        return (jnp.int32(0), length), jnp.stack([0, length]).astype(jnp.float32)

    def step(key, state, action):
        time, length = state[0] + 1, state[1]
        noise = jax.random.randint(key, (), 0, 8).astype(jnp.float32)
        reward = jnp.sum(action).astype(jnp.float32) + noise / 8.0 + jnp.where(time == length, last_reward, 0.0)
        reward = jnp.where(time > length, AFTER_THE_END, reward)
        ends, by_limit = time == length, length % 2 == 0
        observation = jnp.stack([time, length]).astype(jnp.float32)
        return (time, length), TimeStep(observation, reward, ends & ~by_limit, ends & by_limit)

    return Env("parting", reset, step, (2,), action, LONGEST)


def random_act(key, observation):
    return jax.random.randint(key, (), 0, 5) + observation[0].astype(jnp.int32) % 2


def played(env: Env, act, key, num_episodes: int) -> tuple[list[float], list[int]]:
    """Returns (returns, lengths) of the episodes, one after another, step by step, under the keys that `evaluate` uses."""
    key_reset, key_run = jax.random.split(key)
    reset, step, act = jax.jit(env.reset), jax.jit(env.step), jax.jit(act)
    returns, lengths = [], []
    for episode in range(num_episodes):
        state, observation = reset(jax.random.fold_in(key_reset, episode))
        rewards, ended = [], False
        while not ended:
            keys = jax.random.split(jax.random.fold_in(key_run, len(rewards)), (2, num_episodes))
            action = env.action.to_environment(act(keys[0, episode], observation))
            state, reached = step(keys[1, episode], state, action)
            observation = reached.observation
            rewards.append(float(reached.reward))
            ended = bool(reached.terminated) or bool(reached.truncated)
        returns.append(sum(rewards))
        lengths.append(len(rewards))
    return returns, lengths


@pytest.mark.parametrize("last_reward", [100.0, 0.0])
def test_evaluation_is_the_sum_of_each_episodes_rewards_the_last_included_and_none_after_it(last_reward):
    env, key = parting(last_reward), jax.random.key(3)
    returns, lengths = played(env, random_act, key, 24)
    assert len(set(lengths)) == LONGEST and {length % 2 for length in lengths} == {0, 1}
    assert evaluate(env, random_act, key, 24).tolist() == returns


def test_an_evaluation_of_one_step_episodes_is_their_one_reward():
    env = parting(100.0)._replace(reset=lambda key: ((jnp.int32(0), jnp.int32(1)), jnp.asarray([0.0, 1.0])))
    returns = evaluate(env, lambda key, observation: jnp.int32(2), jax.random.key(0), 5)
    assert np.all((returns >= 102.0) & (returns < 103.0))


def test_actions_are_clipped_to_the_box_in_an_evaluation():
    env, key = parting(100.0, Box((-1.0,), (0.5,))), jax.random.key(4)

    def act(key, observation):
        return 3.0 * jax.random.normal(key, (1,))

    returns, _ = played(env, act, key, 8)
    assert np.allclose(evaluate(env, act, key, 8), returns)
    assert np.max(returns) < 100.0 + 1.5 * LONGEST


def test_a_rollout_holds_what_a_python_loop_sees_and_counts_the_episodes_that_ended():
    num_steps, num_envs, key = 25, 3, jax.random.key(5)
    env = parting(100.0, Box((-1.0,), (0.5,)))
    vector = vectorize(env, num_envs)

    def apply(params, observation):
        mean = params * observation[..., :1]
        return DiagonalGaussian(mean, jnp.ones_like(mean)), None

    def all_of_it():
        start = vector.reset(jax.random.key(6))
        key_environment, key_action = jax.random.split(key)
        policy, _ = apply(0.3, start.observation)
        randomness = vector.draw(key_environment, num_steps), policy.noise(key_action, (num_steps,))
        return start, *rollout(vector, apply, 0.3, start, key, num_steps), *randomness

    start, state, transitions, episodes, draws, noise = jax.jit(all_of_it)()
    keys, fresh = draws.key, jax.device_get((draws.reset_environment, draws.reset_observation))
    start, state, transitions, noise = jax.device_get((start, state, transitions, noise))
    ended, step = [], jax.jit(env.step)
    for column in range(num_envs):
        inner, seen = jax.tree.map(lambda x, i=column: x[i], (start.environment, start.observation))
        rewards = []
        for time in range(num_steps):
            row = jax.tree.map(lambda x, t=time, i=column: x[t, i], transitions)
            assert np.array_equal(row.observation, seen)
            assert np.allclose(row.action, 0.3 * seen[:1] + np.e * noise[time, column], rtol=1e-5)
            inner, reached = jax.device_get(step(keys[time, column], inner, env.action.to_environment(row.action)))
            rewards.append(float(reached.reward))
            assert np.array_equal(row.next_observation, reached.observation)
            assert np.isclose(row.reward, reached.reward, rtol=1e-6)
            truncated = reached.truncated or len(rewards) >= env.max_steps
            assert (row.terminated, row.truncated) == (reached.terminated, truncated)
            seen = reached.observation
            if reached.terminated or truncated:
                ended.append(rewards)
                rewards = []
                inner, seen = jax.tree.map(lambda x, t=time, i=column: x[t, i], fresh)
        assert np.array_equal(state.observation[column], seen) and state.episode_length[column] == len(rewards)
    assert np.abs(transitions.action).max() > 1.0
    metrics = episode_metrics(episodes)
    assert metrics["episode_count"] == len(ended) and metrics["episode_length_sum"] == sum(map(len, ended))
    assert float(metrics["episode_return_sum"]) == pytest.approx(sum(map(sum, ended)))
