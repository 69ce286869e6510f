"""What methods have in common where theory says that they are one, on logs of random episodes."""

import jax.numpy as jnp
import logs
import numpy as np
import pytest

from algos.tabular import (
    expected_sarsa,
    monte_carlo_prediction,
    n_step_sarsa,
    n_step_td,
    q_learning,
    sarsa,
    td,
    td_lambda,
)  # fmt: skip
from algos.tabular.experience import Step

ENV = logs.any_env()
RATES = {"learning_rate": 0.3, "gamma": 0.9, "initial_value": 0.5}


def same_bits(one, other):
    np.testing.assert_array_equal(one.view(np.uint32), other.view(np.uint32))


@pytest.mark.parametrize("seed", range(3))
def test_one_step_td_is_td_0_to_the_bit(seed):
    log = logs.random_log(seed)
    one = logs.learned(n_step_td.method(ENV, n_step_td.Config(n=1)), log, n_step_td.HParams(**RATES))
    same_bits(one, logs.learned(td.method(ENV, td.Config()), log, td.HParams(**RATES)))


def test_one_step_sarsa_of_n_steps_is_sarsa_to_the_bit():
    log = logs.random_log(3)
    one = logs.learned(n_step_sarsa.method(ENV, n_step_sarsa.Config(n=1)), log, n_step_sarsa.HParams(**RATES))
    same_bits(one, logs.learned(sarsa.method(ENV, sarsa.Config()), log, sarsa.HParams(**RATES)))


@pytest.mark.parametrize("seed", range(3))
def test_n_steps_that_outlast_every_episode_are_every_visit_monte_carlo_to_the_bit(seed):
    log = logs.random_log(seed)
    longest = max(len(episode.state) for episode in logs.episodes(log))
    many = logs.learned(n_step_td.method(ENV, n_step_td.Config(n=longest)), log, n_step_td.HParams(**RATES))
    config = monte_carlo_prediction.Config(first_visit=False)
    every = logs.learned(monte_carlo_prediction.method(ENV, config), log, monte_carlo_prediction.HParams(**RATES))
    same_bits(many, every)


def test_expected_sarsa_without_exploring_is_q_learning_to_the_bit():
    log = logs.random_log(4)
    one = logs.learned(
        expected_sarsa.method(ENV, expected_sarsa.Config()), log, expected_sarsa.HParams(epsilon=0.0, **RATES)
    )
    same_bits(one, logs.learned(q_learning.method(ENV, q_learning.Config()), log, q_learning.HParams(**RATES)))


def test_expected_sarsa_is_the_mean_of_sarsa_over_the_next_action(float64):
    log, epsilon = logs.random_log(5, num_steps=1), 0.3
    start = {"learning_rate": 0.3, "gamma": 0.9}
    q = np.random.default_rng(0).normal(size=(logs.STATES, logs.ACTIONS))
    log = log._replace(terminated=np.array([False]))
    chance = np.full(logs.ACTIONS, epsilon / logs.ACTIONS)
    chance[np.argmax(q[log.next_state[0]])] += 1.0 - epsilon
    step = Step(*(x[0] for x in log), words=None)
    mean = sum(
        chance[a] * sarsa.update(jnp.asarray(q), step.replace(next_action=a), sarsa.HParams(**start))
        for a in range(logs.ACTIONS)
    )
    expected = expected_sarsa.update(jnp.asarray(q), step, expected_sarsa.HParams(epsilon=epsilon, **start))
    np.testing.assert_allclose(expected, mean, rtol=1e-13)


