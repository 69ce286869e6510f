"""Curvature of small policies against matrices built in NumPy (proofs.md, row 5).

The oracle: scores by complex-step differentiation of a NumPy log-density, exact to rounding, and expectations summed over
all actions, or over the nodes of a Gauss-Hermite rule that is exact for them.
"""

import functools
import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from algos.core import curvature
from algos.core.distributions import Categorical, DiagonalGaussian

pytestmark = pytest.mark.usefixtures("float64")

RNG = np.random.default_rng(0)
STATES = RNG.normal(size=(40, 3))
HIDDEN, ACTIONS = 4, 2
MAX_KL = 0.01


def network(flat, states, size, xp):
    """Returns the outputs [N, size] of one tanh layer; `xp` is numpy or jax.numpy."""
    ends = np.cumsum([3 * HIDDEN, HIDDEN, HIDDEN * size])
    kernel, bias, out_kernel, out_bias = xp.split(flat, ends)
    hidden = xp.tanh(states @ kernel.reshape(3, HIDDEN) + bias)
    return hidden @ out_kernel.reshape(HIDDEN, size) + out_bias


def softmax_logits(flat, states, xp):
    """Returns three logits, the last of them 0: then no direction of the parameters leaves the policy as it is."""
    free = network(flat, states, 2, xp)
    return xp.concatenate([free, xp.zeros_like(free[:, :1])], axis=1)


def one_spread(flat, states, xp):
    """Returns mean and log_std of a policy whose spread is the same in every state."""
    mean = network(flat[:-ACTIONS], states, ACTIONS, xp)
    return mean, flat[-ACTIONS:] + xp.zeros_like(mean)


def a_spread_a_state(flat, states, xp):
    outputs = network(flat, states, 2 * ACTIONS, xp)
    return outputs[:, :ACTIONS], outputs[:, ACTIONS:]


def categorical_log_prob(logits, action):
    log_probs = logits - np.log(np.sum(np.exp(logits), axis=1, keepdims=True))
    return log_probs[:, action]


def gaussian_log_prob(parameters, action):
    mean, log_std = parameters
    return np.sum(-0.5 * ((action - mean) / np.exp(log_std)) ** 2 - log_std - 0.5 * np.log(2 * np.pi), axis=1)


def all_actions(logits):
    """Returns every (action, its probability [N])."""
    return [(action, np.exp(categorical_log_prob(logits, action))) for action in range(3)]


def quadrature(parameters):
    """Returns (actions [N, d], weight) of a rule that is exact for polynomials up to degree 9 in each action."""
    mean, log_std = parameters
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    pairs = itertools.product(zip(nodes, weights / weights.sum()), repeat=ACTIONS)
    return [
        (mean + np.exp(log_std) * [node for node, _ in pair], np.prod([weight for _, weight in pair]) * np.ones(len(mean)))
        for pair in pairs
    ]  # fmt: skip


class Case(NamedTuple):
    """A policy in JAX, and the same in NumPy."""

    num_params: int
    parameters: Callable  # (flat [n], states [N, 3], numpy or jax.numpy) -> what the distribution is made from
    distribution: Callable  # of the parameters
    log_prob: Callable  # NumPy: (parameters, action) -> [N]; complex parameters too
    support: Callable  # NumPy: (parameters) -> list of (action, weight [N])


CASES = {
    "categorical": Case(26, softmax_logits, Categorical, categorical_log_prob, all_actions),
    "gaussian": Case(28, one_spread, lambda p: DiagonalGaussian(*p), gaussian_log_prob, quadrature),
    "state-dependent gaussian": Case(
        36, a_spread_a_state, lambda p: DiagonalGaussian(*p), gaussian_log_prob, quadrature
    ),
}
POINTS = {name: 0.7 * RNG.normal(size=(2, case.num_params)) for name, case in CASES.items()}
every_policy = pytest.mark.parametrize("name", CASES)


def policy_of(name, states=STATES):
    case = CASES[name]
    return lambda flat: case.distribution(case.parameters(flat, states, jnp))


