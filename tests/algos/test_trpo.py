"""TRPO against NumPy: every update is replayed from the parameters before and after it and from its batch, which is read
through the loss, an argument (proofs.md, row 5).

The networks share their torso between policy and value: nothing but the algorithm keeps the two apart.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import probes
import pytest
from compiling import AS_COMMANDS
from flax import linen as nn
from flax import struct

import envs
from algos import trpo
from algos.core.distributions import Categorical, DiagonalGaussian
from envs import Box, Discrete, Env, TimeStep

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(5)
LIMIT = 0.5
ACTIONS = {"discrete": Discrete(2), "continuous": Box((-LIMIT,), (LIMIT,))}
both_kinds = pytest.mark.parametrize("kind", ACTIONS)


class SharedTorso(nn.Module):
    """Policy and value on one hidden layer."""

    kind: str
    value_scale: float = 1.0

    @nn.compact
    def __call__(self, observation):
        hidden = nn.tanh(nn.Dense(6, param_dtype=float, name="torso")(observation))
        value = self.value_scale * nn.Dense(1, param_dtype=float, name="value")(hidden)[..., 0]
        head = nn.Dense(2 if self.kind == "discrete" else 1, param_dtype=float, name="policy")(hidden)
        if self.kind == "discrete":
            return Categorical(head), value
        log_std = self.param("log_std", nn.initializers.constant(-0.3), (1,), float)
        return DiagonalGaussian(head, jnp.broadcast_to(log_std, head.shape)), value


def steered_walk(kind, reward=None) -> Env:
    """Returns a walk that begins anywhere, is pushed by the actions and ends far out or after six steps; its reward
    depends on place and push, or is always `reward`. Nothing but its beginning is random: that compiles quickly."""

    def reset(key):
        place = jax.random.normal(key, (2,))
        return (jnp.int32(0), place), place

    def step(key, state, action):
        time, place = state
        push = 2.0 * action - 1.0 if kind == "discrete" else action[0]
        reached = 0.9 * jnp.stack([place[0] + 0.5 * push, place[1] - 0.4 * place[0]])
        gain = jnp.asarray(place[0] * push if reward is None else reward, jnp.float32)
        return (time + 1, reached), TimeStep(reached, gain, jnp.linalg.norm(reached) > 2.0, time >= 5)

    return Env("steered_walk", reset, step, (2,), ACTIONS[kind], 6)


def recording(loss):
    """Returns the loss with the batch among its metrics."""

    def recorded(params, apply, batch, hparams):
        value, metrics = loss(params, apply, batch, hparams)
        return value, {**metrics, "batch": batch}

    return recorded


def small(**fields):
    return trpo.Config(**{"num_envs": 4, "num_steps": 8, "value_epochs": 2, "value_minibatches": 2, **fields})


def updates_of(kind, config, num_updates, loss=trpo.loss):
    """Returns the function (hparams, seed, reward) -> (states before, states after, metrics), each [num_updates, ...].

    Without rewards there are no values either: then every advantage is 0.
    """

    def run(hparams, seed, reward=None):
        network = SharedTorso(kind, 1.0 if reward is None else jnp.sign(reward))
        algorithm = trpo.make(steered_walk(kind, reward), config, loss=recording(loss), network=network)

        def update(state, _):
            after, metrics = algorithm.step(state, hparams)
            return after, (kept(state), kept(after), metrics)

        return jax.lax.scan(update, algorithm.init(jax.random.key(seed), hparams), None, num_updates)[1]

    return run


@functools.cache
def compiled(kind, config, num_updates=1, loss=trpo.loss):
    return jax.jit(updates_of(kind, config, num_updates, loss), compiler_options=AS_COMMANDS)


def kept(state):
    return {"params": state.params, "value_params": state.value_params, "opt_state": state.opt_state}


def one_update(kind, config, hparams, loss=trpo.loss):
    """Returns (state before, state after, metrics) of the first update, in NumPy."""
    return jax.tree.map(lambda x: np.asarray(x)[0], compiled(kind, config, loss=loss)(hparams, 0))


# The network, its distributions and their curvature in NumPy


def forward(params, observation):
    """Returns (logits, or mean and log_std; value); `params` may be complex."""
    layers = params["params"]
    hidden = np.tanh(observation @ layers["torso"]["kernel"] + layers["torso"]["bias"])
    head = hidden @ layers["policy"]["kernel"] + layers["policy"]["bias"]
    value = hidden @ layers["value"]["kernel"] + layers["value"]["bias"]
    return (head, layers["log_std"]) if "log_std" in layers else head, value[:, 0]


def log_prob_of(outputs, action):
    if isinstance(outputs, tuple):
        mean, log_std = (x[..., 0] for x in outputs)
        return -0.5 * ((action - mean) / np.exp(log_std)) ** 2 - log_std - 0.5 * np.log(2 * np.pi)
    log_probs = outputs - np.log(np.sum(np.exp(outputs), axis=1, keepdims=True))
    return np.take_along_axis(log_probs, action[:, None], axis=1)[:, 0]


def log_prob(params, observation, action):
    return log_prob_of(forward(params, observation)[0], action)


def support(params, observation):
    """Returns (action [N], its weight [N]) for every action, or for the nodes of a rule that is exact for the tests."""
    outputs, _ = forward(params, observation)
    if isinstance(outputs, tuple):
        mean, log_std = (x[..., 0] for x in outputs)
        return [(mean + np.exp(log_std) * z, w / WEIGHTS.sum() * np.ones_like(mean)) for z, w in zip(NODES, WEIGHTS)]
    actions = [np.full(len(observation), action) for action in (0, 1)]
    return [(action, np.exp(log_prob_of(outputs, action))) for action in actions]


def kl(old, new, observation):
    """Returns the mean KL(old || new)."""
    return sum(
        np.mean(weight * (log_prob(old, observation, action) - log_prob(new, observation, action)))
        for action, weight in support(old, observation)
    )


def entropy(params, observation):
    return -sum(
        np.mean(weight * log_prob(params, observation, action)) for action, weight in support(params, observation)
    )


def taken(batch):
    """Returns the actions, [N]."""
    return batch.action if batch.action.ndim == 1 else batch.action[:, 0]


def surrogate(params, batch):
    """Returns the mean of ratio times advantage."""
    ratio = np.exp(log_prob(params, batch.observation, taken(batch)) - batch.log_prob)
    return np.mean(ratio * batch.advantage)


def flat(params):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])


def like(vector, params):
    """Returns the vector in the shape of the parameters."""
    leaves, structure = jax.tree.flatten(params)
    parts = np.split(vector, np.cumsum([leaf.size for leaf in leaves])[:-1])
    return jax.tree.unflatten(structure, [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves)])


def complex_step(function, params):
    """Returns the Jacobian [..., n] of a NumPy function of the parameters, exact to rounding."""
    vector, width = flat(params), 1e-30
    columns = [function(like(vector + 1j * width * axis, params)).imag / width for axis in np.eye(len(vector))]
    return np.stack(columns, axis=-1)


def fisher(params, observation):
    """Returns E_s E_{a ~ pi}[score score^T], [n, n]."""
    total = 0.0
    for action, weight in support(params, observation):
        scores = complex_step(lambda p, action=action: log_prob(p, observation, action), params)
        total += np.einsum("s,sn,sm->nm", weight, scores, scores) / len(observation)
    return total


def bits_equal(one, other):
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


# Every update

NUM_UPDATES = 50
DELTAS, SEEDS = np.repeat([0.003, 0.05, 5.0], 3), np.tile(np.arange(3), 3)
HASTY = small(cg_iterations=4, backtracks=2, backtrack_factor=0.5)  # so that a search also fails
HASTY_DAMPING = 0.001


@functools.cache
def history(kind):
    """Returns (delta, state before, state after, metrics) of every update of nine runs, in NumPy."""

    hparams = jax.vmap(lambda max_kl: trpo.HParams(max_kl=max_kl, damping=HASTY_DAMPING, value_learning_rate=3e-3))(
        DELTAS
    )
    run = probes.quick_jit(jax.vmap(updates_of(kind, HASTY, NUM_UPDATES)))
    runs = jax.tree.map(np.asarray, run(hparams, SEEDS))
    return [
        (DELTAS[i], *jax.tree.map(lambda x, i=i, t=t: x[i, t], runs)) for i in range(9) for t in range(NUM_UPDATES)
    ]  # fmt: skip


@both_kinds
def test_every_update_keeps_the_kl_within_delta_and_the_surrogate_no_worse_or_restores_the_bits(float64, kind):
    outcomes, closest = [], 0.0
    for delta, before, after, metrics in history(kind):
        batch = metrics["batch"]
        realised = kl(before["params"], after["params"], batch.observation)
        gain = surrogate(after["params"], batch) - surrogate(before["params"], batch)
        np.testing.assert_allclose(metrics["kl"], realised, rtol=1e-7, atol=1e-13)
        np.testing.assert_allclose(metrics["surrogate_improvement"], gain, atol=1e-12)
        if metrics["accepted_fraction"] == 0.0:
            assert bits_equal(before["params"], after["params"])
            outcomes.append("restored")
            continue
        assert realised <= delta * (1 + 1e-9)
        assert gain >= -1e-12
        assert not bits_equal(before["params"], after["params"]) or metrics["gradient_norm"] == 0.0
        assert metrics["accepted_fraction"] == 0.5 ** metrics["backtracks"]
        outcomes.append(int(metrics["backtracks"]))
        closest = max(closest, realised / delta)
    assert min(outcomes.count(outcome) for outcome in (0, 1, "restored")) > 4
    assert closest > 0.9


@both_kinds
def test_actions_and_their_log_probs_are_those_of_the_policys_parameters_and_values_those_of_the_critics(float64, kind):
    apart = 0.0
    for _, before, _, metrics in history(kind)[::7]:
        batch = metrics["batch"]
        expected = log_prob(before["params"], batch.observation, taken(batch))
        np.testing.assert_allclose(batch.log_prob, expected, atol=1e-9)
        np.testing.assert_allclose(batch.value, forward(before["value_params"], batch.observation)[1], atol=1e-9)
        apart = max(apart, np.abs(batch.value - forward(before["params"], batch.observation)[1]).max())
    assert apart > 0.1


# One step


def natural_step(params, batch, max_kl, damping, observation, objective=surrogate):
    """Returns sqrt(2 delta / g^T H^-1 g) H^-1 g with H = F + damping I, dense."""
    gradient = complex_step(lambda p: np.asarray(objective(p, batch)), params)
    natural = np.linalg.solve(fisher(params, observation) + damping * np.eye(gradient.size), gradient)
    return np.sqrt(2 * max_kl / (gradient @ natural)) * natural


@struct.dataclass
class WithEntropy(trpo.HParams):
    entropy_coef: float = 0.0


def loss_with_entropy(params, apply, batch, hparams):
    value, _ = trpo.loss(params, apply, batch, hparams)
    bonus = jnp.mean(apply(params, batch.observation)[0].entropy())
    return value - hparams.entropy_coef * bonus, {"bonus": bonus, "coef": hparams.entropy_coef * jnp.ones(())}


DAMPING = 0.05
NATURAL = WithEntropy(max_kl=0.3, damping=DAMPING)
GAUSS_NEWTON = small(line_search=False, cg_iterations=200, fisher_stride=2)
KL_HESSIAN = small(line_search=False, cg_iterations=200, fisher_stride=2, fisher_form="kl-hessian")
EVERY_STATE = small(line_search=False, cg_iterations=200)


def natural_update(kind, config, hparams=NATURAL):
    return one_update(kind, config, hparams, loss_with_entropy)


def moved(before, after):
    return flat(after["params"]) - flat(before["params"])


def assert_same_step(step, expected):
    """Conjugate gradients stop at a residual of 1e-5 of the gradient."""
    np.testing.assert_allclose(step, expected, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize(
    "kind, config", [("discrete", GAUSS_NEWTON), ("discrete", KL_HESSIAN), ("continuous", EVERY_STATE)]
)
def test_without_line_search_the_full_natural_step_is_taken_in_the_fisher_matrix_of_every_kth_state(
    float64, kind, config
):
    before, after, metrics = natural_update(kind, config)
    batch, stride, step = metrics["batch"], config.fisher_stride, moved(before, after)
    damped = fisher(before["params"], batch.observation[::stride]) + DAMPING * np.eye(step.size)
    np.testing.assert_allclose(step @ damped @ step / 2, 0.3, rtol=1e-9)
    expected = natural_step(before["params"], batch, 0.3, DAMPING, batch.observation[::stride])
    assert_same_step(step, expected)
    of_other_states = natural_step(before["params"], batch, 0.3, DAMPING, batch.observation[:: 3 - stride])
    assert np.abs(step - of_other_states).max() > 0.01 * np.abs(expected).max()
    realised = kl(before["params"], after["params"], batch.observation)
    np.testing.assert_allclose(metrics["kl"], realised, rtol=1e-9)
    assert abs(realised - kl(after["params"], before["params"], batch.observation)) > 1e-3
    assert metrics["accepted_fraction"] == 1.0 and metrics["backtracks"] == 0.0


def test_both_forms_of_the_product_give_the_same_update(float64):
    one, other = (natural_update("discrete", config)[1]["params"] for config in (GAUSS_NEWTON, KL_HESSIAN))
    np.testing.assert_allclose(flat(one), flat(other), atol=1e-8)


@both_kinds
def test_the_loss_given_is_the_one_whose_natural_step_is_taken(float64, kind):
    config = GAUSS_NEWTON if kind == "discrete" else EVERY_STATE
    entropies = []
    for coef in (0.0, 20.0):
        hparams = WithEntropy(max_kl=0.005, damping=0.1, entropy_coef=coef)
        before, after, metrics = natural_update(kind, config, hparams)
        batch = metrics["batch"]

        def objective(params, batch, coef=coef):
            return surrogate(params, batch) + coef * entropy(params, batch.observation)

        states = batch.observation[:: config.fisher_stride]
        assert_same_step(moved(before, after), natural_step(before["params"], batch, 0.005, 0.1, states, objective))
        gain = objective(after["params"], batch) - objective(before["params"], batch)
        np.testing.assert_allclose(metrics["surrogate_improvement"], gain, rtol=1e-8)
        np.testing.assert_allclose(metrics["bonus"], entropy(before["params"], batch.observation), rtol=1e-9)
        np.testing.assert_allclose(metrics["loss"], -objective(before["params"], batch), rtol=1e-9, atol=1e-14)
        assert metrics["coef"] == coef
        entropies.append(entropy(after["params"], batch.observation))
    assert entropies[1] > entropies[0] + 1e-3


def test_one_compiled_update_serves_every_delta_and_damping(float64):
    steps = []
    for max_kl, damping in ((0.3, 0.05), (0.003, 0.05), (0.3, 5.0)):
        before, after, metrics = natural_update("continuous", EVERY_STATE, WithEntropy(max_kl=max_kl, damping=damping))
        steps.append(moved(before, after))
        batch = metrics["batch"]
        assert_same_step(steps[-1], natural_step(before["params"], batch, max_kl, damping, batch.observation))
    np.testing.assert_allclose(steps[1], 0.1 * steps[0], rtol=1e-9, atol=1e-15)
    assert compiled("continuous", EVERY_STATE, loss=loss_with_entropy)._cache_size() == 1


@both_kinds
def test_few_iterations_of_conjugate_gradients_report_their_residual_and_still_give_a_step_of_full_length(
    float64, kind
):
    residuals = []
    for delta, before, after, metrics in history(kind)[::NUM_UPDATES] + history(kind)[3::NUM_UPDATES]:
        if metrics["accepted_fraction"] == 0.0:
            continue
        batch, full_step = metrics["batch"], moved(before, after) / metrics["accepted_fraction"]
        damped = fisher(before["params"], batch.observation) + HASTY_DAMPING * np.eye(full_step.size)
        np.testing.assert_allclose(full_step @ damped @ full_step / 2, delta, rtol=1e-7)
        gradient = complex_step(lambda p, batch=batch: np.asarray(surrogate(p, batch)), before["params"])
        np.testing.assert_allclose(metrics["gradient_norm"], np.linalg.norm(gradient), rtol=1e-7)
        solution = full_step * (full_step @ gradient) / (full_step @ damped @ full_step)
        residuals.append(np.sum((gradient - damped @ solution) ** 2) / np.sum(gradient**2))
        np.testing.assert_allclose(metrics["cg_residual"], residuals[-1], rtol=1e-3, atol=1e-9)
    assert len(residuals) > 9 and max(residuals) > 1e-4


SEARCHING = small(cg_iterations=200, value_epochs=1, value_minibatches=1)


@both_kinds
def test_the_line_search_takes_the_first_fraction_of_the_full_step_that_meets_both_conditions(float64, kind):
    met = set()
    for max_kl, damping in ((0.001, 1.0), (0.3, 0.01), (2.0, 0.01), (20.0, 0.01)):
        before, after, metrics = one_update(kind, SEARCHING, trpo.HParams(max_kl=max_kl, damping=damping))
        batch, start = metrics["batch"], before["params"]
        full = natural_step(start, batch, max_kl, damping, batch.observation)
        tried = [like(flat(start) + 0.8**k * full, start) for k in range(10)]
        allowed = [
            kl(start, params, batch.observation) <= max_kl and surrogate(params, batch) >= surrogate(start, batch)
            for params in tried
        ]
        first = allowed.index(True)
        assert metrics["backtracks"] == first
        np.testing.assert_allclose(metrics["accepted_fraction"], 0.8**first, rtol=1e-12)
        assert_same_step(moved(before, after), 0.8**first * full)
        met.add(first)
    assert 0 in met and len(met) > 1


# Policy and critic are kept apart


def torso(params):
    return params["params"]["torso"]["kernel"]


@both_kinds
def test_a_critic_update_never_moves_the_policy_nor_a_policy_update_the_critic(float64, kind):
    config, base = SEARCHING, trpo.HParams(max_kl=0.01, value_learning_rate=0.01)
    start, after, _ = one_update(kind, config, base)
    assert bits_equal(start["params"], start["value_params"])
    assert np.abs(torso(after["params"]) - torso(start["params"])).max() > 1e-4
    assert np.abs(torso(after["value_params"]) - torso(start["params"])).max() > 1e-3
    _, other_critic, _ = one_update(kind, config, base.replace(value_learning_rate=0.3))
    assert bits_equal(other_critic["params"], after["params"])
    assert not bits_equal(other_critic["value_params"], after["value_params"])
    _, other_policy, _ = one_update(kind, config, base.replace(max_kl=0.1))
    assert bits_equal(other_policy["value_params"], after["value_params"])
    assert not bits_equal(other_policy["params"], after["params"])
    _, no_critic, _ = one_update(kind, config, base.replace(value_learning_rate=0.0))
    assert bits_equal(no_critic["value_params"], start["value_params"])
    assert bits_equal(no_critic["params"], after["params"])


def test_the_policy_that_acts_is_that_of_the_policys_parameters(float64):
    algorithm = trpo.make(steered_walk("discrete"), small(), network=SharedTorso("discrete"))

    def run(key):
        state = algorithm.init(key, trpo.HParams())
        state = state.replace(value_params=jax.tree.map(jnp.cos, state.params))
        observation = jax.random.normal(key, (50, 2))
        return state.params, observation, algorithm.act(state, key, observation, False)

    params, observation, action = jax.tree.map(np.asarray, probes.quick_jit(run)(jax.random.key(0)))
    np.testing.assert_array_equal(action, forward(params, observation)[0].argmax(axis=1))
    assert 0 < action.sum() < 50


def value_error(params, batch):
    return np.mean((forward(params, batch.observation)[1] - batch.value_target) ** 2) / 2


@both_kinds
def test_the_first_critic_step_is_adams_down_the_gradient_of_the_squared_error_to_the_targets(float64, kind):
    before, after, metrics = one_update(kind, SEARCHING, trpo.HParams(value_learning_rate=0.01))
    batch = metrics["batch"]
    gradient = complex_step(lambda p: np.asarray(value_error(p, batch)), before["value_params"])
    step = flat(after["value_params"]) - flat(before["value_params"])
    np.testing.assert_allclose(step, -0.01 * gradient / (np.abs(gradient) + 1e-5), atol=1e-9)
    np.testing.assert_allclose(metrics["value_loss"], value_error(before["value_params"], batch), rtol=1e-9)
    assert np.all((step == 0.0) == (gradient == 0.0)) and np.sum(step == 0.0) >= 2


@both_kinds
def test_the_value_function_comes_closer_to_its_targets_in_as_many_steps_as_configured(float64, kind):
    closer = []
    for _, before, after, metrics in history(kind):
        errors = [value_error(state["value_params"], metrics["batch"]) for state in (before, after)]
        closer.append(errors[1] < errors[0])
        counts = [
            [int(x) for x in jax.tree.leaves(state["opt_state"]) if np.issubdtype(x.dtype, np.integer)]
            for state in (before, after)
        ]
        assert counts[1] and counts[1] == [count + 4 for count in counts[0]]
    assert np.mean(closer) > 0.8


# Nothing to learn from


# The natural policy gradient: no line search refuses a step to no number.
UNLEARNED = small(line_search=False)


def test_advantages_of_zero_leave_the_bits_of_the_policy_and_give_numbers():
    before, after, metrics = jax.tree.map(np.asarray, compiled("discrete", UNLEARNED, 100)(trpo.HParams(), 0, 0.0))
    assert np.all(metrics["batch"].advantage == 0.0)
    assert bits_equal(before["params"], after["params"])
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves((after, metrics)))
    assert np.all(metrics["gradient_norm"] == 0.0) and np.all(metrics["kl"] == 0.0)


def test_constant_rewards_give_numbers_for_a_hundred_updates():
    hparams = trpo.HParams(gamma=0.5, value_learning_rate=0.03)
    _, after, metrics = compiled("discrete", UNLEARNED, 100)(hparams, 0, 1.0)
    assert torso(after["params"]).dtype == jnp.float32
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves((after, metrics)))
    assert np.abs(metrics["batch"].advantage[-1]).max() > 0.0


# Continuous actions


def assert_density_of_the_unclipped(batch):
    mean, log_std = batch.policy.mean, batch.policy.log_std
    scaled = (batch.action - mean) / np.exp(log_std)
    density = np.sum(-0.5 * scaled**2 - log_std - 0.5 * np.log(2 * np.pi), axis=1)
    np.testing.assert_allclose(batch.log_prob, density, rtol=1e-4, atol=1e-5)


def test_the_action_stored_is_the_one_sampled_and_the_one_sent_is_scaled_and_clipped(float64):
    clipped = []
    for _, _, _, metrics in history("continuous")[::7]:
        batch = metrics["batch"]
        sent = LIMIT * np.clip(batch.action[:, 0], -1.0, 1.0)
        np.testing.assert_allclose(batch.reward, batch.observation[:, 0] * sent, rtol=1e-6)
        assert_density_of_the_unclipped(batch)
        clipped.append(np.mean(np.abs(batch.action) > 1.0))
    assert np.mean(clipped) > 0.1


def test_a_gaussian_policy_takes_one_step_on_pendulum():
    config = trpo.Config(num_envs=8, num_steps=32, hidden_sizes=(8,))
    algorithm = trpo.make(envs.make("Pendulum-v1"), config, loss=recording(trpo.loss))

    def first_step(key):
        state = algorithm.init(key, trpo.HParams())
        return state.params, *algorithm.step(state, trpo.HParams())

    before, after, metrics = probes.quick_jit(first_step)(jax.random.key(0))
    batch = jax.tree.map(np.asarray, metrics["batch"])
    cosine, sine, speed = batch.observation.T
    torque = 2.0 * np.clip(batch.action[:, 0], -1.0, 1.0)
    reward = -(np.arctan2(sine, cosine) ** 2 + 0.1 * speed**2 + 0.001 * torque**2)
    np.testing.assert_allclose(batch.reward, reward, rtol=1e-4, atol=1e-4)
    assert np.abs(batch.action).max() > 1.0
    assert_density_of_the_unclipped(batch)
    assert 0.0 < metrics["kl"] <= 0.01 * (1 + 1e-3) and metrics["surrogate_improvement"] > 0.0
    assert np.all(before["params"]["log_std"] != after.params["params"]["log_std"])


# Configuration


@pytest.mark.parametrize(
    "field",
    ["num_envs", "num_steps", "cg_iterations", "backtracks", "fisher_stride", "value_epochs", "value_minibatches"],
)
@pytest.mark.parametrize("bad", [0, -1, 2.5])
def test_sizes_that_are_no_positive_integers_raise(field, bad):
    with pytest.raises(ValueError, match=f"{field} must be a positive integer"):
        trpo.make(steered_walk("discrete"), trpo.Config(**{field: bad}))


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"hidden_sizes": (8, 0)}, "hidden_sizes must be positive integers"),
        ({"backtrack_factor": 0.0}, "backtrack_factor must be between 0 and 1, not 0.0"),
        ({"backtrack_factor": 1.0}, "backtrack_factor must be between 0 and 1, not 1.0"),
        ({"fisher_form": "sampled"}, "fisher_form must be one of gauss-newton, kl-hessian, not 'sampled'"),
        ({"num_envs": 4, "num_steps": 8, "value_minibatches": 3}, "value_minibatches=3 must divide .* = 32"),
    ],
)
def test_a_configuration_that_cannot_be_raises(fields, message):
    with pytest.raises(ValueError, match=message):
        trpo.make(steered_walk("discrete"), trpo.Config(**fields))


def test_one_update_takes_as_many_environment_steps_as_it_says():
    assert trpo.make(steered_walk("discrete"), small()).steps_per_update == 32
