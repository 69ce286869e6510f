"""What linear methods come to, exactly: the walk of 1000 states, Baird's counterexample, and what samples are on average."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from linear_logs import D, X, one_step

import envs
from algos.linear import expected, gtd2, lstd, named, semi_gradient_td, tdc
from algos.linear.features import Active, Features
from envs.mdp import from_arrays, problems
from experiments.lab.definition.settings import BAIRD, BAIRD_BEGINS

BAIRD_X = np.array([[2.0 * (i == j) for j in range(7)] + [1.0] for i in range(6)] + [[0.0] * 6 + [1.0, 2.0]])
BEGIN = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 10.0, 1.0])


@functools.cache
def walk():
    """Returns (P [1000, 1000], true values, visits that sum to 1, groups one-hot), all by loops and linear solves."""
    jumps = np.zeros((1000, 1000))
    left, right = np.zeros(1000), np.zeros(1000)
    for state in range(1000):
        for jump in [*range(-100, 0), *range(1, 101)]:
            reached = state + jump
            if reached < 0:
                left[state] += 1 / 200
            elif reached > 999:
                right[state] += 1 / 200
            else:
                jumps[state, reached] += 1 / 200
    eye = np.eye(1000)
    visits = np.linalg.solve((eye - jumps).T, eye[499])
    return jumps, right - left, np.linalg.solve(eye - jumps, right - left), visits, np.eye(10)[np.arange(1000) // 100]


def projected_bellman_error(found, w):
    """Returns (b - A w)^T C^+ (b - A w) = |Pi (T_pi V - V)|^2_D (S&B eq. 11.22)."""
    pull = found.b - found.A @ w
    return float(pull @ np.linalg.pinv(found.C, hermitian=True) @ pull)


def test_the_walks_visits_and_values_are_those_of_the_model():
    _, _, truth, visits, _ = walk()
    env = envs.make("RandomWalk-1000")
    mu = expected.on_policy_weight(env.model, np.ones((1002, 1)))
    np.testing.assert_allclose(mu[1:-1], visits / visits.sum(), rtol=1e-9)
    assert visits.sum() == pytest.approx(83.152, abs=5e-4) and mu[0] == mu[-1] == 0.0
    assert (mu[1:-1].min(), mu.max()) == pytest.approx((1.5e-4, 1.4e-2), rel=0.05)
    assert (truth[0], truth[-1]) == pytest.approx((-0.92196, 0.92196), abs=5e-6)


def test_ten_groups_of_the_walk_come_to_the_projection_by_monte_carlo_and_to_the_fixed_point_by_td():
    onward, reward, truth, visits, groups = walk()
    env = envs.make("RandomWalk-1000")
    policy = np.ones((1002, 1))
    index = named.of_states(env, named.features_of(env, "aggregation:10")).index[:, 0]
    x, mu = np.eye(10)[index], expected.on_policy_weight(env.model, policy)
    found = expected.expected(env.model, policy, x, mu, 1.0)
    w_td, w_mc = expected.td_fixed_point(found), expected.projection(x, mu, np.pad(truth, 1))
    weighted = groups * (visits / visits.sum())[:, None]
    np.testing.assert_allclose(w_td, np.linalg.solve(weighted.T @ (groups - onward @ groups), weighted.T @ reward), rtol=1e-8)  # fmt: skip
    np.testing.assert_allclose(w_mc, [np.average(truth[g == 1], weights=visits[g == 1]) for g in groups.T], rtol=1e-8)

    def rms(w):
        return np.sqrt(visits / visits.sum() @ (groups @ w - truth) ** 2)

    assert rms(w_mc) == pytest.approx(0.054377, abs=5e-7)
    assert rms(w_td) == pytest.approx(0.116735, abs=5e-7)
    assert (w_td[0], w_td[-1]) == pytest.approx((-0.6932, 0.7305), abs=5e-5)


@functools.cache
def baird():
    """Returns what methods do on average on Baird's counterexample, gamma = 0.99, states all alike."""
    return expected.expected(problems.model("Baird"), np.tile([0.0, 1.0], (7, 1)), BAIRD_X, np.full(7, 1 / 7), 0.99)