def complex_step(function, point):
    """Returns the Jacobian [..., n] of a NumPy function of a real vector, exact to rounding (Squire and Trapp 1998)."""
    width = 1e-30
    return np.stack([function(point + 1j * width * axis).imag / width for axis in np.eye(len(point))], axis=-1)


def numpy_score(name, flat, action, states=STATES):
    case = CASES[name]
    return complex_step(lambda point: case.log_prob(case.parameters(point, states, np), action), flat)


@functools.cache
def numpy_fisher(name):
    """Returns E_s E_{a ~ pi}[score score^T], [n, n]."""
    case, flat = CASES[name], POINTS[name][0]
    total = np.zeros((case.num_params, case.num_params))
    for action, weight in case.support(case.parameters(flat, STATES, np)):
        scores = numpy_score(name, flat, action)
        total += np.einsum("s,sn,sm->nm", weight, scores, scores) / len(STATES)
    return total


def numpy_kl(name, old, new):
    """Returns E_s E_{a ~ old}[log old(a|s) - log new(a|s)]; `new` may be complex."""
    case = CASES[name]
    old, new = (case.parameters(flat, STATES, np) for flat in (old, new))
    return sum(
        np.mean(weight * (case.log_prob(old, action) - case.log_prob(new, action)))
        for action, weight in case.support(old)
    )


def matrix_of(product, size):
    return np.asarray(jax.jit(jax.vmap(product))(jnp.eye(size)))


@functools.cache
def product_matrix(name, form):
    """Returns the matrix whose rows are F times each unit vector."""
    flat = jnp.asarray(POINTS[name][0])
    return matrix_of(
        lambda v: curvature.fisher_vector_product(policy_of(name), flat, v, form), CASES[name].num_params
    )  # fmt: skip


def random_spd(size, seed=1, smallest=0.1, largest=10.0):
    """Returns a symmetric matrix [size, size] with eigenvalues between the two."""
    basis, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))
    return (basis * np.geomspace(smallest, largest, size)) @ basis.T


def close(actual, expected, tolerance=1e-10):
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=tolerance, atol=tolerance)


# The Fisher matrix


@every_policy
@pytest.mark.parametrize("form", curvature.PRODUCTS)
def test_both_products_are_with_the_expected_outer_product_of_the_score(name, form):
    assert np.abs(numpy_fisher(name)).max() > 0.1
    close(product_matrix(name, form), numpy_fisher(name))


def test_the_default_product_is_gauss_newtons_and_an_unknown_one_raises():
    point, policy = (jnp.asarray(POINTS["categorical"][0]), jnp.ones(26)), policy_of("categorical")
    default, gauss_newton = (
        str(jax.make_jaxpr(lambda flat, vector, product=product: product(policy, flat, vector))(*point))
        for product in (curvature.fisher_vector_product, curvature.gauss_newton_vector_product)
    )
    assert default == gauss_newton
    with pytest.raises(KeyError):
        curvature.fisher_vector_product(policy, *point, "sampled")


@every_policy
def test_the_dense_hessian_of_the_mean_kl_is_the_expected_outer_product_of_the_score(name):
    flat = jnp.asarray(POINTS[name][0])
    dense = jax.jit(lambda new: curvature.hessian(lambda p: curvature.mean_kl(policy_of(name), flat, p), new))(flat)
    close(dense, numpy_fisher(name))


@every_policy
def test_the_expected_outer_product_of_the_score_is_what_differences_of_the_kls_gradient_give(name):
    flat, width = POINTS[name][0], 1e-4
    vector = np.random.default_rng(5).normal(size=len(flat)) / np.sqrt(len(flat))
    ahead, behind = (
        complex_step(lambda new: numpy_kl(name, flat, new), flat + sign * width * vector) for sign in (1, -1)
    )
    close((ahead - behind) / (2 * width), numpy_fisher(name) @ vector, 1e-6)


