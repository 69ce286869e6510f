"""What linear methods have in common with tables and with each other where theory says that they are one."""

import logs
import numpy as np
import pytest
from linear_logs import FEATURES, RATE, TABLE, TABLE_ROWS, D, X, learned

from algos.linear import (
    features,
    gradient_monte_carlo,
    lspi,
    lstd,
    named,
    sarsa_lambda,
    semi_gradient_n_step_td,
    semi_gradient_sarsa,
    semi_gradient_td,
)
from algos.tabular import batch, monte_carlo_prediction, n_step_sarsa, n_step_td, sarsa, td, td_lambda
from algos.tabular.planning import policy_iteration
from envs.mdp import problems

ENV = logs.any_env()
RATES = {"learning_rate": 0.3, "gamma": 0.9, "initial_value": 0.5}
A = logs.ACTIONS


def the_same(one, other):
    np.testing.assert_allclose(one, other, rtol=1e-12)


def of_a_table(module, config, hparams, log, *more):
    return learned(module.method(TABLE, config, *more), log, hparams, TABLE_ROWS)


def test_a_feature_a_state_makes_semi_gradient_td_the_tables(float64):
    log = logs.random_log(0)
    hparams = semi_gradient_td.HParams(lambda_=0.0, **RATES)
    found = of_a_table(semi_gradient_td, semi_gradient_td.Config(), hparams, log)
    the_same(found, logs.learned(td.method(ENV, td.Config()), log, td.HParams(**RATES)))


def test_a_feature_a_state_makes_semi_gradient_td_lambda_the_tables(float64):
    log = logs.random_log(1)
    hparams = semi_gradient_td.HParams(lambda_=0.8, **RATES)
    found = of_a_table(semi_gradient_td, semi_gradient_td.Config(), hparams, log)
    expected = logs.learned(td_lambda.method(ENV, td_lambda.Config()), log, td_lambda.HParams(lambda_=0.8, **RATES))
    the_same(found, expected)


def test_a_feature_a_state_makes_semi_gradient_n_step_td_the_tables(float64):
    log, config = logs.random_log(2), semi_gradient_n_step_td.Config(n=3)
    found = of_a_table(semi_gradient_n_step_td, config, semi_gradient_n_step_td.HParams(**RATES), log, 1)
    the_same(found, logs.learned(n_step_td.method(ENV, n_step_td.Config(n=3)), log, n_step_td.HParams(**RATES)))


def test_a_feature_a_state_makes_gradient_monte_carlo_every_visit_monte_carlo(float64):
    log = logs.random_log(3)
    method = gradient_monte_carlo.method(TABLE, gradient_monte_carlo.Config(), TABLE_ROWS, ENV.max_steps)
    found = logs.learned(method, log, gradient_monte_carlo.HParams(**RATES))
    every = monte_carlo_prediction.method(ENV, monte_carlo_prediction.Config(first_visit=False))
    the_same(found, logs.learned(every, log, monte_carlo_prediction.HParams(**RATES)))


@pytest.mark.parametrize("n", [1, 3])
def test_a_feature_a_state_makes_semi_gradient_sarsa_the_tables(n, float64):
    log, config = logs.random_log(4), semi_gradient_sarsa.Config(n=n)
    found = of_a_table(semi_gradient_sarsa, config, semi_gradient_sarsa.HParams(**RATES), log, A, 1)
    if n == 1:
        expected = logs.learned(sarsa.method(ENV, sarsa.Config()), log, sarsa.HParams(**RATES))
    else:
        table = n_step_sarsa.method(ENV, n_step_sarsa.Config(n=n))
        expected = logs.learned(table, log, n_step_sarsa.HParams(**RATES))
    the_same(found, expected.swapaxes(1, 2))


def test_groups_of_one_state_are_a_table():
    walk = problems.make_finite("RandomWalk-19")
    alone, table = (named.of_states(walk, named.features_of(walk, words)) for words in ("aggregation:19", ""))
    np.testing.assert_array_equal(
        alone.index[1:-1] + 1, table.index[1:-1]
    )  # the table has a place for each end as well
    np.testing.assert_array_equal(alone.value, table.value)


