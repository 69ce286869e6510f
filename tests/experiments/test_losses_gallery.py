"""The losses of the gallery: value and gradient against NumPy, their parent in the limit, and a short training run.

A network is a table: one row of logits and one value, or one row of Q, for each of a few states. The oracles are NumPy
functions of the tables; their gradients are central differences.
"""

import functools
import importlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, logsumexp, softmax

import envs
from algos import a2c, dqn, ppo, reinforce
from algos.core.distributions import Categorical, Quantiles
from algos.core.types import Batch, ReplayBatch
from experiments.lab.outside.user_loss import load_loss
from experiments.losses import ppo_kl as ppo_kl_file
from experiments.losses.conservative import conservative
from experiments.losses.dpo_drift import dpo_drift
from experiments.losses.entropy_reinforce import entropy_reinforce
from experiments.losses.importance_weighted import importance_weighted
from experiments.losses.munchausen import munchausen
from experiments.losses.ppo_kl import ppo_kl
from experiments.losses.quantile import NUM_QUANTILES, quantile
from experiments.losses.spo import spo

GALLERY = {
    "spo": ppo, "dpo_drift": ppo, "importance_weighted": ppo, "ppo_kl": ppo,
    "munchausen": dqn, "quantile": dqn, "conservative": dqn, "entropy_reinforce": reinforce,
}  # fmt: skip
STATES, ACTIONS, SIZE = 5, 3, 48
VALUE_COEF, ENTROPY_COEF = 0.5, 0.03


def close(actual, expected, tolerance=1e-12):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance), actual, expected)


def differences(function, tables: dict, width=1e-5) -> dict:
    """Returns the gradient of a scalar NumPy function of a dictionary of tables."""
    gradient = {name: np.zeros_like(table) for name, table in tables.items()}
    for name, table in tables.items():
        for index in np.ndindex(table.shape):
            offset = np.zeros_like(table)
            offset[index] = width
            up, down = ({**tables, name: table + sign * offset} for sign in (1, -1))
            gradient[name][index] = (function(up) - function(down)) / (2 * width)
    return gradient