@every_policy
@pytest.mark.parametrize("form", curvature.PRODUCTS)
def test_the_fisher_matrix_is_symmetric_and_positive_semi_definite(name, form):
    matrix = product_matrix(name, form)
    close(matrix, matrix.T, 1e-13)
    eigenvalues = np.linalg.eigvalsh(matrix)
    assert eigenvalues.min() > -1e-13
    assert eigenvalues.max() > 0.1


def test_moving_all_logits_alike_is_in_the_null_space_of_both_products():
    flat = jnp.asarray(RNG.normal(size=9))
    for form in curvature.PRODUCTS:
        matrix = matrix_of(
            lambda v, form=form: curvature.fisher_vector_product(
                lambda p: Categorical(STATES @ p.reshape(3, 3)), flat, v, form
            ),
            9,
        )
        close(matrix @ np.repeat([1.0, -2.0, 0.5], 3), np.zeros(9), 1e-14)
        assert np.linalg.eigvalsh(matrix)[3] > 1e-3


@pytest.mark.parametrize("form", curvature.PRODUCTS)
def test_products_do_not_depend_on_the_leading_axes_of_the_batch(form):
    flat = jnp.asarray(POINTS["gaussian"][0])

    def policy(flat):
        mean, log_std = one_spread(flat, STATES, jnp)
        return DiagonalGaussian(mean.reshape(5, 8, ACTIONS), log_std.reshape(5, 8, ACTIONS))

    close(matrix_of(lambda v: curvature.fisher_vector_product(policy, flat, v, form), 28), numpy_fisher("gaussian"))


def test_the_exact_fisher_is_the_expected_outer_product_of_the_score():
    exact = jax.jit(lambda flat: curvature.exact_fisher(policy_of("categorical"), flat))(POINTS["categorical"][0])
    close(exact, numpy_fisher("categorical"))


def fisher_of_row(parameters, remake):
    """Returns the Hessian of KL(p || q) in q's own parameters at q = p, [k, k]."""
    return jax.hessian(lambda new: remake(parameters).kl(remake(new)))(parameters)


@pytest.mark.parametrize(
    "remake", [Categorical, lambda p: DiagonalGaussian(p[..., :3], p[..., 3:])], ids=["categorical", "gaussian"]
)
def test_the_fisher_metric_is_the_hessian_of_the_kl_in_the_distributions_own_parameters(remake):
    parameters, tangent = RNG.normal(size=(2, 4, 5, 6))
    rows = jnp.asarray(parameters.reshape(20, 6))
    hessians = np.asarray(jax.jit(jax.vmap(lambda row: fisher_of_row(row, remake)))(rows))
    expected = np.einsum("sij,sj->si", hessians, tangent.reshape(20, 6)).reshape(4, 5, 6)
    product = remake(jnp.asarray(parameters)).fisher(remake(jnp.asarray(tangent)))
    close(np.concatenate([np.asarray(leaf) for leaf in jax.tree.leaves(product)], axis=-1), expected, 1e-12)


def test_the_fisher_metric_of_impossible_actions_is_zero():
    logits, tangent = jnp.array([0.3, -jnp.inf, -1.0]), jnp.array([1.0, 2.0, 3.0])
    among_the_possible = Categorical(logits[::2]).fisher(Categorical(tangent[::2])).logits
    close(Categorical(logits).fisher(Categorical(tangent)).logits[::2], among_the_possible, 1e-15)
    assert Categorical(logits).fisher(Categorical(tangent)).logits[1] == 0.0


# The mean KL


@every_policy
def test_mean_kl_and_its_gradient_far_from_the_old_policy_are_those_of_old_against_new(name):
    old, new = POINTS[name]
    value, gradient = jax.jit(
        jax.value_and_grad(lambda flat: curvature.mean_kl(policy_of(name), jnp.asarray(old), flat))
    )(new)
    close(value, numpy_kl(name, old, new))
    close(gradient, complex_step(lambda flat: numpy_kl(name, old, flat), new))
    assert abs(numpy_kl(name, old, new) - numpy_kl(name, new, old)) > 0.01


