"""Densities, entropies and divergences equal scipy's, and samples follow them (proofs.md, row 7)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats

from algos.core.distributions import Categorical, DiagonalGaussian

pytestmark = pytest.mark.usefixtures("float64")

RNG = np.random.default_rng(0)
LOGITS, OTHER_LOGITS = 3.0 * RNG.normal(size=(2, 4, 5, 6))  # [4, 5, A]
MEAN, OTHER_MEAN = RNG.normal(size=(2, 4, 3))  # [4, d]
LOG_STD, OTHER_LOG_STD = 0.6 * RNG.normal(size=(2, 4, 3))
INF = float("inf")


def close(actual, expected, tolerance=1e-10):
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=tolerance, atol=tolerance)


def central_differences(function, x, step=1e-5):
    """Returns the gradient of a scalar NumPy function, one entry at a time."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        shift = np.zeros_like(x)
        shift[index] = step
        gradient[index] = (function(x + shift) - function(x - shift)) / (2.0 * step)
    return gradient


def probabilities(logits):
    return scipy.special.softmax(logits, axis=-1)


def normal_kl(mean, std, other_mean, other_std):
    """Returns KL between two scalar normals by integrating its definition."""
    p, q = scipy.stats.norm(mean, std), scipy.stats.norm(other_mean, other_std)
    bounds = (mean - 12.0 * std, mean + 12.0 * std)
    return scipy.integrate.quad(lambda x: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), *bounds, epsabs=1e-12)[0]


def gaussian_kl(mean, log_std, other_mean, other_log_std):
    arguments = (mean, np.exp(log_std), other_mean, np.exp(other_log_std))
    return np.vectorize(normal_kl)(*arguments).sum(axis=-1)


# Categorical


def test_categorical_log_prob_equals_scipys_for_every_action():
    expected = scipy.special.log_softmax(LOGITS, axis=-1)
    close(Categorical(LOGITS).log_probs(), expected)
    for action in range(6):
        close(Categorical(jnp.array(LOGITS)).log_prob(jnp.full((4, 5), action)), expected[..., action])


def test_categorical_log_prob_picks_each_rows_own_action():
    actions = RNG.integers(6, size=(4, 5))
    expected = [[np.log(probabilities(LOGITS)[i, j, actions[i, j]]) for j in range(5)] for i in range(4)]
    close(Categorical(jnp.array(LOGITS)).log_prob(jnp.array(actions)), expected)


def test_categorical_entropy_equals_scipys():
    close(Categorical(jnp.array(LOGITS)).entropy(), scipy.stats.entropy(probabilities(LOGITS), axis=-1))


def test_categorical_kl_equals_scipys():
    actual = Categorical(jnp.array(LOGITS)).kl(Categorical(jnp.array(OTHER_LOGITS)))
    close(actual, scipy.stats.entropy(probabilities(LOGITS), probabilities(OTHER_LOGITS), axis=-1))


def test_adding_a_constant_to_logits_changes_nothing():
    policy, shifted = Categorical(jnp.array(LOGITS)), Categorical(jnp.array(LOGITS + 500.0))
    close(shifted.log_probs(), policy.log_probs())
    close(shifted.entropy(), policy.entropy())
    close(policy.kl(shifted), np.zeros((4, 5)))


def test_categorical_samples_pass_a_chi_square_test_in_every_row():
    policy, draws = Categorical(jnp.array(LOGITS[0, :3] / 2.0)), 20_000
    samples = np.asarray(jax.jit(lambda key: policy.sample_from(policy.noise(key, (draws,))))(jax.random.key(1)))
    assert samples.shape == (draws, 3) and samples.dtype == np.int32
    for row in range(3):
        counts = np.bincount(samples[:, row], minlength=6)
        expected = draws * probabilities(np.asarray(policy.logits))[row]
        assert scipy.stats.chisquare(counts, expected).pvalue > 0.01


def test_categorical_samples_of_two_rows_are_independent():
    policy = Categorical(jnp.zeros((2, 3)))
    samples = np.asarray(policy.sample_from(policy.noise(jax.random.key(2), (20_000,))))
    table = np.zeros((3, 3))
    np.add.at(table, (samples[:, 0], samples[:, 1]), 1)
    assert scipy.stats.chi2_contingency(table).pvalue > 0.01


def test_the_categorical_mode_is_the_most_probable_action_and_the_first_among_equals():
    np.testing.assert_array_equal(Categorical(jnp.array(LOGITS)).mode(), probabilities(LOGITS).argmax(axis=-1))
    assert Categorical(jnp.array([1.0, 3.0, 3.0])).mode() == 1
    assert Categorical(jnp.array([1.0, 3.0, 3.0])).mode().dtype == jnp.int32