@pytest.mark.parametrize("seed", range(3))
def test_td_lambda_of_lambda_0_is_td_0(seed, float64):
    log = logs.random_log(seed)
    expected = logs.learned(td.method(ENV, td.Config()), log, td.HParams(**RATES))
    for trace in td_lambda.TRACES:
        found = logs.learned(
            td_lambda.method(ENV, td_lambda.Config(trace=trace)), log, td_lambda.HParams(lambda_=0.0, **RATES)
        )
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def lambda_returns(episode, v, end, gamma, lambda_):
    """Returns the lambda-return of every step before `end`, from the n-step returns by their definition (S&B 12.2, 12.9);
    v(t): the values that the n-step return reaching time t is told by."""
    found = []
    for t in range(end):
        n_step, rewards = [], 0.0
        for h in range(t + 1, end + 1):
            rewards += gamma ** (h - t - 1) * episode.reward[h - 1]
            over = h == len(episode.reward) and episode.terminated[-1]
            n_step.append(rewards + (0.0 if over else gamma ** (h - t) * v(h)[episode.next_state[h - 1]]))
        weights = [(1.0 - lambda_) * lambda_ ** (h - 1) for h in range(1, len(n_step))] + [lambda_ ** (len(n_step) - 1)]
        found.append(np.dot(weights, n_step))
    return np.array(found)


@pytest.mark.parametrize("lambda_", [0.0, 0.7, 1.0])
def test_offline_td_lambda_is_the_offline_lambda_return(lambda_, float64):
    log = logs.random_log(6)
    method = td_lambda.method(ENV, td_lambda.Config(offline=True))
    found = logs.learned(method, log, td_lambda.HParams(lambda_=lambda_, **RATES))
    v, steps = np.full(logs.STATES, RATES["initial_value"]), 0
    for episode in logs.episodes(log):
        targets = lambda_returns(episode, lambda _, v=v: v, len(episode.state), RATES["gamma"], lambda_)
        for before_the_end in found[steps : steps + len(targets) - 1]:
            np.testing.assert_allclose(before_the_end, v, rtol=1e-12)
        change = np.zeros_like(v)
        np.add.at(change, episode.state, RATES["learning_rate"] * (targets - v[episode.state]))
        v, steps = v + change, steps + len(targets)
        np.testing.assert_allclose(found[steps - 1], v, rtol=1e-12)


def test_offline_td_1_is_every_visit_monte_carlo(float64):
    log = logs.random_log(7, cut=0.0)
    found = logs.learned(
        td_lambda.method(ENV, td_lambda.Config(offline=True)), log, td_lambda.HParams(lambda_=1.0, **RATES)
    )
    v, steps = np.full(logs.STATES, RATES["initial_value"]), 0
    for episode in logs.episodes(log):
        change, following = np.zeros_like(v), 0.0
        for state, reward in zip(episode.state[::-1], episode.reward[::-1]):
            following = reward + RATES["gamma"] * following
            change[state] += RATES["learning_rate"] * (following - v[state])
        v, steps = v + change, steps + len(episode.state)
        np.testing.assert_allclose(found[steps - 1], v, rtol=1e-12)


@pytest.mark.parametrize("lambda_", [0.4, 0.9, 1.0])
def test_true_online_td_lambda_is_the_online_lambda_return_after_every_step(lambda_, float64):
    log = logs.random_log(8, num_steps=40)
    method = td_lambda.method(ENV, td_lambda.Config(trace="true_online"))
    found = logs.learned(method, log, td_lambda.HParams(lambda_=lambda_, **RATES))
    begun, steps = np.full(logs.STATES, RATES["initial_value"]), 0
    for episode in logs.episodes(log):
        horizons = [begun]  # the values at each horizon, every one begun anew from those before the episode (S&B 12.4)
        for end in range(1, len(episode.state) + 1):
            targets = lambda_returns(episode, lambda h, past=tuple(horizons): past[h - 1], end, RATES["gamma"], lambda_)
            v = begun.copy()
            for state, target in zip(episode.state[:end], targets):
                v[state] += RATES["learning_rate"] * (target - v[state])
            horizons.append(v)
            np.testing.assert_allclose(found[steps + end - 1], v, rtol=1e-10)
        begun, steps = horizons[-1], steps + len(episode.state)