@every_policy
def test_mean_kl_has_no_gradient_through_the_old_policy(name):
    old, new = POINTS[name]
    through_old = jax.jit(jax.grad(lambda flat: curvature.mean_kl(policy_of(name), flat, jnp.asarray(new))))(old)
    assert np.all(np.asarray(through_old) == 0.0)

    def of_both(flat):
        return curvature.mean_kl(policy_of(name), flat, 1.1 * flat)

    expected = complex_step(lambda flat: numpy_kl(name, old, 1.1 * flat), old)
    assert np.abs(expected).max() > 1e-3
    close(jax.jit(jax.grad(of_both))(old), expected)


# Scores


@every_policy
def test_scores_equal_numpys_and_their_mean_under_the_policy_is_zero(name):
    case, flat = CASES[name], POINTS[name][0]
    score = jax.jit(lambda action: curvature.score(policy_of(name), jnp.asarray(flat), action))
    mean = np.zeros((len(STATES), case.num_params))
    for action, weight in case.support(case.parameters(flat, STATES, np)):
        scores = np.asarray(score(jnp.asarray(np.broadcast_to(action, (len(STATES), *np.shape(action)[1:])))))
        close(scores, numpy_score(name, flat, action))
        mean += weight[:, None] * scores
    assert np.abs(scores).max() > 0.1
    close(mean, np.zeros_like(mean), 1e-12)


def sampled_fisher(name, sharpness):
    """Returns (empirical Fisher, its standard error, the exact one) at five states, 200 actions in each.

    Actions come from the policy with its logits multiplied by `sharpness`.
    """
    flat = POINTS[name][0]
    few = STATES[:5]
    states = np.repeat(few, 200, axis=0)
    probs = np.exp(sharpness * softmax_logits(flat, states, np))
    thresholds = np.cumsum(probs / probs.sum(axis=1, keepdims=True), axis=1)
    action = np.minimum(np.sum(np.random.default_rng(2).random((1000, 1)) > thresholds, axis=1), 2)
    policy = policy_of(name, states)
    empirical = jax.jit(lambda a: curvature.empirical_fisher(policy, jnp.asarray(flat), a))(jnp.asarray(action))
    scores = np.stack([numpy_score(name, flat, a, few) for a in range(3)])[action, np.repeat(np.arange(5), 200)]
    squares = np.einsum("sn,sm->snm", scores, scores)
    exact = np.asarray(curvature.exact_fisher(policy_of(name, few), jnp.asarray(flat)))
    return np.asarray(empirical), squares.std(axis=0) / np.sqrt(1000), exact


def test_the_empirical_fisher_approaches_the_exact_one_when_actions_come_from_the_policy():
    empirical, error, exact = sampled_fisher("categorical", 1.0)
    assert np.abs(empirical - exact).max() > 1e-6
    assert np.all(np.abs(empirical - exact) < 5.0 * error + 1e-9)


def test_the_empirical_fisher_is_another_matrix_when_actions_come_from_another_policy():
    empirical, error, exact = sampled_fisher("categorical", 5.0)
    assert np.max(np.abs(empirical - exact) / (error + 1e-9)) > 10.0


# Conjugate gradients


def solve(matrix, b, max_iterations, tolerance):
    """Returns conjugate_gradient's (x, residual, iterations) in NumPy."""
    return tuple(map(np.asarray, conjugate_gradient(matrix, b, max_iterations, tolerance)))


@jax.jit
def conjugate_gradient(matrix, b, max_iterations, tolerance):
    return curvature.conjugate_gradient(lambda x: matrix @ x, b, max_iterations, tolerance)


@pytest.mark.parametrize("size", [1, 5, 20])
def test_conjugate_gradients_solve_what_scipy_solves(size):
    matrix, b = random_spd(size), RNG.normal(size=size)
    x, residual, _ = solve(matrix, b, 5 * size, 1e-28)
    close(x, scipy.linalg.solve(matrix, b, assume_a="pos"), 1e-11)
    assert residual <= 1e-28


