"""Every linear method against a loop in NumPy that shares no code with it, after every step of a log of random episodes, by
features of any numbers and rates of their own."""

import jax.numpy as jnp
import logs
import numpy as np
import pytest
from linear_logs import FEATURES, RATE, RATIOS, ROWS, TABLE, TABLE_ROWS, D, X, learned

import envs
from algos.linear import (
    gradient_monte_carlo,
    gtd2,
    lstd,
    named,
    sarsa_lambda,
    semi_gradient_n_step_td,
    semi_gradient_sarsa,
    semi_gradient_td,
    tdc,
)

ALPHA, GAMMA, BEGIN, A = 0.1, 0.9, 0.5, logs.ACTIONS
RATES = {"learning_rate": ALPHA, "gamma": GAMMA, "initial_value": BEGIN}


def agree(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def steps_of(log):
    return list(zip(*(x.tolist() for x in log)))


def delta(w, s, r, s2, terminated):
    return r + (0.0 if terminated else GAMMA * w @ X[s2]) - w @ X[s]


def test_gradient_monte_carlo_learns_from_an_episodes_steps_in_turn_at_its_end(float64):
    log = logs.random_log(0)
    method = gradient_monte_carlo.method(FEATURES, gradient_monte_carlo.Config(), ROWS, 100)
    found = logs.learned(method, log, gradient_monte_carlo.HParams(**RATES))
    w, passed = np.full(D, BEGIN), 0
    for episode in logs.episodes(log):
        length = len(episode.state)
        for before in found[passed : passed + length - 1]:
            agree(before, w)
        last = 0.0 if episode.terminated[-1] else w @ X[episode.next_state[-1]]
        targets = [
            sum(GAMMA ** (k - t) * episode.reward[k] for k in range(t, length)) + GAMMA ** (length - t) * last
            for t in range(length)
        ]
        for state, target in zip(episode.state, targets):
            w = w + ALPHA * (target - w @ X[state]) * RATE * X[state]
        passed += length
        agree(found[passed - 1], w)


@pytest.mark.parametrize(("lambda_", "ratios"), [(0.0, RATIOS), (0.7, RATIOS), (0.9, None)])
def test_semi_gradient_td_weighs_a_step_by_the_ratio_of_its_own_action_and_forgets_at_an_episodes_end(
    lambda_, ratios, float64
):
    log = logs.random_log(1)
    method = semi_gradient_td.method(FEATURES, semi_gradient_td.Config())
    found = learned(method, log, semi_gradient_td.HParams(lambda_=lambda_, **RATES), ratios=ratios)
    w, z = np.full(D, BEGIN), np.zeros(D)
    for (s, a, r, s2, _, terminated, truncated), after in zip(steps_of(log), found):
        z = (1.0 if ratios is None else ratios[s, a]) * (GAMMA * lambda_ * z + X[s])
        w = w + ALPHA * delta(w, s, r, s2, terminated) * RATE * z
        agree(after, w)
        if terminated or truncated:
            z = np.zeros(D)


@pytest.mark.parametrize("n", [1, 3])
def test_semi_gradient_n_step_td(n, float64):
    log = logs.random_log(2)
    method = semi_gradient_n_step_td.method(FEATURES, semi_gradient_n_step_td.Config(n=n), D)
    found = learned(method, log, semi_gradient_n_step_td.HParams(**RATES))
    agree(found[ends(log)], n_step_loop(log, n, np.full(D, BEGIN), lambda s, a: X[s], RATE))


@pytest.mark.parametrize("n", [1, 3])
def test_semi_gradient_n_step_sarsa(n, float64):
    log = logs.random_log(3)
    method = semi_gradient_sarsa.method(FEATURES, semi_gradient_sarsa.Config(n=n), A, D)
    found = learned(method, log, semi_gradient_sarsa.HParams(**RATES))
    expected = n_step_loop(log, n, np.full(A * D, BEGIN), pair, np.tile(RATE, A))
    agree(found[ends(log)].reshape(-1, A * D), expected)


def ends(log):
    return np.flatnonzero(log.terminated | log.truncated)


def pair(s, a):
    """Returns the features of a pair: those of the state in the action's part, 0 elsewhere."""
    return np.kron(np.eye(A)[a], X[s])


def n_step_loop(log, n, w, x, rate):
    """Returns the weights after each episode, as the book's loop over times t and tau = t - n + 1 has it."""
    after = []
    for episode in logs.episodes(log):
        length, over = len(episode.state), episode.terminated[-1]
        seen = [x(s, a) for s, a in zip(episode.state, episode.action)]
        seen.append(x(episode.next_state[-1], episode.next_action[-1]))
        last = None
        for t in range(length + n - 1):
            if t == length - 1:
                last = 0.0 if over else w @ seen[-1]  # the end is told of before anything is learned from it
            tau = t - n + 1
            if tau >= 0:
                end = min(tau + n, length)
                target = sum(GAMMA ** (k - tau) * episode.reward[k] for k in range(tau, end))
                target += GAMMA ** (end - tau) * (last if end == length else w @ seen[end])
                w = w + ALPHA * (target - w @ seen[tau]) * rate * seen[tau]
        after.append(w)
    return np.array(after)


def test_sarsa_lambda_leaves_a_trace_of_the_pair(float64):
    log = logs.random_log(4)
    method = sarsa_lambda.method(FEATURES, sarsa_lambda.Config(), A)
    found = learned(method, log, sarsa_lambda.HParams(lambda_=0.8, **RATES))
    w, z = np.full(A * D, BEGIN), np.zeros(A * D)
    for (s, a, r, s2, a2, terminated, truncated), after in zip(steps_of(log), found):
        error = r + (0.0 if terminated else GAMMA * w @ pair(s2, a2)) - w @ pair(s, a)
        z = GAMMA * 0.8 * z + pair(s, a)
        w = w + ALPHA * error * np.tile(RATE, A) * z
        agree(after.reshape(-1), w)
        z = z * (not (terminated or truncated))


def test_a_replacing_trace_of_a_pair_is_1_and_those_of_its_states_other_actions_fade(float64):
    log = logs.random_log(5)
    method = sarsa_lambda.method(TABLE, sarsa_lambda.Config(trace="replacing"), A)
    found = learned(method, log, sarsa_lambda.HParams(lambda_=0.8, **RATES), TABLE_ROWS)
    q, z = np.full((A, logs.STATES), BEGIN), np.zeros((A, logs.STATES))
    for (s, a, r, s2, a2, terminated, truncated), after in zip(steps_of(log), found):
        error = r + (0.0 if terminated else GAMMA * q[a2, s2]) - q[a, s]
        z *= GAMMA * 0.8
        z[a, s] = 1.0
        q += ALPHA * error * z
        agree(after, q)
        z *= not (terminated or truncated)


@pytest.mark.parametrize("module", [tdc, gtd2], ids=["tdc", "gtd2"])
def test_gradient_methods_weigh_a_step_by_the_ratio_of_its_own_action(module, float64):
    log, beta = logs.random_log(6), 0.2
    method = module.method(FEATURES, module.Config(begin=(1.0, -1.0, 0.5, 2.0)))
    found = learned(method, log, module.HParams(beta=beta, **RATES), ratios=RATIOS)
    w, h = np.array([1.0, -1.0, 0.5, 2.0]), np.zeros(D)
    for (s, a, r, s2, _, terminated, _), after in zip(steps_of(log), found):
        rho, error = RATIOS[s, a], delta(w, s, r, s2, terminated)
        x2 = np.zeros(D) if terminated else X[s2]
        if module is tdc:
            change = error * X[s] - GAMMA * (X[s] @ h) * x2
        else:
            change = (X[s] @ h) * (X[s] - GAMMA * x2)
        w = w + ALPHA * rho * RATE * change
        h = h + beta * rho * RATE * (error - X[s] @ h) * X[s]
        agree(after, w)


def matrices(log, ratios, ridge):
    """Returns A and b of a log by a loop over its steps."""
    matrix, earned = ridge * np.eye(D), np.zeros(D)
    for s, a, r, s2, _, terminated, _ in steps_of(log):
        rho = 1.0 if ratios is None else ratios[s, a]
        matrix += rho * np.outer(X[s], X[s] - (0.0 if terminated else GAMMA) * X[s2])
        earned += rho * r * X[s]
    return matrix, earned


@pytest.mark.parametrize("ratios", [None, RATIOS], ids=["on", "off"])
def test_lstd_is_the_solution_of_the_steps_so_far_after_every_one_of_them(ratios, float64):
    log, ridge = logs.random_log(7), 0.3
    found = learned(lstd.method(FEATURES), log, lstd.HParams(gamma=GAMMA, ridge=ridge), ratios=ratios)
    for t in (0, 1, 7, len(log.state) - 1):
        part = logs.Log(*(x[: t + 1] for x in log))
        np.testing.assert_allclose(found[t], np.linalg.solve(*matrices(part, ratios, ridge)), rtol=1e-8)
    ratio = None if ratios is None else ratios[log.state, log.action]
    solved = lstd.solution(X[log.state], log.reward, X[log.next_state], log.terminated, GAMMA, ridge, ratio)
    np.testing.assert_allclose(solved.weights, found[-1], rtol=1e-8)
    matrix, _ = matrices(log, ratios, ridge)
    assert solved.ridge == ridge and solved.condition == pytest.approx(np.linalg.cond(matrix))


@pytest.mark.parametrize("words", ["polynomial:5", "tiles:8x8"])
def test_lstd_of_features_that_nearly_depend_on_each_other_survives_single_precision(words):
    env, steps = envs.make("RandomWalk-19"), 50_000
    chosen = named.features_of(env, words)
    rows = named.of_states(env, chosen)
    x = np.zeros((env.model.num_states, chosen.size))
    np.put_along_axis(x, rows.index, rows.value, 1)
    random = np.random.default_rng(0)
    state = random.integers(1, 20, steps)
    next_state = state + random.choice([-1, 1], steps)
    terminated, none = (next_state == 0) | (next_state == 20), np.zeros(steps, np.int32)
    reward = np.where(next_state == 20, 1.0, -1.0) * terminated
    log = logs.Log(state, none, reward, next_state, none, terminated, none > 0)
    found = learned(lstd.method(chosen), log, lstd.HParams(), rows)[-1]
    exact = lstd.solution(x[state], reward, x[next_state], terminated, 1.0, lstd.HParams().ridge).weights
    np.testing.assert_allclose((x @ found)[1:-1], (x @ exact)[1:-1], atol=0.03)


def test_what_follows_an_end_is_worth_nothing_whatever_features_it_has(float64):
    log = logs.random_log(8, cut=0.0)
    elsewhere = log._replace(next_state=np.where(log.terminated, 4 - log.next_state, log.next_state))
    assert (log.next_state != elsewhere.next_state)[log.terminated].any()
    for module in (semi_gradient_td, tdc, gtd2):
        method = module.method(FEATURES, module.Config())
        one, other = (learned(method, given, module.HParams(**RATES)) for given in (log, elsewhere))
        np.testing.assert_array_equal(one, other)
    for given in (log, elsewhere):
        found = lstd.solution(X[given.state], given.reward, X[given.next_state], given.terminated, GAMMA)
        np.testing.assert_allclose(found.weights, np.linalg.solve(*matrices(log, None, 0.0)), rtol=1e-8)


def test_weights_that_are_given_are_those_that_learning_begins_with():
    method = semi_gradient_td.method(FEATURES, semi_gradient_td.Config(begin=(1.0, 2.0, 3.0, 4.0)))
    assert jnp.array_equal(method.start(semi_gradient_td.HParams())[0], jnp.arange(1.0, 5.0))