@pytest.mark.parametrize(
    ("ours", "scipys"),
    [
        (lambda p: p.log_prob(jnp.int32(2)), lambda x: scipy.special.log_softmax(x)[2]),
        (lambda p: p.entropy(), lambda x: scipy.stats.entropy(probabilities(x))),
        (
            lambda p: p.kl(Categorical(jnp.array(OTHER_LOGITS[0, 0]))),
            lambda x: scipy.stats.entropy(probabilities(x), probabilities(OTHER_LOGITS[0, 0])),
        ),
        (
            lambda p: Categorical(jnp.array(OTHER_LOGITS[0, 0])).kl(p),
            lambda x: scipy.stats.entropy(probabilities(OTHER_LOGITS[0, 0]), probabilities(x)),
        ),
    ],
    ids=["log_prob", "entropy", "kl_from", "kl_to"],
)
def test_categorical_gradients_equal_finite_differences_of_scipys(ours, scipys):
    actual = jax.grad(lambda logits: ours(Categorical(logits)))(jnp.array(LOGITS[0, 0]))
    close(actual, central_differences(scipys, LOGITS[0, 0]), 1e-8)


# Actions that are ruled out by a logit of minus infinity

ALLOWED = [0, 2, 5]


def masked(logits):
    """Returns the distribution with every action outside ALLOWED ruled out."""
    return Categorical(jnp.where(np.isin(np.arange(6), ALLOWED), logits, -INF))


@pytest.mark.parametrize(
    ("ours", "scipys"),
    [
        (lambda p, q: p.log_prob(jnp.int32(2)), lambda x, y: scipy.special.log_softmax(x)[1]),
        (lambda p, q: p.entropy(), lambda x, y: scipy.stats.entropy(probabilities(x))),
        (lambda p, q: p.kl(q), lambda x, y: scipy.stats.entropy(probabilities(x), probabilities(y))),
    ],
    ids=["log_prob", "entropy", "kl"],
)
def test_ruled_out_actions_leave_values_and_gradients_those_of_the_allowed_ones(ours, scipys):
    logits, other = LOGITS[0, 0], OTHER_LOGITS[0, 0]
    value, gradient = jax.value_and_grad(lambda x: ours(masked(x), masked(jnp.array(other))))(jnp.array(logits))
    close(value, scipys(logits[ALLOWED], other[ALLOWED]))
    expected = np.zeros(6)
    expected[ALLOWED] = central_differences(lambda x: scipys(x, other[ALLOWED]), logits[ALLOWED])
    close(gradient, expected, 1e-8)


@pytest.mark.parametrize("quantity", [lambda p: p.log_prob(jnp.int32(2)), lambda p: p.entropy()])
def test_gradients_by_the_ruled_out_logits_themselves_are_zero(quantity):
    gradient = jax.grad(lambda logits: quantity(Categorical(logits)))(masked(jnp.array(LOGITS[0, 0])).logits)
    np.testing.assert_array_equal(gradient[np.array([1, 3, 4])], np.zeros(3))


def test_ruled_out_actions_are_never_sampled_and_have_log_prob_minus_infinity():
    policy = masked(jnp.zeros(6))
    samples = policy.sample_from(policy.noise(jax.random.key(3), (5_000,)))
    assert set(np.asarray(samples).tolist()) == set(ALLOWED)
    assert policy.log_prob(jnp.int32(1)) == -INF
    assert policy.kl(masked(jnp.arange(6.0))) > 0.0


def test_allowing_only_one_action_gives_entropy_zero_with_gradient_zero():
    logits = jnp.array([0.3, -INF, -INF])
    value, gradient = jax.value_and_grad(lambda x: Categorical(x).entropy())(logits)
    assert value == 0.0
    np.testing.assert_array_equal(gradient, np.zeros(3))


# Diagonal Gaussian


def test_gaussian_log_prob_equals_scipys():
    actions = MEAN + 2.0 * RNG.normal(size=MEAN.shape)
    actual = DiagonalGaussian(jnp.array(MEAN), jnp.array(LOG_STD)).log_prob(jnp.array(actions))
    covariances = [np.diag(np.exp(2.0 * row)) for row in LOG_STD]
    expected = [
        scipy.stats.multivariate_normal(m, c).logpdf(a) for m, c, a in zip(MEAN, covariances, actions, strict=True)
    ]
    close(actual, expected)


def test_gaussian_entropy_equals_scipys():
    expected = [scipy.stats.multivariate_normal(m, np.diag(np.exp(2.0 * s))).entropy() for m, s in zip(MEAN, LOG_STD)]
    close(DiagonalGaussian(jnp.array(MEAN), jnp.array(LOG_STD)).entropy(), expected)


def test_gaussian_kl_equals_its_integral():
    policy = DiagonalGaussian(jnp.array(MEAN), jnp.array(LOG_STD))
    other = DiagonalGaussian(jnp.array(OTHER_MEAN), jnp.array(OTHER_LOG_STD))
    close(policy.kl(other), gaussian_kl(MEAN, LOG_STD, OTHER_MEAN, OTHER_LOG_STD), 1e-9)
    close(policy.kl(policy), np.zeros(4))


def test_one_standard_deviation_for_all_rows_gives_one_entropy_a_row():
    shared, repeated = (DiagonalGaussian(jnp.array(MEAN), x) for x in (LOG_STD[0], np.tile(LOG_STD[0], (4, 1))))
    assert shared.entropy().shape == (4,)
    close(shared.entropy(), repeated.entropy())
    close(shared.log_prob(jnp.array(OTHER_MEAN)), repeated.log_prob(jnp.array(OTHER_MEAN)))