@pytest.mark.parametrize("iterations", [1, 2, 3, 4])
def test_each_iterate_is_the_best_of_its_krylov_space_and_its_residual_is_reported(iterations):
    matrix, b = random_spd(6), RNG.normal(size=6)
    x, residual, taken = solve(matrix, b, iterations, 0.0)
    krylov = np.stack([np.linalg.matrix_power(matrix, k) @ b for k in range(iterations)], axis=1)
    best = krylov @ np.linalg.solve(krylov.T @ matrix @ krylov, krylov.T @ b)
    close(x, best, 1e-9)
    assert taken == iterations
    np.testing.assert_allclose(residual, np.sum((b - matrix @ x) ** 2) / np.sum(b**2), rtol=1e-8)
    assert residual > 1e-6


def test_conjugate_gradients_of_zero_are_zero_at_once():
    x, residual, iterations = solve(random_spd(6), np.zeros(6), 10, 1e-10)
    assert np.all(x == 0.0) and residual == 0.0 and iterations == 0


@pytest.mark.parametrize("tolerance", [0.0, 1e-10])
def test_more_iterations_than_needed_do_no_harm(tolerance):
    matrix, b = random_spd(6), RNG.normal(size=6)
    x, residual, _ = solve(matrix, b, 2000, tolerance)
    close(x, scipy.linalg.solve(matrix, b), 1e-4 if tolerance else 1e-12)
    assert residual <= tolerance


def test_as_many_iterations_as_distinct_eigenvalues_are_taken():
    direction = RNG.normal(size=(2, 30))
    matrix, b = np.eye(30) + direction.T @ direction, RNG.normal(size=30)
    x, residual, iterations = solve(matrix, b, 30, 1e-20)
    assert iterations == 3
    close(x, scipy.linalg.solve(matrix, b))
    assert solve(np.eye(30), b, 30, 1e-20)[2] == 1


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-8])
def test_conjugate_gradients_stop_at_the_first_residual_within_the_tolerance(tolerance):
    matrix, b = random_spd(20), RNG.normal(size=20)
    residuals = [float(solve(matrix, b, count, 0.0)[1]) for count in range(1, 41)]
    first = next(count for count, residual in enumerate(residuals, start=1) if residual <= tolerance)
    _, residual, iterations = solve(matrix, b, 100, tolerance)
    assert 2 < iterations == first < 40
    close(residual, residuals[first - 1], 1e-12)


def test_the_default_tolerance_is_1e_minus_10():
    matrix, b = random_spd(20), RNG.normal(size=20)
    run = jax.jit(lambda b: curvature.conjugate_gradient(lambda x: matrix @ x, b, 100))
    _, residual, iterations = run(jnp.asarray(b))
    assert iterations == solve(matrix, b, 100, 1e-10)[2] < 40
    assert 0.0 < residual <= 1e-10


def test_conjugate_gradients_under_vmap_give_what_each_gives_alone():
    matrix = random_spd(8)
    b = np.stack([RNG.normal(size=8), np.zeros(8), np.linalg.eigh(matrix)[1][:, 0], 1e-3 * RNG.normal(size=8)])
    together = jax.vmap(conjugate_gradient, (None, 0, None, None))(matrix, b, 50, 1e-8)
    for place, row in enumerate(b):
        alone = solve(matrix, row, 50, 1e-8)
        close(together[0][place], alone[0], 1e-9)
        close(together[0][place], scipy.linalg.solve(matrix, row), 1e-2)
        close(together[1][place], alone[1], 1e-9)
        assert together[2][place] == alone[2]
    assert together[2][1] == 0 and together[2][2] < together[2][0]


# Line search

FACTOR, MOST = 0.5, 6