def test_semi_gradient_td_diverges_on_bairds_counterexample_as_an_eigenvalue_says():
    by_hand = sum(np.outer(x, x - 0.99 * BAIRD_X[6]) for x in BAIRD_X) / 7
    np.testing.assert_allclose(baird().A, by_hand, atol=1e-14)
    least = np.linalg.eigvals(baird().A).real.min()
    assert least == pytest.approx(-0.239250, abs=5e-7)
    w = BEGIN
    for _ in range(1000):
        w = expected.semi_gradient_sweep(baird(), w, 0.01)
    assert w == pytest.approx([114.4337] * 6 + [6.8500, 335.0012], abs=5e-5)
    for _ in range(8000):  # until what grows fastest is all that is left
        before, w = w, expected.semi_gradient_sweep(baird(), w, 0.01)
        before, w = before / np.linalg.norm(w), w / np.linalg.norm(w)
    assert 1.0 / np.linalg.norm(before) == pytest.approx(1.0023925, abs=5e-8) == 1.0 - 0.01 * least


def test_tdc_brings_the_projected_error_to_0_there_and_leaves_the_value_error_near_2():
    w, h = BEGIN, np.zeros(8)
    for _ in range(1000):
        w, h = expected.tdc_sweep(baird(), w, h, 0.005, 0.05)
    assert np.sqrt(np.mean((BAIRD_X @ w) ** 2)) == pytest.approx(1.93546, abs=5e-6)
    assert np.sqrt(projected_bellman_error(baird(), w)) == pytest.approx(0.00738, abs=5e-6)
    w, h = BEGIN, np.zeros(8)
    for _ in range(1000):
        w, h = expected.gtd2_sweep(baird(), w, h, 0.005, 0.05)
    assert np.sqrt(projected_bellman_error(baird(), w)) < 0.01


def random_model(seed=0):
    """Returns (model of five states and three actions that ends at times, policy, behaviour, weight)."""
    random = np.random.default_rng(seed)
    successor = random.integers(5, size=(5, 3, 2))
    probability, reward = random.dirichlet([1, 1], size=(5, 3)), random.normal(size=(5, 3, 2))
    mdp = from_arrays(successor, probability, reward, random.random((5, 3, 2)) < 0.2)
    policy, behaviour = random.dirichlet([1, 1, 1], size=5), random.dirichlet([2, 2, 2], size=5)
    return mdp, policy, behaviour, random.dirichlet([3] * 5)


def mean_step(method, w, memory, hparams, model):
    """Returns the mean of (w, memory) after one step, by enumeration of states, the behaviour's actions and outcomes."""
    mdp, policy, behaviour, weight = model
    s, a, k = (x.ravel() for x in np.meshgrid(range(5), range(3), range(2), indexing="ij"))
    chance = weight[s] * behaviour[s, a] * mdp.probability[s, a, k]
    ratio = (policy / behaviour)[s, a]

    def one(s, a, reward, reached, over, ratio):
        return one_step(method, memory, w, s, a, reward, reached, over, ratio, hparams)

    steps = jax.vmap(one)(s, a, mdp.reward[s, a, k], mdp.successor[s, a, k], mdp.terminated[s, a, k], ratio)
    return [np.asarray(chance @ x) for x in steps]


def dense_model(model, gamma):
    """Returns (r [S], P [S, S]) of the policy, by a loop."""
    mdp, policy, _, _ = model
    reward, onward = np.zeros(5), np.zeros((5, 5))
    for s, a, k in np.ndindex(5, 3, 2):
        chance = policy[s, a] * mdp.probability[s, a, k]
        reward[s] += chance * mdp.reward[s, a, k]
        onward[s, mdp.successor[s, a, k]] += chance * (not mdp.terminated[s, a, k])
    return reward, onward


def features():
    every = np.arange(D, dtype=np.int32)
    return Features(D, lambda s: Active(jnp.asarray(every), jnp.asarray(X)[s]), np.ones(D))