def test_gaussian_samples_pass_a_kolmogorov_smirnov_test_in_every_dimension():
    policy = DiagonalGaussian(jnp.array(MEAN[:2]), jnp.array(LOG_STD[:2]))
    samples = np.asarray(policy.sample_from(policy.noise(jax.random.key(4), (20_000,))))
    assert samples.shape == (20_000, 2, 3)
    for row, dimension in np.ndindex(2, 3):
        exact = scipy.stats.norm(MEAN[row, dimension], np.exp(LOG_STD[row, dimension]))
        assert scipy.stats.kstest(samples[:, row, dimension], exact.cdf).pvalue > 0.01
    correlation = np.corrcoef(samples.reshape(-1, 6).T) - np.eye(6)
    # the standard error of each is 1 / sqrt(20000), 0.007
    assert np.abs(correlation).max() < 0.03


def test_the_gaussian_mode_is_where_the_density_is_highest():
    policy = DiagonalGaussian(jnp.array(MEAN), jnp.array(LOG_STD))
    nearby = MEAN + 0.01 * RNG.normal(size=(50, *MEAN.shape))
    np.testing.assert_array_equal(policy.mode(), MEAN)
    assert (policy.log_prob(policy.mode()) > policy.log_prob(jnp.array(nearby))).all()


@pytest.mark.parametrize(
    ("ours", "scipys"),
    [
        (
            lambda p: p.log_prob(jnp.array(OTHER_MEAN[0])),
            lambda m, s: scipy.stats.norm(m, np.exp(s)).logpdf(OTHER_MEAN[0]).sum(),
        ),
        (lambda p: p.entropy(), lambda m, s: scipy.stats.norm(m, np.exp(s)).entropy().sum()),
        (
            lambda p: p.kl(DiagonalGaussian(jnp.array(OTHER_MEAN[0]), jnp.array(OTHER_LOG_STD[0]))),
            lambda m, s: gaussian_kl(m, s, OTHER_MEAN[0], OTHER_LOG_STD[0]),
        ),
        (
            lambda p: DiagonalGaussian(jnp.array(OTHER_MEAN[0]), jnp.array(OTHER_LOG_STD[0])).kl(p),
            lambda m, s: gaussian_kl(OTHER_MEAN[0], OTHER_LOG_STD[0], m, s),
        ),
    ],
    ids=["log_prob", "entropy", "kl_from", "kl_to"],
)
def test_gaussian_gradients_equal_finite_differences_of_scipys(ours, scipys):
    mean, log_std = MEAN[0], LOG_STD[0]
    by_mean, by_log_std = jax.grad(lambda m, s: ours(DiagonalGaussian(m, s)), (0, 1))(
        jnp.array(mean), jnp.array(log_std)
    )
    close(by_mean, central_differences(lambda m: scipys(m, log_std), mean, 1e-4), 1e-6)
    close(by_log_std, central_differences(lambda s: scipys(mean, s), log_std, 1e-4), 1e-6)


# Both


def both():
    """Returns a batched distribution of each kind."""
    return Categorical(jnp.array(LOGITS)), DiagonalGaussian(jnp.array(MEAN), jnp.array(LOG_STD))


@pytest.mark.parametrize("kind", [0, 1])
def test_a_sample_is_what_its_noise_gives(kind):
    policy, key = both()[kind], jax.random.key(5)
    samples, from_noise = jax.jit(lambda policy: (policy.sample(key), policy.sample_from(policy.noise(key))))(policy)
    np.testing.assert_array_equal(samples, from_noise)


@pytest.mark.parametrize("kind", [0, 1])
def test_noise_needs_only_the_shapes_of_a_distribution(kind):
    policy, key = both()[kind], jax.random.key(6)
    shapes = jax.eval_shape(lambda: policy)
    noise = shapes.noise(key, (7, 2))
    assert noise.shape == (7, 2, *jax.tree.leaves(policy)[0].shape)
    np.testing.assert_array_equal(noise, policy.noise(key, (7, 2)))


@pytest.mark.parametrize("kind", [0, 1])
def test_a_batch_of_distributions_gives_what_each_gives_alone(kind):
    policy = both()[kind]
    actions = jnp.array((OTHER_LOGITS.argmax(axis=-1), OTHER_MEAN)[kind])
    alone = jax.tree.map(lambda x: x[1], policy)
    close(policy.log_prob(actions)[1], alone.log_prob(actions[1]))
    close(policy.entropy()[1], alone.entropy())
    np.testing.assert_array_equal(policy.mode()[1], alone.mode())


@pytest.mark.parametrize("kind", [0, 1])
def test_single_precision_distributions_stay_single(kind):
    single = jax.tree.map(lambda x: x.astype(jnp.float32), both()[kind])

    def quantities(key):
        noise = single.noise(key)
        return noise, single.log_prob(single.sample_from(noise)), single.entropy(), single.kl(single)

    assert all(x.dtype == jnp.float32 for x in jax.eval_shape(quantities, jax.random.key(8)))