# Compiling takes longer than running here.
quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@partial(quick_jit, static_argnums=(0, 2))
def value_and_gradient(loss, params, apply, batch, hparams):
    """Returns (value, metrics, gradient)."""
    (value, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(params, apply, batch, hparams)
    return value, metrics, gradient


def hyperparameters(loss, **fields):
    """Returns those that the loss declares."""
    return load_loss(f"experiments.losses.{loss.__name__}:{loss.__name__}").hparams_class(**fields)


def assert_is(loss, oracle, params, apply, batch, hparams):
    """Asserts that the loss has the value and the gradient of the oracle, a NumPy function of the tables."""
    value, metrics, gradient = value_and_gradient(loss, params, apply, batch, hparams)
    close(value, oracle(params))
    close(gradient, differences(oracle, params), 1e-8)
    assert max(np.abs(table).max() for table in gradient.values()) > 1e-3
    return metrics


# On the policy


def actor(params, observation):
    return Categorical(params["logits"][observation]), params["values"][observation]


@functools.cache
def on_policy(moved: float = 0.7):
    """Returns (tables, batch [SIZE]); the policy has moved since the rollout, so that all kinds of ratios occur."""
    generator = np.random.default_rng(0)
    tables = {"logits": generator.normal(size=(STATES, ACTIONS)), "values": generator.normal(size=STATES)}
    observation, action = generator.integers(STATES, size=SIZE), generator.integers(ACTIONS, size=SIZE)
    old = Categorical(jnp.asarray(tables["logits"] + moved * generator.normal(size=(STATES, ACTIONS)))[observation])
    advantage, value_target = generator.normal(size=(2, SIZE))
    value, flags = np.zeros(SIZE), np.zeros(SIZE, bool)
    batch = Batch(
        observation=observation, action=action, policy=old, log_prob=old.log_prob(action), value=value, reward=value,
        next_observation=observation, next_value=value, terminated=flags, truncated=flags, advantage=advantage,
        value_target=value_target, mask=(generator.random(SIZE) < 0.8).astype(float),
    )  # fmt: skip
    return tables, batch


def numpy_loss(policy_loss, batch, tables) -> float:
    """Returns PPO's loss with another policy loss, a function (log pi(a), log pi of every action) of one sample."""
    total = 0.0
    for i in np.flatnonzero(batch.mask):
        log_probs = log_softmax(tables["logits"][batch.observation[i]])
        error = tables["values"][batch.observation[i]] - batch.value_target[i]
        entropy = -np.sum(np.exp(log_probs) * log_probs)
        total += policy_loss(i, log_probs[batch.action[i]], log_probs)
        total += VALUE_COEF * error**2 / 2 - ENTROPY_COEF * entropy
    return total / np.sum(batch.mask)


def spo_of(batch, hparams, i, log_prob, log_probs):
    ratio, advantage = np.exp(log_prob - batch.log_prob[i]), batch.advantage[i]
    return -(ratio * advantage - abs(advantage) / (2 * hparams.clip) * (ratio - 1) ** 2)


def dpo_drift_of(batch, hparams, i, log_prob, log_probs):
    log_ratio, advantage = log_prob - batch.log_prob[i], batch.advantage[i]
    x, scale = ((np.exp(log_ratio) - 1), hparams.alpha) if advantage >= 0 else (log_ratio, hparams.beta)
    drift = max(0.0, x * advantage - scale * np.tanh(x * advantage / scale))
    return -(np.exp(log_ratio) * advantage - drift)


def kl_of(batch, i, log_probs):
    old = log_softmax(np.asarray(batch.policy.logits[i]))
    return np.sum(np.exp(old) * (old - log_probs))


def kl_penalised(batch, beta, i, log_prob, log_probs):
    return -(np.exp(log_prob - batch.log_prob[i]) * batch.advantage[i] - beta * kl_of(batch, i, log_probs))


SHARED = dict(value_coef=VALUE_COEF, entropy_coef=ENTROPY_COEF)


@pytest.mark.parametrize("loss, of_sample", [(spo, spo_of), (dpo_drift, dpo_drift_of)])
def test_a_loss_in_place_of_the_clip_and_its_gradient_equal_a_numpy_loop(float64, loss, of_sample):
    tables, batch = on_policy()
    hparams = hyperparameters(loss, clip=0.3, **SHARED)
    oracle = partial(numpy_loss, partial(of_sample, batch, hparams), batch)
    metrics = assert_is(loss, oracle, tables, actor, batch, hparams)
    ratio = np.exp(actor(tables, batch.observation)[0].log_prob(batch.action) - batch.log_prob)
    assert (ratio > 1.3).any() and (ratio < 0.7).any()
    kls = [kl_of(batch, i, log_softmax(tables["logits"][batch.observation[i]])) for i in np.flatnonzero(batch.mask)]
    close(metrics["kl"], np.mean(kls))


def test_importance_weights_are_cut_at_rho_bar_and_constant(float64):
    tables, batch = on_policy()
    hparams = hyperparameters(importance_weighted, **SHARED)
    policy, _ = actor(tables, batch.observation)
    weights = np.minimum(hparams.rho_bar, np.exp(np.asarray(policy.log_prob(batch.action)) - batch.log_prob))
    assert (weights == 1.0).any() and (weights < 0.9).any()
    oracle = partial(numpy_loss, lambda i, log_prob, _: -weights[i] * batch.advantage[i] * log_prob, batch)
    metrics = assert_is(importance_weighted, oracle, tables, actor, batch, hparams)
    np.testing.assert_allclose(metrics["weight"], weights[batch.mask > 0].mean(), rtol=1e-12)


@pytest.mark.parametrize("loss", [spo, dpo_drift, importance_weighted])
def test_at_the_old_policy_the_gradient_is_that_of_a2c(float64, loss):
    tables, batch = on_policy(moved=0.0)
    hparams = hyperparameters(loss, **SHARED)
    expected = value_and_gradient(a2c.loss, tables, actor, batch, hparams)[2]
    close(value_and_gradient(loss, tables, actor, batch, hparams)[2], expected, 1e-10)
    assert np.abs(expected["logits"]).max() > 1e-2


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_spos_gradient_is_zero_at_its_best_ratio_and_leads_back_beyond(float64, sign):
    tables, batch = on_policy(moved=0.0)
    one = jax.tree.map(lambda x: x[:1], batch).replace(advantage=np.array([sign]), mask=np.ones(1))
    hparams = ppo.HParams(clip=0.2, value_coef=0.0, entropy_coef=0.0)

    def slope(distance):
        """Returns how the loss grows with the log-probability favoured, at a ratio that far on its side of 1."""
        moved = one.replace(log_prob=one.log_prob - np.log(1.0 + sign * distance))
        gradient = value_and_gradient(spo, tables, actor, moved, hparams)[2]["logits"]
        return sign * gradient[one.observation[0], one.action[0]]

    assert abs(slope(0.2)) < 1e-12
    assert slope(0.0) < slope(0.1) < -1e-3 and slope(0.3) > 1e-3


# The penalty's weight


def penalised(params, observation):
    return actor(params["params"]["network"], observation)


def with_doublings(tables, doublings):
    return {"params": {"network": tables, "doublings": np.asarray(doublings)}}


KL = ppo_kl_file.HParams(beta=0.8, beta_rate=0.25, learning_rate=0.01, **SHARED)


@pytest.mark.parametrize("doublings, beta", [(0.0, 0.8), (0.08, 3.2), (-0.04, 0.4), (-9e9, 0.8 / 2**30)])
def test_ppo_kl_is_the_penalised_surrogate_with_beta_doubled_as_often_as_its_parameter_says(float64, doublings, beta):
    tables, batch = on_policy()
    oracle = partial(numpy_loss, partial(kl_penalised, batch, beta), batch)
    value, metrics, gradient = value_and_gradient(ppo_kl, with_doublings(tables, doublings), penalised, batch, KL)
    close(value, oracle(tables))
    close(metrics["beta"], beta)
    close(gradient["params"]["network"], differences(oracle, tables), 1e-8)


@pytest.mark.parametrize(
    "targets, rise", [(0.0, -1.0), (0.5, -0.5), (1.0, 0.0), (4.0, 3.0), (11.0, 10.0), (99.0, 10.0)]
)
def test_beta_rises_by_how_many_targets_the_kl_exceeds_the_target_up_to_ten(float64, targets, rise):
    tables, batch = on_policy(moved=0.0 if targets == 0.0 else 0.7)
    params = with_doublings(tables, 0.3)
    kl = value_and_gradient(ppo_kl, params, penalised, batch, KL)[1]["kl"]
    hparams = KL.replace(kl_target=kl / targets if targets else 0.01)
    gradient = value_and_gradient(ppo_kl, params, penalised, batch, hparams)[2]
    np.testing.assert_allclose(gradient["params"]["doublings"], -rise * ppo_kl_file.PULL, atol=1e-14)


def test_with_beta_0_the_gradient_at_the_old_policy_is_that_of_a2c_and_with_a_beta_it_is_too(float64):
    tables, batch = on_policy(moved=0.0)
    expected = value_and_gradient(a2c.loss, tables, actor, batch, KL)[2]
    for beta in (0.0, 5.0):
        params = with_doublings(tables, 0.0)
        gradient = value_and_gradient(ppo_kl, params, penalised, batch, KL.replace(beta=beta))[2]
        close(gradient["params"]["network"], expected, 1e-10)


# Entropy as a reward


@functools.cache
def rollout_batch():
    """Returns (tables, batch [T, B]) with episodes that end by themselves, by the time limit and not at all."""
    tables, flat = on_policy(moved=0.0)
    batch = jax.tree.map(lambda x: np.asarray(x).reshape(8, 6, *x.shape[1:]), flat)
    generator = np.random.default_rng(3)
    terminated, truncated = generator.random((2, 8, 6)) < 0.2
    return tables, batch.replace(terminated=terminated, truncated=truncated)


ENTROPY = dict(temperature=0.4, gamma=0.9, **SHARED)


def test_entropy_reinforce_weighs_by_the_surprise_to_come_within_the_episode(float64):
    tables, batch = rollout_batch()
    hparams = hyperparameters(entropy_reinforce, **ENTROPY)
    surprise = np.zeros((8, 6))
    for t, b in np.ndindex(8, 6):
        for k in range(t, 8):
            surprise[t, b] -= 0.9 ** (k - t) * batch.log_prob[k, b]
            if batch.terminated[k, b] or batch.truncated[k, b]:
                break
    average = surprise[batch.mask > 0].mean()
    weight = (batch.advantage + 0.4 * (surprise - average)).reshape(-1)
    flat = jax.tree.map(lambda x: x.reshape(SIZE, *x.shape[2:]), batch)
    oracle = partial(numpy_loss, lambda i, log_prob, _: -weight[i] * log_prob, flat)
    metrics = assert_is(entropy_reinforce, oracle, tables, actor, batch, hparams)
    np.testing.assert_allclose(metrics["surprise"], average, rtol=1e-12)
    assert np.abs(surprise + batch.log_prob).max() > 0.5


def test_entropy_reinforce_climbs_the_entropy_of_whole_episodes(float64):
    # Every sequence of 3 actions from state 0; the state says what was done before, so that entropy has a future.
    hparams = hyperparameters(entropy_reinforce, temperature=1.0, gamma=1.0, value_coef=0.0)
    logits = np.random.default_rng(5).normal(size=(7, 2))
    action = np.stack(np.meshgrid(*[np.arange(2)] * 3, indexing="ij")).reshape(3, 8)
    observation = np.stack([np.zeros(8, int), 1 + action[0], 3 + 2 * action[0] + action[1]])

    def chances(logits):
        return np.prod(softmax(logits, axis=-1)[observation, action], axis=0)

    def entropy(tables):
        return -np.sum(chances(tables["logits"]) * np.log(chances(tables["logits"])))

    tables = {"logits": logits, "values": np.zeros(7)}
    policy, value = actor(tables, observation)
    ends = np.broadcast_to(np.arange(3)[:, None] == 2, (3, 8))
    weights = 3 * chances(logits)  # the gradient of each trajectory's mean, weighed by its chance

    batch = Batch(
        observation=observation, action=action, policy=policy, log_prob=policy.log_prob(action), value=value,
        reward=value, next_observation=observation, next_value=value, terminated=ends,
        truncated=np.zeros((3, 8), bool), advantage=value, value_target=value, mask=np.ones((3, 8)),
    )  # fmt: skip

    def gradient_of(column):
        """Returns that of one trajectory, without the baseline: its own mean."""
        one = jax.tree.map(lambda x: np.asarray(x)[:, column : column + 1], batch)
        _, metrics, gradient = value_and_gradient(entropy_reinforce, tables, actor, one, hparams)
        one = one.replace(advantage=np.ones((3, 1)))
        baseline = metrics["surprise"] * value_and_gradient(reinforce.loss, tables, actor, one, hparams)[2]["logits"]
        return np.asarray(gradient["logits"] + baseline)

    expected = sum(weights[column] * gradient_of(column) for column in range(8))
    close(-expected, differences(entropy, {"logits": logits})["logits"], 1e-8)


def test_without_temperature_it_is_reinforce(float64):
    tables, batch = rollout_batch()
    hparams = hyperparameters(entropy_reinforce, **{**ENTROPY, "temperature": 0.0})
    ours = value_and_gradient(entropy_reinforce, tables, actor, batch, hparams)
    parent = value_and_gradient(reinforce.loss, tables, actor, batch, hparams)
    close([ours[0], ours[2]], [parent[0], parent[2]])


# Replayed


def table(params, observation):
    return jnp.asarray(params["q"])[observation]


@functools.cache
def replayed():
    """Returns (tables, batch [SIZE])."""
    generator = np.random.default_rng(1)
    online, target = generator.normal(size=(2, STATES, ACTIONS)) * 2
    batch = ReplayBatch(
        observation=generator.integers(STATES, size=SIZE),
        action=generator.integers(ACTIONS, size=SIZE),
        reward=generator.normal(size=SIZE),
        discount=generator.uniform(0.5, 1.0, size=SIZE),
        next_observation=generator.integers(STATES, size=SIZE),
        terminated=generator.random(SIZE) < 0.3,
        mask=(generator.random(SIZE) < 0.8).astype(float),
        target_params={"q": target},
    )
    return {"q": online}, batch


def mean_of_samples(of_sample, batch, tables) -> float:
    return np.mean([of_sample(i, tables["q"]) for i in np.flatnonzero(batch.mask)])


@pytest.mark.parametrize("fields", [{}, dict(alpha=0.5, tau=0.7, floor=-0.4)])
def test_munchausen_is_the_squared_error_to_its_target(float64, fields):
    tables, batch = replayed()
    hparams, target_q = hyperparameters(munchausen, **fields), batch.target_params["q"]
    tau, floored = hparams.tau, []

    def of_sample(i, q):
        log_policy = log_softmax(target_q[batch.observation[i]] / tau)
        next_log_policy = log_softmax(target_q[batch.next_observation[i]] / tau)
        soft_value = np.sum(np.exp(next_log_policy) * (target_q[batch.next_observation[i]] - tau * next_log_policy))
        sure = tau * log_policy[batch.action[i]]
        floored.append(sure < hparams.floor)
        target = batch.reward[i] + hparams.alpha * max(hparams.floor, min(0.0, sure))
        if not batch.terminated[i]:
            target += batch.discount[i] * soft_value
        return (target - q[batch.observation[i], batch.action[i]]) ** 2 / 2

    assert_is(munchausen, partial(mean_of_samples, of_sample, batch), tables, table, batch, hparams)
    assert any(floored) and not all(floored)


def test_munchausen_without_alpha_and_temperature_is_plain_dqn(float64):
    tables, batch = replayed()
    ours = value_and_gradient(munchausen, tables, table, batch, hyperparameters(munchausen, alpha=0.0, tau=0.0))
    parent = value_and_gradient(dqn.td_loss(double=False, huber=False), tables, table, batch, dqn.HParams())
    close([ours[0], ours[2]], [parent[0], parent[2]], 1e-5)
    close(ours[1]["td_error"], parent[1]["td_error"], 1e-5)


def test_conservative_adds_how_far_the_actions_not_taken_lie_above(float64):
    tables, batch = replayed()
    hparams, target_q = hyperparameters(conservative, alpha=0.8), batch.target_params["q"]
    online = tables["q"]

    def of_sample(i, q):
        row, following = q[batch.observation[i]], batch.next_observation[i]
        target = batch.reward[i]
        if not batch.terminated[i]:
            target += batch.discount[i] * target_q[following, np.argmax(online[following])]
        taken = row[batch.action[i]]
        return 0.8 * (logsumexp(row) - taken) + (target - taken) ** 2 / 2

    assert_is(conservative, partial(mean_of_samples, of_sample, batch), tables, table, batch, hparams)


def test_conservative_without_alpha_is_dqn(float64):
    tables, batch = replayed()
    ours = value_and_gradient(conservative, tables, table, batch, hyperparameters(conservative, alpha=0.0))
    parent = value_and_gradient(dqn.loss, tables, table, batch, dqn.HParams())
    close([ours[0], ours[2]], [parent[0], parent[2]])


def quantile_table(params, observation):
    return Quantiles(jnp.asarray(params["q"])[observation])


def quantile_batch(count: int):
    """Returns (tables of quantiles [STATES, ACTIONS, count], batch)."""
    _, batch = replayed()
    online, target = np.random.default_rng(2).normal(size=(2, STATES, ACTIONS, count)) * 2
    return {"q": online}, batch.replace(target_params={"q": target})


@pytest.mark.parametrize("kappa", [0.0, 0.7])
def test_quantile_is_the_quantile_huber_loss_to_the_best_next_action_by_the_mean(float64, kappa):
    tables, batch = quantile_batch(4)
    target_q = batch.target_params["q"]

    def of_sample(i, q):
        following = target_q[batch.next_observation[i]]
        best = following[np.argmax([np.mean(row) for row in following])]
        total = 0.0
        for place, one in enumerate(q[batch.observation[i], batch.action[i]]):
            for other in best:
                target = batch.reward[i] + (0.0 if batch.terminated[i] else batch.discount[i] * other)
                error, size = target - one, abs(target - one)
                far = size if kappa == 0.0 else kappa * (size - kappa / 2)
                penalty = error**2 / 2 if size <= kappa else far
                total += abs((place + 0.5) / 4 - (error < 0)) * penalty / 4
        return total

    oracle = partial(mean_of_samples, of_sample, batch)
    assert_is(quantile, oracle, tables, quantile_table, batch, hyperparameters(quantile, kappa=kappa))


def test_one_quantile_and_a_far_threshold_give_half_of_plain_dqn(float64):
    tables, batch = quantile_batch(1)
    ours = value_and_gradient(quantile, tables, quantile_table, batch, hyperparameters(quantile, kappa=1e9))
    plain = {"q": tables["q"][..., 0]}
    flat = batch.replace(target_params={"q": batch.target_params["q"][..., 0]})
    parent = value_and_gradient(dqn.td_loss(double=False, huber=False), plain, table, flat, dqn.HParams())
    close([2 * ours[0], 2 * ours[2]["q"][..., 0]], [parent[0], parent[2]["q"]])
    close({name: ours[1][name] for name in parent[1]}, parent[1])


class Fixed:
    """A network of these quantiles everywhere, [A, N]; its parameter changes nothing."""

    def __init__(self, values):
        self.values = jnp.asarray(values)

    def init(self, key, observation):
        return jnp.zeros(())

    def apply(self, params, observation):
        return Quantiles(jnp.broadcast_to(self.values, (*observation.shape[:-1], *self.values.shape)))


def test_dqn_acts_and_explores_by_the_mean_of_quantiles():
    # Action 1 has the best mean; action 0 the best lowest and median quantile and the best highest.
    network = Fixed([[0.0, 0.0, 3.0], [-1.0, -0.5, 9.0]])
    env = envs.make("CartPole-v1", max_steps_in_episode=10)
    config = dqn.Config(num_envs=2, num_steps=6, batch_size=4, buffer_size=12, warmup_steps=12)
    algorithm = dqn.make(env, config, loss=quantile, network=network)
    hparams = hyperparameters(quantile, epsilon_start=0.0, epsilon_end=0.0)
    state, _ = quick_jit(lambda key: algorithm.step(algorithm.init(key, hparams), hparams))(jax.random.key(0))
    np.testing.assert_array_equal(state.replay.data.action, 1)
    observation = jnp.zeros(4)
    assert all(algorithm.act(state, jax.random.key(0), observation, explore) == 1 for explore in (False, True))


# All of them

TINY = {
    ppo: ppo.Config(2, 16, num_epochs=2, num_minibatches=2, hidden_sizes=(4,)),
    dqn: dqn.Config(num_envs=2, num_updates=2, batch_size=8, buffer_size=40, warmup_steps=8, hidden_sizes=(4,)),
    reinforce: reinforce.Config(num_envs=2, hidden_sizes=(4,)),
}
every_loss = pytest.mark.parametrize("name", GALLERY)


@every_loss
def test_a_loss_is_found_by_its_name_and_declares_its_algorithm(name):
    found = load_loss(f"experiments.losses.{name}:{name}")
    module = importlib.import_module(f"experiments.losses.{name}")
    assert found.function is getattr(module, name)
    assert found.algorithm == GALLERY[name].__name__.rpartition(".")[2]
    assert issubclass(found.hparams_class, GALLERY[name].HParams)
    assert (found.network is not None) == (name in ("ppo_kl", "quantile"))


@functools.cache
def trained(name):
    """Returns (parameters before, parameters after 4 updates on CartPole, metrics of each)."""
    parent, found = GALLERY[name], load_loss(f"experiments.losses.{name}:{name}")
    env = envs.make("CartPole-v1", max_steps_in_episode=12)
    network = found.network(env, TINY[parent]) if found.network else None
    algorithm = parent.make(env, TINY[parent], loss=found.function, network=network)
    hparams = found.hparams_class(learning_rate=1e-2, total_steps=1000.0)

    def run(key):
        begun = algorithm.init(key, hparams)
        state, metrics = jax.lax.scan(lambda state, _: algorithm.step(state, hparams), begun, None, 4)
        return begun.params, state.params, metrics, algorithm.act(state, key, jnp.zeros(4), True)

    return quick_jit(run)(jax.random.key(0))


@every_loss
def test_a_loss_trains_on_cartpole_and_every_number_stays_finite(name):
    before, after, metrics, action = trained(name)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((after, metrics)))
    moved = [np.abs(x - y).max() for x, y in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)]
    assert min(moved) > 0.0  # every part of the network is learned, and the penalty's weight too
    assert action in (0, 1)


def test_the_quantile_network_has_its_number_of_quantiles_for_each_action():
    env = envs.make("CartPole-v1")
    network = quantile.network(env, TINY[dqn])
    params = network.init(jax.random.key(0), jnp.zeros(4))
    quantiles = network.apply(params, jnp.ones((7, 3, 4)))
    assert quantiles.values.shape == (7, 3, 2, NUM_QUANTILES)
    assert len(np.unique(quantiles.values[0, 0])) == 2 * NUM_QUANTILES


def test_beta_moves_at_its_rate_in_training():
    _, after, metrics, _ = trained("ppo_kl")
    beta = np.asarray(metrics["beta"])
    assert np.all(beta > 0) and len(np.unique(beta)) == 4
    updates = 4 * 2 * 2
    assert abs(np.log2(beta[-1])) <= updates * ppo_kl_file.HParams().beta_rate
