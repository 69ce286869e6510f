"""Likelihood, score and information against scipy, finite differences and sums over everything that can be drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from algos.core import likelihood
from algos.core.distributions import Categorical, DiagonalGaussian

pytestmark = pytest.mark.usefixtures("float64")

AT = {"normal": np.array([0.7, -0.2]), "categorical": np.array([0.4, -0.3, 0.2])}


def normal(params):
    return DiagonalGaussian(params[:1], params[1:])


def categorical(params):
    return Categorical(jnp.append(params, 0.0))


MODELS = {"normal": normal, "categorical": categorical}


def everything(name: str, params) -> tuple[np.ndarray, np.ndarray]:
    """Returns (what can be drawn [K, ...], its weights [K]): exact for scores and their products in both models."""
    if name == "categorical":
        logits = np.append(params, 0.0)
        return np.arange(4), np.exp(logits) / np.exp(logits).sum()
    nodes, weights = np.polynomial.hermite_e.hermegauss(12)
    return params[0] + np.exp(params[1]) * nodes[:, None], weights / weights.sum()


def log_prob(name: str, params, samples) -> np.ndarray:
    """Returns log p of each sample, from scipy and NumPy alone."""
    if name == "normal":
        return stats.norm.logpdf(samples[:, 0], params[0], np.exp(params[1]))
    logits = np.append(params, 0.0)
    return logits[samples] - np.log(np.exp(logits).sum())


def central(function, at, step: float = 1e-5) -> np.ndarray:
    """Returns the derivatives of the function in each direction, along the last axis."""
    units = step * np.eye(at.size)
    return np.stack([(function(at + unit) - function(at - unit)) / (2.0 * step) for unit in units], axis=-1)


@pytest.fixture(params=sorted(MODELS))
def case(request):
    """Returns (name, model, parameters, samples)."""
    at = AT[request.param]
    drawn, _ = everything(request.param, at + 0.3)
    return request.param, MODELS[request.param], jnp.asarray(at), drawn[[0, 1, 1, 2, 3]]


def test_the_likelihood_is_scipys_and_the_scores_are_its_slopes(case):
    name, model, at, samples = case
    expected = -log_prob(name, np.asarray(at), samples).mean()
    np.testing.assert_allclose(likelihood.negative_log_likelihood(model, at, samples), expected, rtol=1e-12)
    slopes = central(lambda params: log_prob(name, params, samples), np.asarray(at))
    np.testing.assert_allclose(likelihood.scores(model, at, samples), slopes, atol=1e-8)
    np.testing.assert_allclose(likelihood.gradient_ascent(model, at, samples), slopes.mean(0), atol=1e-8)


def test_the_observed_information_is_the_curvature_of_the_sample(case):
    name, model, at, samples = case

    def slope(params):
        return -np.asarray(likelihood.gradient_ascent(model, jnp.asarray(params), samples))

    np.testing.assert_allclose(
        likelihood.observed_information(model, at, samples), central(slope, np.asarray(at)), atol=1e-8
    )


def test_under_its_own_model_the_score_is_zero_on_average_and_its_covariance_is_the_information(case):
    name, model, at, _ = case
    drawn, weights = everything(name, np.asarray(at))
    scores = np.asarray(likelihood.scores(model, at, drawn))
    np.testing.assert_allclose(weights @ scores, 0.0, atol=1e-12)
    information = likelihood.expected_information(model, at)
    np.testing.assert_allclose(np.einsum("k,kn,km->nm", weights, scores, scores), information, atol=1e-12)


def test_the_mean_curvature_under_the_model_is_the_information(case):
    name, model, at, _ = case
    drawn, weights = everything(name, np.asarray(at))
    curvatures = [likelihood.observed_information(model, at, drawn[k : k + 1]) for k in range(len(drawn))]
    information = likelihood.expected_information(model, at)
    np.testing.assert_allclose(np.einsum("k,knm->nm", weights, np.stack(curvatures)), information, atol=1e-12)


def test_under_another_model_the_mean_score_is_not_zero(case):
    name, model, at, _ = case
    drawn, weights = everything(name, np.asarray(at) + 1.0)
    assert np.linalg.norm(weights @ np.asarray(likelihood.scores(model, at, drawn))) > 0.05


def test_of_a_categorical_model_newtons_step_is_the_natural_gradient():
    at, samples = jnp.asarray(AT["categorical"]), np.array([0, 1, 1, 2, 3])
    newton = likelihood.newton_ascent(categorical, at, samples)
    np.testing.assert_allclose(newton, likelihood.natural_ascent(categorical, at, samples), rtol=1e-10)


@pytest.mark.parametrize("direction", [likelihood.newton_ascent, likelihood.natural_ascent])
def test_near_the_top_whole_steps_reach_maximum_likelihood(direction):
    samples = np.random.default_rng(0).normal(1.0, 0.6, (50, 1))
    best = np.array([samples.mean(), np.log(samples.std())])
    at = jnp.asarray(best + np.array([0.1, -0.1]))
    for _ in range(40):
        at = at + direction(normal, at, samples)
    np.testing.assert_allclose(at, best, atol=1e-10)


def test_the_natural_gradient_is_the_same_step_however_the_model_is_written():
    samples = np.random.default_rng(1).normal(1.0, 0.6, (50, 1))

    def by_deviation(params):
        return DiagonalGaussian(params[:1], jnp.log(params[1:]))

    step = likelihood.natural_ascent(normal, jnp.array([0.5, jnp.log(2.0)]), samples)
    other = likelihood.natural_ascent(by_deviation, jnp.array([0.5, 2.0]), samples)
    np.testing.assert_allclose(other, step * np.array([1.0, 2.0]), rtol=1e-10)  # d sigma = sigma d log sigma


def test_the_bound_is_the_variance_of_a_mean():
    bound = likelihood.cramer_rao(likelihood.expected_information(normal, jnp.asarray(AT["normal"])), 10)
    np.testing.assert_allclose(bound[0, 0], np.exp(-0.4) / 10, rtol=1e-12)


def test_one_categorical_distribution_gives_the_log_probability_of_each_of_many_actions():
    logits, actions = jnp.array([0.1, 0.2, -0.5]), jnp.array([0, 2, 2, 1])
    np.testing.assert_allclose(Categorical(logits).log_prob(actions), jax.nn.log_softmax(logits)[actions], rtol=1e-6)