def python_search(start, full_step, limit):
    """Returns (params, fraction, rejected steps) of the first step no longer than the limit."""
    for tried in range(MOST):
        fraction = 1.0
        for _ in range(tried):
            fraction *= FACTOR
        if np.sqrt(np.sum((fraction * full_step) ** 2)) <= limit:
            return start + fraction * full_step, fraction, tried
    return start, 0.0, MOST


def search_within(limit, start, full_step):
    return curvature.line_search(lambda p: jnp.linalg.norm(p - start) <= limit, start, full_step, FACTOR, MOST)


START, FULL_STEP = RNG.normal(size=7), RNG.normal(size=7)
LENGTH = float(np.linalg.norm(FULL_STEP))
LIMITS = np.array([2.0, 0.9, 0.3, 0.1, 0.05, 0.04, 0.02, 0.0, -1.0]) * LENGTH


def assert_found(search, limit):
    params, fraction, tried = python_search(START, FULL_STEP, limit)
    if fraction == 0.0:
        np.testing.assert_array_equal(search.params, START)
    close(search.params, params, 1e-15)
    assert search.fraction == fraction
    assert search.backtracks == tried


def test_line_search_finds_the_first_acceptable_step_or_restores_the_bits():
    search = jax.jit(search_within)
    for limit in LIMITS:
        assert_found(search(limit, START, FULL_STEP), limit)
    assert {python_search(START, FULL_STEP, limit)[2] for limit in LIMITS} >= {0, 1, 2, 4, 5, 6}


def test_line_search_under_vmap_finds_the_same():
    together = jax.jit(jax.vmap(search_within, (0, None, None)))(LIMITS, START, FULL_STEP)
    for place, limit in enumerate(LIMITS):
        assert_found(jax.tree.map(lambda x, place=place: x[place], together), limit)


def test_a_step_to_no_number_restores_the_bits():
    for bad in (np.nan, np.inf):
        step = FULL_STEP.copy()
        step[3] = bad
        search = jax.jit(search_within)(1e9, START, step)
        np.testing.assert_array_equal(search.params, START)
        assert search.fraction == 0.0 and search.backtracks == MOST


def test_a_step_refused_is_not_tried_again_and_a_larger_one_is_not_passed_over():
    def at_length(low, high):
        def acceptable(p):
            length = jnp.linalg.norm(p - START) / LENGTH
            return (low < length) & (length < high)

        return curvature.line_search(acceptable, jnp.asarray(START), jnp.asarray(FULL_STEP), FACTOR, MOST)

    search = jax.jit(at_length)
    assert search(0.9, 1.1).backtracks == 0
    assert search(0.2, 0.3).fraction == 0.25
    assert search(0.6, 0.9).fraction == 0.0


# The step


def step_of(gradient, matrix, max_kl=MAX_KL, iterations=100):
    run = jax.jit(lambda g: curvature.trust_region_step(g, lambda v: matrix @ v, max_kl, iterations))
    return tuple(map(np.asarray, run(jnp.asarray(gradient))))


@every_policy
@pytest.mark.parametrize("iterations", [1, 5, 200])
@pytest.mark.parametrize("damping", [0.0, 0.1])
def test_half_the_squared_length_of_the_full_step_in_the_damped_fisher_is_max_kl(name, iterations, damping):
    flat, gradient = jnp.asarray(POINTS[name][0]), np.random.default_rng(7).normal(size=CASES[name].num_params)

    def product(v):
        return curvature.fisher_vector_product(policy_of(name), flat, v) + damping * v

    step, _ = jax.jit(lambda g: curvature.trust_region_step(g, product, MAX_KL, iterations))(gradient)
    step = np.asarray(step)
    fisher = numpy_fisher(name)
    np.testing.assert_allclose(step @ (fisher @ step + damping * step) / 2, MAX_KL, rtol=1e-7)  # F is near singular
    if damping:
        assert step @ fisher @ step / 2 < 0.999 * MAX_KL