def test_lambda_0_is_one_step_and_sarsa_lambda_0_is_sarsa(float64):
    log = logs.random_log(5)
    none = learned(
        semi_gradient_td.method(FEATURES, semi_gradient_td.Config()),
        log,
        semi_gradient_td.HParams(lambda_=0.0, **RATES),
    )
    config = semi_gradient_n_step_td.Config(n=1)
    one = learned(semi_gradient_n_step_td.method(FEATURES, config, D), log, semi_gradient_n_step_td.HParams(**RATES))
    np.testing.assert_allclose(none, one, rtol=1e-11)
    none = learned(
        sarsa_lambda.method(FEATURES, sarsa_lambda.Config(), A), log, sarsa_lambda.HParams(lambda_=0.0, **RATES)
    )
    config = semi_gradient_sarsa.Config(n=1)
    one = learned(semi_gradient_sarsa.method(FEATURES, config, A, D), log, semi_gradient_sarsa.HParams(**RATES))
    np.testing.assert_allclose(none, one, rtol=1e-11)


@pytest.mark.parametrize("lambda_", [0.6, 1.0])
def test_by_small_steps_an_episode_changes_w_as_its_lambda_returns_do(lambda_, float64):
    """The forward view; lambda = 1 are the returns themselves, and gradient Monte Carlo."""
    log, gamma, alpha = logs.random_log(6, cut=0.0), 0.9, 1e-8
    hparams = semi_gradient_td.HParams(learning_rate=alpha, gamma=gamma, lambda_=lambda_, initial_value=0.5)
    found = learned(semi_gradient_td.method(FEATURES, semi_gradient_td.Config()), log, hparams)[-1]
    w = np.full(D, 0.5)
    change = np.zeros(D)
    for episode in logs.episodes(log):
        target = 0.0
        for t in reversed(range(len(episode.state))):
            last = t == len(episode.state) - 1
            beyond = 0.0 if last else w @ X[episode.next_state[t]]
            target = episode.reward[t] + gamma * ((1.0 - lambda_) * beyond + lambda_ * target)
            change += (target - w @ X[episode.state[t]]) * RATE * X[episode.state[t]]
    np.testing.assert_allclose((found - w) / alpha, change, rtol=1e-5)


def test_lstd_of_a_table_is_batch_td_and_the_values_of_the_likeliest_model():
    log, gamma = logs.random_log(7, cut=0.0), 0.9
    eye = np.eye(logs.STATES)
    found = lstd.solution(eye[log.state], log.reward, eye[log.next_state], log.terminated, gamma).weights
    np.testing.assert_allclose(found, batch.td_solution(log, logs.STATES, gamma), rtol=1e-10)
    chance, reward = np.zeros((logs.STATES, logs.STATES)), np.zeros(logs.STATES)
    for state, earned, reached, over in zip(log.state, log.reward, log.next_state, log.terminated):
        times = np.sum(log.state == state)
        chance[state, reached] += (not over) / times
        reward[state] += earned / times
    np.testing.assert_allclose(found, np.linalg.solve(eye - gamma * chance, reward), rtol=1e-10)


def test_lstd_is_where_sweeps_of_semi_gradient_td_over_the_log_come_to_rest():
    log, gamma, w = logs.random_log(8), 0.9, np.zeros(D)
    x, following = X[log.state], X[log.next_state] * ~log.terminated[:, None]
    for _ in range(20_000):
        w = w + 0.005 * x.T @ (log.reward + gamma * following @ w - x @ w)
    found = lstd.solution(x, log.reward, X[log.next_state], log.terminated, gamma)
    np.testing.assert_allclose(w, found.weights, rtol=1e-8)
    assert found.ridge == 0.0


