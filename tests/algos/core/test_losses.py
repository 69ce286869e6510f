"""Each part of a loss, and its gradient, against rlax or a NumPy loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax
import scipy.special

from algos.core import losses
from algos.core.distributions import Categorical, Quantiles

pytestmark = pytest.mark.usefixtures("float64")

SIZE, ACTIONS = 60, 3
RNG = np.random.default_rng(0)
ERROR = 2.0 * RNG.normal(size=SIZE)
VALUE, REWARD, ADVANTAGE = RNG.normal(size=(3, SIZE))
RATIO, DISCOUNT = RNG.uniform(0.4, 1.8, SIZE), RNG.uniform(0.0, 1.0, SIZE)
TERMINATED = RNG.random(SIZE) < 0.3
NEXT_Q, CHOOSER = RNG.normal(size=(2, SIZE, ACTIONS))
ACTION = RNG.integers(ACTIONS, size=SIZE)


def close(actual, expected, tolerance=1e-12):
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=tolerance, atol=tolerance)


def slope(function, x):
    """Returns the derivative of each sample's value by its own x."""
    return jax.grad(lambda x: jnp.sum(function(x)))(jnp.asarray(x))


def differences(function, x, width=1e-6):
    """Returns the gradient of the sum of a NumPy function, one entry at a time."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        offset = np.zeros_like(x)
        offset[index] = width
        gradient[index] = (np.sum(function(x + offset)) - np.sum(function(x - offset))) / (2 * width)
    return gradient


def test_policy_gradient_has_the_gradient_of_rlaxs():
    logits = jnp.asarray(RNG.normal(size=(SIZE, ACTIONS)))
    ones = jnp.ones(SIZE)

    def ours(logits):
        return jnp.mean(losses.policy_gradient(Categorical(logits).log_prob(ACTION), ADVANTAGE))

    def theirs(logits):
        return rlax.policy_gradient_loss(logits, jnp.asarray(ACTION), jnp.asarray(ADVANTAGE), ones)

    close(ours(logits), theirs(logits))
    close(jax.grad(ours)(logits), jax.grad(theirs)(logits))


def test_score_function_nll_holds_a_weight_constant_that_depends_on_the_parameters():
    logits = RNG.normal(size=(SIZE, ACTIONS))
    rows = np.arange(SIZE)
    constant = np.exp(scipy.special.log_softmax(logits, axis=-1)[rows, ACTION])  # the weight p(a) itself

    def ours(logits):
        log_prob = Categorical(logits).log_prob(ACTION)
        return losses.score_function_nll(log_prob, jnp.exp(log_prob))

    def oracle(logits):
        return -scipy.special.log_softmax(logits, axis=-1)[rows, ACTION] * constant

    close(ours(logits), oracle(logits))
    close(slope(ours, logits), differences(oracle, logits), 1e-8)


def test_score_function_nll_has_in_expectation_the_gradient_of_the_expected_weight():
    logits, worth = RNG.normal(size=ACTIONS), RNG.normal(size=ACTIONS)
    probabilities = scipy.special.softmax(logits)

    def ours(logits):
        log_probs = jnp.stack([Categorical(logits).log_prob(action) for action in range(ACTIONS)])
        return losses.score_function_nll(log_probs, worth) * probabilities

    close(slope(ours, logits), differences(lambda logits: -scipy.special.softmax(logits) @ worth, logits), 1e-8)


def test_kl_penalised_surrogate_equals_a_python_loop_and_its_gradient_the_difference_of_slopes():
    kl, beta = RNG.uniform(size=SIZE), 0.7
    expected = [-(r * a - beta * k) for r, a, k in zip(RATIO, ADVANTAGE, kl)]
    close(losses.kl_penalised_surrogate(RATIO, ADVANTAGE, kl, beta), expected)
    close(slope(lambda r: losses.kl_penalised_surrogate(r, ADVANTAGE, kl, beta), RATIO), -ADVANTAGE)
    close(slope(lambda k: losses.kl_penalised_surrogate(RATIO, ADVANTAGE, k, beta), kl), np.full(SIZE, beta))
    close(losses.kl_penalised_surrogate(RATIO, ADVANTAGE, kl, 0.0), -RATIO * ADVANTAGE)


@pytest.mark.parametrize("kappa", [0.3, 1.0, 2.5])
def test_huber_and_its_gradient_equal_those_of_rlax(kappa):
    assert (np.abs(ERROR) < kappa).any() and (np.abs(ERROR) > kappa).any()
    close(losses.huber(ERROR, kappa), rlax.huber_loss(jnp.asarray(ERROR), kappa))
    close(slope(lambda x: losses.huber(x, kappa), ERROR), np.clip(ERROR, -kappa, kappa))


def test_huber_turns_at_1_when_nothing_else_is_said():
    close(losses.huber(ERROR), rlax.huber_loss(jnp.asarray(ERROR), 1.0))


def test_squared_is_half_the_square_and_its_derivative_the_error():
    close(losses.squared(ERROR), ERROR * ERROR / 2)
    close(slope(losses.squared, ERROR), ERROR)


def test_td_error_and_its_gradient_equal_those_of_rlax():
    q = RNG.normal(size=(SIZE, ACTIONS))

    def ours(q):
        return losses.td_error(losses.action_value(q, ACTION), REWARD, TERMINATED, NEXT_Q, DISCOUNT)

    def theirs(q):
        return jax.vmap(rlax.q_learning)(q, ACTION, REWARD, DISCOUNT * ~TERMINATED, NEXT_Q)

    close(ours(q), theirs(q))
    close(slope(ours, q), slope(theirs, q))


def test_double_td_error_and_its_gradient_equal_those_of_rlax():
    q = RNG.normal(size=(SIZE, ACTIONS))

    def ours(q):
        value = losses.action_value(q, ACTION)
        return losses.double_td_error(value, REWARD, TERMINATED, NEXT_Q, CHOOSER, DISCOUNT)

    def theirs(q):
        return jax.vmap(rlax.double_q_learning)(q, ACTION, REWARD, DISCOUNT * ~TERMINATED, NEXT_Q, CHOOSER)

    close(ours(q), theirs(q))
    close(slope(ours, q), slope(theirs, q))


def test_no_gradient_of_a_td_error_reaches_the_next_values_or_the_chooser():
    plain = slope(lambda x: losses.td_error(VALUE, REWARD, TERMINATED, x, DISCOUNT), NEXT_Q)
    double = slope(lambda x: losses.double_td_error(VALUE, REWARD, TERMINATED, x, CHOOSER, DISCOUNT), NEXT_Q)
    chooser = slope(lambda x: losses.double_td_error(VALUE, REWARD, TERMINATED, NEXT_Q, x, DISCOUNT), CHOOSER)
    close(jnp.stack([plain, double, chooser]), np.zeros((3, SIZE, ACTIONS)))


def test_a_double_td_error_whose_chooser_is_the_next_values_is_the_plain_one():
    double = losses.double_td_error(VALUE, REWARD, TERMINATED, NEXT_Q, NEXT_Q, DISCOUNT)
    close(double, losses.td_error(VALUE, REWARD, TERMINATED, NEXT_Q, DISCOUNT))


@pytest.mark.parametrize("kappa", [0.0, 0.5, 1.0])
def test_quantile_huber_and_its_gradient_equal_those_of_rlax(kappa):
    quantiles, target = RNG.normal(size=(SIZE, 5)), RNG.normal(size=(SIZE, 7))
    tau = jnp.asarray((np.arange(5) + 0.5) / 5)

    def theirs(quantiles):
        return jax.vmap(rlax.quantile_regression_loss, (0, None, 0, None))(quantiles, tau, target, kappa)

    close(losses.quantile_huber(quantiles, target, kappa), theirs(quantiles))
    close(slope(lambda q: losses.quantile_huber(q, target, kappa), quantiles), slope(theirs, quantiles))


def test_quantile_huber_sends_no_gradient_to_the_target():
    quantiles, target = RNG.normal(size=(2, SIZE, 5))
    close(slope(lambda t: losses.quantile_huber(quantiles, t, 1.0), target), np.zeros((SIZE, 5)))


def test_without_hubers_threshold_the_quantiles_of_the_target_are_stationary_and_no_others():
    target = np.sort(RNG.normal(size=10))
    between = (target[0::2] + target[1::2]) / 2  # 1, 3, 5, 7 and 9 tenths of the target lie below

    def gradient(quantiles):
        return slope(lambda q: losses.quantile_huber(q, target, 0.0), quantiles)

    close(gradient(between), np.zeros(5))
    assert np.all(np.asarray(gradient(target[1::2] + 1e-6)) > 0.05)
    assert np.all(np.asarray(gradient(target[0::2] - 1e-6)) < -0.05)


def test_quantile_huber_refuses_a_target_of_other_samples():
    with pytest.raises(AssertionError):
        losses.quantile_huber(jnp.zeros((4, 5)), jnp.zeros((1, 5)), 1.0)


def test_quantiles_have_their_mean_for_q_and_give_those_of_one_action():
    values = RNG.normal(size=(2, SIZE, ACTIONS, 5))
    action = RNG.integers(ACTIONS, size=(2, SIZE))
    quantiles = Quantiles(jnp.asarray(values))
    close(quantiles.mean(), [[[sum(row) / 5 for row in rows] for rows in half] for half in values])
    close(quantiles.of(action), np.take_along_axis(values, action[..., None, None], axis=2)[:, :, 0])


def test_a_mean_under_a_mask_is_that_of_the_samples_it_keeps_and_0_when_it_keeps_none():
    mask = (RNG.random(SIZE) < 0.5).astype(float)
    with_junk = np.where(mask > 0, ERROR, np.nan)
    close(losses.mean(with_junk, mask), ERROR[mask > 0].mean())
    assert losses.mean(ERROR, np.zeros(SIZE)) == 0.0


SOME = (RNG.random(SIZE) < 0.7).astype(float)
NOISE = np.array([0.0, 1.0, -2.0, 3.0])  # in units of the last place


def many(number, size=512):
    """Returns one number many times, float32."""
    return jnp.full(size, number, jnp.float32)


def with_junk(x):
    """Returns x [SIZE] with numbers that must not count where SOME is 0."""
    return jnp.asarray(np.where(SOME > 0, x, 1e4 * RNG.normal(size=SIZE)))


def test_normalised_samples_have_mean_0_and_deviation_1_and_the_masked_ones_do_not_count():
    kept = 3.0 * ERROR[SOME > 0] + 5.0
    normal = np.asarray(losses.normalize(with_junk(3.0 * ERROR + 5.0), SOME))[SOME > 0]
    close(normal, (kept - kept.mean()) / kept.std(), 1e-7)


@pytest.mark.parametrize("size", [1, 32, 512, 2048])
@pytest.mark.parametrize("number", [0.1, -3.3, 1000.1])
def test_one_number_normalised_is_0_and_so_it_is_with_its_last_digits_rounded(number, size):
    once = many(number, size)
    np.testing.assert_array_equal(losses.normalize(once, jnp.ones_like(once)), 0.0)
    rounded = once + jnp.spacing(once) * jnp.asarray(np.resize(NOISE, size), jnp.float32)
    np.testing.assert_array_equal(losses.normalize(rounded, jnp.ones_like(once)), 0.0)
    mask = (jnp.arange(size) < max(size // 2, 1)).astype(jnp.float32)
    np.testing.assert_array_equal(losses.normalize(once.at[-1].set(9.0) if size > 1 else once, mask), 0.0)


def test_samples_that_differ_by_little_are_still_told_apart():
    x = many(100.0).at[::2].add(0.01)
    normal = np.asarray(losses.normalize(x, jnp.ones_like(x)))
    close(normal, np.resize([1.0, -1.0], 512), 0.01)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_not_hidden(bad):
    for x in (many(0.1), many(bad)):
        x = x.at[3].set(bad)
        assert np.isnan(losses.normalize(x, jnp.ones_like(x))).any()
        assert not np.isfinite(losses.explained_variance(many(0.1), x, jnp.ones_like(x)))
        assert not np.isfinite(losses.explained_variance(x, many(0.1).at[0].set(1.0), jnp.ones_like(x)))


@pytest.mark.parametrize("scale", [1e-7, 1.0, 1e4])
def test_explained_variance_is_the_share_of_the_targets_variance_that_the_critic_has_at_any_scale(scale):
    value, target = scale * (VALUE + 0.5 * ERROR), scale * (3.0 + ERROR)
    kept = SOME > 0
    expected = 1.0 - np.var((target - value)[kept]) / np.var(target[kept])
    ours = jax.jit(losses.explained_variance)
    close(ours(with_junk(value), with_junk(target), SOME), expected, 1e-9)
    close(ours(with_junk(target), with_junk(target), SOME), 1.0)
    close(ours(jnp.full(SIZE, 7.0 * scale), with_junk(target), SOME), 0.0, 1e-7)


@pytest.mark.parametrize("number", [0.0, 0.1, 1000.1])
def test_of_targets_that_are_one_number_a_critic_explains_0_be_it_right_or_wrong(number):
    target = many(number)
    wrong = number + 5e3 * (1.0 + jnp.asarray(RNG.normal(size=512), jnp.float32))
    computed = (target - wrong) + wrong  # as targets are: advantage plus value
    assert number == 0.0 or len(np.unique(computed)) > 1
    for given, value in ((target, target), (target, many(7.0)), (target, wrong), (computed, wrong)):
        assert losses.explained_variance(value, given, jnp.ones_like(target)) == 0.0