def test_off_policy_steps_are_on_average_those_of_the_policy_learned_about_by_enumeration(float64):
    model, gamma, w = random_model(), 0.9, np.array([0.3, -1.0, 0.7, 2.0])
    reward, onward = dense_model(model, gamma)
    error = reward + gamma * onward @ X @ w - X @ w  # E[rho delta | s]
    wanted = X.T @ (model[3] * error)
    hparams = semi_gradient_td.HParams(learning_rate=1.0, gamma=gamma)
    found, _ = mean_step(
        semi_gradient_td.method(features(), semi_gradient_td.Config()), w, jnp.zeros(D), hparams, model
    )
    np.testing.assert_allclose(found - w, wanted, rtol=1e-12)
    known = expected.expected(model[0], model[1], X, model[3], gamma)
    np.testing.assert_allclose(known.b - known.A @ w, wanted, rtol=1e-12)
    np.testing.assert_allclose(known.C, X.T @ np.diag(model[3]) @ X, rtol=1e-12)


@pytest.mark.parametrize("module", [tdc, gtd2], ids=["tdc", "gtd2"])
def test_with_the_right_h_the_mean_step_is_half_the_gradient_of_the_projected_bellman_error(module, float64):
    model, gamma, w = random_model(1), 0.9, np.array([0.3, -1.0, 0.7, 2.0])
    reward, onward = dense_model(model, gamma)
    weight = np.diag(model[3])
    projector = X @ np.linalg.inv(X.T @ weight @ X) @ X.T @ weight

    def projected_error(w):
        error = projector @ (reward + gamma * onward @ (X @ w) - X @ w)
        return error @ weight @ error

    mean_error = reward + gamma * onward @ X @ w - X @ w
    h = np.linalg.solve(X.T @ weight @ X, X.T @ weight @ mean_error)
    hparams = module.HParams(learning_rate=1.0, beta=1.0, gamma=gamma)
    found, after = mean_step(module.method(features(), module.Config()), w, jnp.asarray(h), hparams, model)
    np.testing.assert_allclose(found - w, -0.5 * jax.grad(projected_error)(jnp.asarray(w)), rtol=1e-9)
    np.testing.assert_allclose(after, h, rtol=1e-9)  # where h is right it stays
    known = expected.expected(model[0], model[1], X, model[3], gamma)
    assert projected_bellman_error(known, w) == pytest.approx(float(projected_error(w)), rel=1e-10)
    h = np.array([1.0, 0.5, -2.0, 0.1])  # and where it is not, steps of samples are the sweeps on average
    sweep = expected.tdc_sweep if module is tdc else expected.gtd2_sweep
    hparams = module.HParams(learning_rate=0.3, beta=0.2, gamma=gamma)
    found = mean_step(module.method(features(), module.Config()), w, jnp.asarray(h), hparams, model)
    np.testing.assert_allclose(found, sweep(known, w, h, 0.3, 0.2), rtol=1e-10)


def test_a_policy_that_never_ends_has_no_visits_to_weigh_by():
    with pytest.raises(ValueError, match="from state 0 the policy never ends"):
        expected.on_policy_weight(problems.model("Baird"), np.full((7, 2), 0.5))


def test_the_settings_of_the_counterexample_are_the_books():
    assert BAIRD["target"] == (0.0, 1.0) and BAIRD["behaviour"] == pytest.approx((6 / 7, 1 / 7))
    assert BAIRD_BEGINS["begin"] == tuple(BEGIN)
    np.testing.assert_array_equal([envs.make("Baird").observe(i) for i in range(7)], BAIRD_X)


def test_lstd_of_every_transition_in_its_chance_is_the_fixed_point():
    model, gamma = random_model(2), 0.9
    mdp, policy, behaviour, weight = model
    s, a, k = (x.ravel() for x in np.meshgrid(range(5), range(3), range(2), indexing="ij"))
    chance = weight[s] * policy[s, a] * mdp.probability[s, a, k]  # as the ratio: how much each step counts
    found = lstd.solution(X[s], mdp.reward[s, a, k], X[mdp.successor[s, a, k]], mdp.terminated[s, a, k], gamma, ratio=chance)  # fmt: skip
    wanted = expected.td_fixed_point(expected.expected(mdp, policy, X, weight, gamma))
    np.testing.assert_allclose(found.weights, wanted, rtol=1e-9)