def test_lstd_names_what_the_steps_do_not_tell_and_a_ridge_answers():
    x = np.array([[1.0, 1.0], [1.0, 1.0]])
    with pytest.raises(ValueError, match="A has rank 1, and there are 2 features: .*take a ridge above 0"):
        lstd.solution(x, [1.0, 1.0], x, [True, True], 0.9)
    found = lstd.solution(x, [1.0, 1.0], x, [True, True], 0.9, ridge=1.0)
    np.testing.assert_allclose(found.weights, [0.4, 0.4])  # (4 + 1) w = 2 for the sum of both
    with pytest.raises(ValueError, match="the ridge must be 0 or more, not -1"):
        lstd.solution(x, [1.0, 1.0], x, [True, True], 0.9, ridge=-1)


def every_transition(mdp):
    """Returns the arguments of LSPI for a table, each outcome of each pair once, and how likely it is."""
    states, actions, outcomes = mdp.successor.shape
    pairs = np.eye(states * actions).reshape(states, actions, -1)
    s, a, k = (x.ravel() for x in np.meshgrid(*map(range, (states, actions, outcomes)), indexing="ij"))
    chance = mdp.probability[s, a, k]
    return pairs[s, a], mdp.reward[s, a, k], pairs[mdp.successor[s, a, k]], mdp.terminated[s, a, k], chance


@pytest.mark.parametrize("name", ["Garnet", "FrozenLake-4x4"])
def test_lspi_of_a_table_and_every_transition_is_policy_iteration(name):
    mdp, gamma = problems.model(name, **({"states": 8, "actions": 3} if name == "Garnet" else {})), 0.95
    *log, chance = every_transition(mdp)
    found = lspi.solve(*log, gamma, weight=chance)
    q = found.weights.reshape(mdp.num_states, mdp.num_actions)
    solution = policy_iteration.solve(mdp, gamma)
    np.testing.assert_allclose(q.max(1), solution.value, atol=1e-9)
    assert found.converged and 2 <= found.iterations < 20
    greedy = solution.policy > 0.0
    assert all(greedy[s, q[s].argmax()] for s in range(mdp.num_states))
    once = lspi.solve(*log, gamma, weight=chance, most=1)  # the first policy takes the first action everywhere
    first = np.eye(mdp.num_actions)[np.zeros(mdp.num_states, int)]
    onward = np.zeros((mdp.num_states, mdp.num_states))
    rows = np.arange(mdp.num_states)[:, None]
    np.add.at(onward, (rows, mdp.successor[:, 0]), mdp.probability[:, 0] * ~mdp.terminated[:, 0])
    value = np.linalg.solve(np.eye(mdp.num_states) - gamma * onward, (mdp.probability * mdp.reward).sum(-1)[:, 0])
    np.testing.assert_allclose((once.weights.reshape(q.shape) * first).sum(1), value, atol=1e-9)
    assert not once.converged


def test_lspi_from_a_log_of_random_steps_comes_to_the_best_policy_of_the_likeliest_model():
    random, (states, actions) = np.random.default_rng(0), (4, 2)
    mdp = problems.model("Garnet", states=states, actions=actions)
    s, a = random.integers(states, size=400), random.integers(actions, size=400)
    k = (random.random(400) > mdp.probability[s, a, 0]).astype(int)
    pairs = np.eye(states * actions).reshape(states, actions, -1)
    reached = mdp.successor[s, a, k]
    found = lspi.solve(pairs[s, a], mdp.reward[s, a, k], pairs[reached], np.zeros(400, bool), 0.9)
    q = np.zeros((states, actions))
    for _ in range(500):
        new = np.zeros_like(q)
        for state in range(states):
            for action in range(actions):
                mine = (s == state) & (a == action)
                new[state, action] = np.mean(mdp.reward[s, a, k][mine] + 0.9 * q[reached[mine]].max(1))
        q = new
    np.testing.assert_allclose(found.weights.reshape(q.shape), q, atol=1e-8)


def test_tiles_as_fine_as_states_predict_as_a_table_does():
    walk = problems.make_finite("RandomWalk-5")
    fine = features.seen_as(features.aggregation(1, 5), named.point_of(walk)[0])
    assert (named.of_states(walk, fine).index[1:-1, 0] == np.arange(5)).all()
