"""The expected gradients of REINFORCE and A2C against the exact gradient of the expected return: every trajectory of a
small MDP is enumerated (oracles.py). An observation is time * STATES + state."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from algos import a2c, ppo, reinforce
from algos.core.distributions import Categorical
from algos.core.returns import gae, reward_to_go
from algos.core.types import Batch

OBSERVATIONS = (oracles.HORIZON + 1) * oracles.STATES
MDP = oracles.random_mdp(0)
PATHS = oracles.trajectories(MDP)
LOGITS = np.random.default_rng(1).normal(size=(oracles.STATES, oracles.ACTIONS))
EXACT_VALUES = oracles.state_values(MDP, oracles.softmax(LOGITS)).reshape(-1)
WRONG_VALUES = np.random.default_rng(2).normal(size=OBSERVATIONS)

pytestmark = pytest.mark.usefixtures("float64")


def tabular(params, observation):
    """A softmax policy of the state alone, and a value for each time and state."""
    return Categorical(params["logits"][observation % oracles.STATES]), params["values"][observation]


def parameters(values):
    return {"logits": jnp.asarray(LOGITS), "values": jnp.asarray(values)}


@jax.jit
def all_trajectories(values, gae_lambda=None):
    """Returns the batch [T, N] of every trajectory; without gae_lambda, Monte Carlo returns less `values`."""
    time = np.arange(oracles.HORIZON)[:, None]
    observation = jnp.asarray(time * oracles.STATES + PATHS.state)
    next_observation = jnp.asarray((time + 1) * oracles.STATES + PATHS.next_state)
    policy, value = tabular(parameters(values), observation)
    next_value = jnp.asarray(values)[next_observation]
    reward, terminated = jnp.asarray(PATHS.reward), jnp.asarray(PATHS.ended)
    truncated = jnp.zeros_like(terminated)
    if gae_lambda is None:
        advantage = reward_to_go(reward, terminated, truncated, 1.0) - value
    else:
        advantage = gae(reward, terminated, truncated, value, next_value, 1.0, gae_lambda)
    action = jnp.asarray(PATHS.action)
    return Batch(
        observation=observation, action=action, policy=policy, log_prob=policy.log_prob(action), value=value,
        reward=reward, next_observation=next_observation, next_value=next_value, terminated=terminated,
        truncated=truncated, advantage=advantage, value_target=advantage + value,
        mask=jnp.asarray(PATHS.alive, jnp.float64),
    )  # fmt: skip


@functools.partial(jax.jit, static_argnums=0)
def expected_gradient(loss, batch, params, hparams):
    """Returns sum over trajectories of their chance times the gradient of their summed loss."""

    def summed_loss(params, trajectory):
        trajectory = jax.tree.map(lambda x: x[:, None], trajectory)
        return loss(params, tabular, trajectory, hparams)[0] * jnp.sum(trajectory.mask)

    gradients = jax.vmap(jax.grad(summed_loss), (None, 1))(params, batch)
    chance = jnp.asarray(oracles.chances(MDP, oracles.softmax(LOGITS), PATHS))
    return jax.tree.map(lambda x: jnp.tensordot(chance, x, 1), gradients)


def expected_return(logits):
    """Returns START . V_0 by backward induction, differentiable."""
    policy = jax.nn.softmax(logits)
    values = jnp.zeros(oracles.STATES)
    for _ in range(oracles.HORIZON):
        gains = jnp.sum(MDP.transition * (MDP.reward + values), axis=-1)
        values = jnp.sum(policy * gains, axis=-1).at[oracles.TERMINAL].set(0.0)
    return oracles.START @ values


def exact_gradient():
    return np.asarray(jax.jit(jax.grad(expected_return))(jnp.asarray(LOGITS)))


def expected_return_by_enumeration(logits):
    chance = oracles.chances(MDP, oracles.softmax(logits), PATHS)
    return chance @ np.where(PATHS.alive, PATHS.reward, 0.0).sum(axis=0)


def policy_gradient_of(loss, batch, values, hparams):
    return np.asarray(expected_gradient(loss, batch, parameters(values), hparams)["logits"])


def test_the_oracles_agree_on_the_expected_return_and_its_gradient():
    assert np.isclose(oracles.chances(MDP, oracles.softmax(LOGITS), PATHS).sum(), 1.0, rtol=1e-12)
    enumerated = expected_return_by_enumeration(LOGITS)
    assert np.isclose(enumerated, oracles.START @ EXACT_VALUES[: oracles.STATES], rtol=1e-12)
    assert np.isclose(enumerated, expected_return(jnp.asarray(LOGITS)), rtol=1e-12)
    differences = oracles.finite_differences(expected_return_by_enumeration, LOGITS)
    np.testing.assert_allclose(exact_gradient(), differences, atol=1e-8)
    assert np.abs(exact_gradient()).max() > 0.1


@pytest.mark.parametrize(
    "baseline", [np.zeros(OBSERVATIONS), EXACT_VALUES, WRONG_VALUES], ids=["none", "exact", "wrong"]
)
def test_expected_reinforce_gradient_is_that_of_the_expected_return_whatever_the_state_baseline(baseline):
    batch = all_trajectories(baseline)
    gradient = -policy_gradient_of(reinforce.loss, batch, baseline, reinforce.HParams())
    np.testing.assert_allclose(gradient, exact_gradient(), atol=1e-10)
    differences = oracles.finite_differences(expected_return_by_enumeration, LOGITS)
    np.testing.assert_allclose(gradient, differences, atol=1e-6)


@pytest.mark.parametrize("gae_lambda", [0.0, 0.5, 0.95, 1.0])
def test_expected_a2c_gradient_with_the_exact_critic_is_that_of_the_expected_return(gae_lambda):
    batch = all_trajectories(EXACT_VALUES, gae_lambda)
    gradient = -policy_gradient_of(a2c.loss, batch, EXACT_VALUES, a2c.HParams())
    np.testing.assert_allclose(gradient, exact_gradient(), atol=1e-10)
    differences = oracles.finite_differences(expected_return_by_enumeration, LOGITS)
    np.testing.assert_allclose(gradient, differences, atol=1e-6)


def test_a_wrong_critic_biases_the_expected_a2c_gradient_below_lambda_one_and_not_at_one():
    at_one, below = (
        -policy_gradient_of(a2c.loss, all_trajectories(WRONG_VALUES, gae_lambda), WRONG_VALUES, a2c.HParams())
        for gae_lambda in (1.0, 0.5)
    )
    np.testing.assert_allclose(at_one, exact_gradient(), atol=1e-10)
    assert np.abs(below - exact_gradient()).max() > 1e-2


def test_a_baseline_that_looks_at_the_action_changes_the_expected_gradient():
    batch = all_trajectories(np.zeros(OBSERVATIONS))
    batch = batch.replace(advantage=batch.advantage - batch.action)
    gradient = -policy_gradient_of(reinforce.loss, batch, EXACT_VALUES, reinforce.HParams())
    assert np.abs(gradient - exact_gradient()).max() > 1e-2


def test_the_score_has_expectation_zero_in_every_state_and_over_trajectories():
    def log_probs(logits):
        policy = Categorical(jnp.broadcast_to(logits[:, None], (oracles.STATES, oracles.ACTIONS, oracles.ACTIONS)))
        return policy.log_prob(jnp.broadcast_to(jnp.arange(oracles.ACTIONS), (oracles.STATES, oracles.ACTIONS)))

    scores = np.asarray(jax.jit(jax.jacobian(log_probs))(jnp.asarray(LOGITS)))
    expected = np.einsum("sa,sakl->skl", oracles.softmax(LOGITS), scores)
    np.testing.assert_allclose(expected, 0.0, atol=1e-14)
    assert np.abs(scores).max() > 0.1
    constant = all_trajectories(EXACT_VALUES).replace(advantage=jnp.ones(PATHS.state.shape))
    over_trajectories = policy_gradient_of(reinforce.loss, constant, EXACT_VALUES, reinforce.HParams())
    np.testing.assert_allclose(over_trajectories, 0.0, atol=1e-14)


def random_batch(seed, size=12):
    """Returns a batch [size, 1] of arbitrary numbers, a third of it masked out, with no advantage."""
    generator = np.random.default_rng(seed)
    observation = jnp.asarray(generator.integers(OBSERVATIONS, size=(size, 1)))
    action = jnp.asarray(generator.integers(oracles.ACTIONS, size=(size, 1)))
    policy, value = tabular(parameters(WRONG_VALUES), observation)
    mask = jnp.asarray(np.arange(size)[:, None] % 3 != 2, jnp.float64)
    flags = jnp.zeros((size, 1), bool)
    return Batch(
        observation=observation, action=action, policy=policy, log_prob=policy.log_prob(action), value=value,
        reward=value, next_observation=observation, next_value=value, terminated=flags, truncated=flags,
        advantage=jnp.zeros((size, 1)), value_target=jnp.asarray(generator.normal(size=(size, 1))), mask=mask,
    )  # fmt: skip


every_algorithm = pytest.mark.parametrize("module", [reinforce, a2c, ppo], ids=lambda module: module.__name__)


@functools.cache
def compiled(loss):
    return jax.jit(jax.value_and_grad(loss, has_aux=True), static_argnums=1)


def loss_and_gradient(module, batch, **fields):
    return compiled(module.loss)(parameters(WRONG_VALUES), tabular, batch, module.HParams(**fields))


@every_algorithm
def test_gradient_of_the_value_part_is_the_mean_error_at_each_observation(module):
    batch = random_batch(3)
    _, gradient = loss_and_gradient(module, batch, value_coef=0.7, entropy_coef=0.0)
    expected, count = np.zeros(OBSERVATIONS), float(np.sum(batch.mask))
    for observation, target, used in zip(*(np.ravel(x) for x in (batch.observation, batch.value_target, batch.mask))):
        expected[observation] += used * 0.7 * (WRONG_VALUES[observation] - target) / count
    np.testing.assert_allclose(gradient["values"], expected, atol=1e-14)
    np.testing.assert_allclose(gradient["logits"], 0.0, atol=1e-14)


@every_algorithm
def test_gradient_of_the_entropy_part_is_the_mean_of_p_times_log_p_plus_entropy(module):
    batch = random_batch(4)
    _, gradient = loss_and_gradient(module, batch, value_coef=0.0, entropy_coef=0.3)
    expected, count = np.zeros_like(LOGITS), float(np.sum(batch.mask))
    for observation, used in zip(np.ravel(batch.observation), np.ravel(batch.mask)):
        p = oracles.softmax(LOGITS[observation % oracles.STATES])
        entropy = -np.sum(p * np.log(p))
        expected[observation % oracles.STATES] += used * 0.3 * p * (np.log(p) + entropy) / count
    np.testing.assert_allclose(gradient["logits"], expected, atol=1e-14)
    np.testing.assert_allclose(gradient["values"], 0.0, atol=1e-14)


@every_algorithm
def test_loss_is_its_parts_times_their_coefficients(module):
    batch = random_batch(5)
    (total, metrics), _ = loss_and_gradient(module, batch, value_coef=0.7, entropy_coef=0.3)
    used = np.ravel(batch.mask) > 0
    p = oracles.softmax(LOGITS[np.ravel(batch.observation)[used] % oracles.STATES])
    entropy = -np.sum(p * np.log(p), axis=-1).mean()
    error = WRONG_VALUES[np.ravel(batch.observation)] - np.ravel(batch.value_target)
    value_loss = 0.5 * np.mean(error[used] ** 2)
    np.testing.assert_allclose([metrics["value_loss"], metrics["entropy"]], [value_loss, entropy], rtol=1e-12)
    np.testing.assert_allclose(total, 0.7 * value_loss - 0.3 * entropy, rtol=1e-12)


@every_algorithm
def test_samples_masked_out_change_nothing(module):
    batch = random_batch(6).replace(advantage=jnp.asarray(np.random.default_rng(7).normal(size=(12, 1))))
    used = np.ravel(batch.mask) > 0
    junk = {
        name: jnp.where(batch.mask > 0, getattr(batch, name), 50.0) for name in ("advantage", "value_target", "value")
    }
    whole = loss_and_gradient(module, batch.replace(**junk), entropy_coef=0.3)
    only_used = loss_and_gradient(module, jax.tree.map(lambda x: x[used], batch), entropy_coef=0.3)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-15), whole, only_used)


@every_algorithm
def test_with_no_sample_counted_loss_and_gradient_are_zero(module):
    batch = random_batch(8)
    nothing = loss_and_gradient(module, batch.replace(mask=jnp.zeros_like(batch.mask)), entropy_coef=0.3)
    assert all(np.all(np.asarray(leaf) == 0.0) for leaf in jax.tree.leaves(nothing))
