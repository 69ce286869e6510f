"""Evaluation against a plain Python loop over the same episodes: the number by which everything is ranked."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algos.core.rollout import evaluate
from envs import Box, Discrete, Env, TimeStep

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
            action = env.action.clip(act(keys[0, episode], observation))
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