@every_policy
def test_the_full_step_is_along_the_natural_gradient(name):
    damped = numpy_fisher(name) + 0.1 * np.eye(CASES[name].num_params)
    gradient = RNG.normal(size=CASES[name].num_params)
    natural = scipy.linalg.solve(damped, gradient, assume_a="pos")
    for max_kl in (1e-4, MAX_KL, 1.0):
        step, residual = step_of(gradient, damped, max_kl)
        close(step, np.sqrt(2 * max_kl / (gradient @ natural)) * natural, 1e-4)
        assert step @ gradient > 0.0 and residual <= 1e-10
        close(step_of(2.0**-30 * gradient, damped, max_kl)[0], step, 1e-12)


def test_a_step_after_few_iterations_reports_the_residual_of_its_solve():
    matrix, gradient = random_spd(20, largest=100.0), RNG.normal(size=20)
    step, residual = step_of(gradient, matrix, iterations=3)
    solution = step * (step @ gradient) / (step @ matrix @ step)
    expected = np.sum((gradient - matrix @ solution) ** 2) / np.sum(gradient**2)
    assert expected > 1e-3
    np.testing.assert_allclose(residual, expected, rtol=1e-9)


def test_no_gradient_gives_no_step():
    for matrix in (random_spd(6), np.zeros((6, 6))):
        step, residual = step_of(np.zeros(6), matrix)
        assert np.all(step == 0.0) and residual == 0.0


@pytest.mark.parametrize("largest", [1e-3, 0.1, 10.0])
def test_in_single_precision_a_gradient_of_any_size_gives_a_step_of_numbers(largest):
    matrix = random_spd(30, smallest=1e-3, largest=largest).astype(np.float32)
    gradient = RNG.normal(size=30).astype(np.float32)
    sizes = jnp.asarray(10.0 ** np.arange(-30.0, 10.0, 0.5), jnp.float32)
    run = jax.jit(lambda size: curvature.trust_region_step(size * gradient, lambda v: matrix @ v, MAX_KL, 10))
    for size in sizes:
        step, residual = run(size)
        assert step.dtype == jnp.float32
        assert np.all(np.isfinite(step)) and np.isfinite(residual), f"gradient times {size}"


def steps_in_two_coordinates(name, mixing, iterations=5000):
    """Returns what the natural direction, the trust-region step and the plain gradient are, each (in the parameters
    themselves, in coordinates z with params = mixing z and carried back), for one and the same gradient."""

    @jax.jit
    def step(params, gradient, mixing):
        def product(v):
            return curvature.fisher_vector_product(lambda z: policy_of(name)(mixing @ z), params, v)

        direction, _, _ = curvature.conjugate_gradient(product, gradient, iterations, 1e-26)
        normalised = direction * jnp.sqrt(2.0 * MAX_KL / (direction @ gradient))
        return normalised, curvature.trust_region_step(gradient, product, MAX_KL, iterations)[0], gradient

    flat, gradient = POINTS[name][0], np.random.default_rng(4).normal(size=CASES[name].num_params)
    straight = step(flat, gradient, np.eye(len(flat)))
    mixed = step(np.linalg.solve(mixing, flat), mixing.T @ gradient, mixing)
    return [(np.asarray(one), mixing @ np.asarray(other)) for one, other in zip(straight, mixed)]


@pytest.mark.parametrize("name", ["categorical", "gaussian"])
def test_the_natural_step_is_invariant_to_a_linear_change_of_parameters(name):
    case, flat, states = CASES[name], POINTS[name][0], np.random.default_rng(6).normal(size=(9, 3))
    mixing = np.eye(case.num_params) + 0.15 * np.random.default_rng(3).normal(size=(case.num_params,) * 2)
    before = np.array(case.parameters(flat, states, np))

    def disagreement(steps):
        moves = [np.array(case.parameters(flat + step, states, np)) - before for step in steps]
        return np.abs(moves[0] - moves[1]).max() / np.abs(moves[0]).max()

    exact, whole, plain = map(disagreement, steps_in_two_coordinates(name, mixing))
    assert exact < 1e-8
    assert whole < 1e-2
    assert plain > 0.1
