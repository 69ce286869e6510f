"""PPO's own parts against A2C, rlax and NumPy. What happens inside a step is read through the loss, an argument."""

import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import probes
import pytest
import rlax
from flax import struct

from algos import a2c, ppo, trpo
from algos.core import losses
from algos.core.distributions import Categorical
from algos.core.optimize import adam, annealed, env_steps, gradient_step, minibatch_epochs, permutations
from algos.core.types import Batch

WALK = probes.random_walk(6)
CLIP = 0.2


@functools.cache
def first_update(config, loss, network):
    """Returns the compiled function (hparams) -> (state before, state after, metrics) of one update."""
    algorithm = ppo.make(WALK, config, loss=loss, network=network)

    def run(hparams):
        state = algorithm.init(jax.random.key(0), hparams)
        return state, *algorithm.step(state, hparams)

    return probes.quick_jit(run)


def recording(record):
    """Returns PPO's loss with its metrics replaced by those of `record(params, apply, batch, hparams)`."""

    def loss(params, apply, batch, hparams):
        return ppo.loss(params, apply, batch, hparams)[0], record(params, apply, batch, hparams)

    return loss


def largest(tree):
    return jnp.max(jnp.stack([jnp.max(jnp.abs(leaf)) for leaf in jax.tree.leaves(tree)]))


def record_ratio_and_advantage(params, apply, batch, hparams):
    ratio = jnp.exp(apply(params, batch.observation)[0].log_prob(batch.action) - batch.log_prob)
    mean, deviation = jnp.mean(batch.advantage), jnp.std(batch.advantage)
    return {
        "ratio_gap": largest(ratio - 1.0),
        "off_centre": jnp.abs(mean),
        "off_scale": jnp.abs(deviation - 1.0),
        "size": batch.mask.size,
    }


def test_in_the_first_minibatch_every_ratio_is_one_and_the_gradient_is_that_of_a2c():
    def record(params, apply, batch, hparams):
        ours, theirs = (jax.grad(loss, has_aux=True)(params, apply, batch, hparams)[0] for loss in (ppo.loss, a2c.loss))
        gap = largest(jax.tree.map(jnp.subtract, ours, theirs))
        recorded = record_ratio_and_advantage(params, apply, batch, hparams)
        return {**recorded, "gradient": largest(theirs), "gradient_gap": gap}

    one_minibatch = ppo.Config(8, 16, num_epochs=1, num_minibatches=1, hidden_sizes=(8,), normalize_advantage=False)
    _, _, metrics = first_update(one_minibatch, recording(record), None)(ppo.HParams(entropy_coef=0.1))
    assert metrics["ratio_gap"] < 1e-5
    assert metrics["gradient"] > 1e-2
    assert metrics["gradient_gap"] < 1e-5 * metrics["gradient"]
    assert metrics["off_centre"] > 1e-2 and metrics["off_scale"] > 1e-2


record_minibatches = recording(record_ratio_and_advantage)


@pytest.mark.parametrize("learning_rate", [0.0, 1e-2])
def test_ratios_leave_one_only_when_the_parameters_move(learning_rate):
    config = ppo.Config(8, 16, num_epochs=2, num_minibatches=4)
    _, _, metrics = first_update(config, record_minibatches, probes.Linear())(ppo.HParams(learning_rate=learning_rate))
    assert (metrics["ratio_gap"] > 1e-3) == (learning_rate > 0)


def tabular(params, observation):
    return Categorical(params["logits"][observation]), params["values"][observation]


def moved_policy_batch(size=40):
    """Returns (params, batch [size], ratio): each sample has its own row of logits, and all kinds of ratios occur."""
    generator = np.random.default_rng(0)
    params = {"logits": jnp.asarray(generator.normal(size=(size, 3))), "values": jnp.zeros(size)}
    observation, action = jnp.arange(size), jnp.asarray(generator.integers(3, size=size))
    policy, value = tabular(params, observation)
    ratio = generator.uniform(0.5, 1.5, size)
    log_prob = policy.log_prob(action) - jnp.log(ratio)
    advantage = jnp.asarray(generator.normal(size=size))
    flags = jnp.zeros(size, bool)
    batch = Batch(
        observation=observation, action=action, policy=policy, log_prob=log_prob, value=value, reward=value,
        next_observation=observation, next_value=value, terminated=flags, truncated=flags, advantage=advantage,
        value_target=value, mask=jnp.ones(size),
    )  # fmt: skip
    return params, batch, ratio


def test_clipped_samples_have_zero_gradient_and_the_others_that_of_ratio_times_advantage(float64):
    params, batch, ratio = moved_policy_batch()
    hparams = ppo.HParams(clip=CLIP, entropy_coef=0.0)
    gradient = jax.jit(jax.grad(lambda p: ppo.loss(p, tabular, batch, hparams)[0]))(params)["logits"]
    advantage = np.asarray(batch.advantage)
    clipped = ((advantage > 0) & (ratio > 1 + CLIP)) | ((advantage < 0) & (ratio < 1 - CLIP))
    outside_yet_counted = (np.abs(ratio - 1) > CLIP) & ~clipped
    assert min(clipped.sum(), outside_yet_counted.sum(), (~clipped).sum()) > 4
    probabilities = np.exp(params["logits"]) / np.exp(params["logits"]).sum(axis=1, keepdims=True)
    score = np.eye(3)[np.asarray(batch.action)] - probabilities
    expected = -(ratio * advantage * ~clipped)[:, None] * score / ratio.size
    np.testing.assert_allclose(gradient, expected, atol=1e-14)
    assert np.all(np.asarray(gradient)[clipped] == 0.0)


def test_ppo_loss_and_its_metrics_equal_numpy(float64):
    params, batch, ratio = moved_policy_batch()
    mask = np.arange(ratio.size) % 4 != 0
    hparams = ppo.HParams(clip=CLIP, entropy_coef=0.0)
    total, metrics = jax.jit(lambda p, b: ppo.loss(p, tabular, b, hparams))(
        params, batch.replace(mask=jnp.asarray(mask, jnp.float64))
    )
    advantage = np.asarray(batch.advantage)
    surrogate = np.minimum(ratio * advantage, np.clip(ratio, 1 - CLIP, 1 + CLIP) * advantage)
    np.testing.assert_allclose(total, -surrogate[mask].mean(), rtol=1e-12)
    np.testing.assert_allclose(metrics["kl"], (ratio - 1 - np.log(ratio))[mask].mean(), rtol=1e-12)
    np.testing.assert_allclose(metrics["clip_fraction"], (np.abs(ratio - 1) > CLIP)[mask].mean(), rtol=1e-12)


@pytest.mark.parametrize("clip", [0.05, 0.2, 0.5])
def test_clipped_surrogate_and_its_gradient_equal_those_of_rlax(float64, clip):
    generator = np.random.default_rng(1)
    ratio, advantage = jnp.asarray(generator.uniform(0.3, 1.9, 200)), jnp.asarray(generator.normal(size=200))

    def ours(ratio):
        return jnp.mean(losses.clipped_surrogate(ratio, advantage, clip))

    theirs = partial(rlax.clipped_surrogate_pg_loss, adv_t=advantage, epsilon=clip)
    for one, other in zip(jax.value_and_grad(ours)(ratio), jax.value_and_grad(theirs)(ratio)):
        np.testing.assert_allclose(one, other, atol=1e-14)


def test_clipped_value_loss_equals_numpy_and_clip_zero_is_the_squared_error(float64):
    value, old_value, target = np.random.default_rng(2).normal(size=(3, 200))
    expected = []
    for v, old, goal in zip(value, old_value, target):
        kept_near = min(max(v, old - 0.4), old + 0.4)
        expected.append(max((v - goal) ** 2, (kept_near - goal) ** 2) / 2)
    np.testing.assert_allclose(losses.clipped_value_loss(value, old_value, target, 0.4), expected, rtol=1e-12)
    plain = 0.5 * (value - target) ** 2
    np.testing.assert_allclose(losses.clipped_value_loss(value, old_value, target, 0.0), plain, rtol=1e-12)
    assert np.abs(expected - plain).max() > 0.1
    derivative = jax.grad(lambda v: jnp.sum(losses.clipped_value_loss(v, old_value, target, 0.0)))(jnp.asarray(value))
    np.testing.assert_allclose(derivative, value - target, rtol=1e-12)


def test_advantages_have_mean_zero_and_deviation_one_in_each_minibatch():
    config = ppo.Config(8, 16, num_epochs=2, num_minibatches=4)
    _, _, metrics = first_update(config, record_minibatches, probes.Linear())(ppo.HParams())
    assert metrics["size"] == 32
    assert metrics["off_centre"] < 1e-5
    assert metrics["off_scale"] < 1e-4


def recorded_minibatches(key, size=24, num_epochs=5, num_minibatches=4):
    """Returns two recordings [epoch, size] of the samples met: by their number, and by ten times their number."""

    def update(carry, minibatch):
        count, met = carry
        return (count + 1, met.at[count].set(jnp.stack([minibatch["one"], minibatch["ten"]]))), jnp.float32(count)

    batch = {"one": jnp.arange(size), "ten": 10 * jnp.arange(size)}
    start = jnp.int32(0), jnp.zeros((num_epochs * num_minibatches, 2, size // num_minibatches), jnp.int32)
    (count, met), mean = minibatch_epochs(update, start, batch, key, num_epochs, num_minibatches)
    met = met.swapaxes(0, 1).reshape(2, num_epochs, size)
    return {"count": count, "one": met[0], "ten": met[1], "mean": mean}


def test_every_epoch_meets_every_sample_once_in_a_fresh_order():
    recorded = jax.jit(jax.vmap(recorded_minibatches))(jax.random.split(jax.random.key(0), 2))
    orders = np.asarray(recorded["one"])
    np.testing.assert_array_equal(np.sort(orders, axis=-1), np.broadcast_to(np.arange(24), (2, 5, 24)))
    assert len({tuple(order) for order in orders.reshape(10, 24)}) == 10
    assert tuple(range(24)) not in {tuple(order) for order in orders.reshape(10, 24)}
    np.testing.assert_array_equal(recorded["ten"], 10 * orders)
    np.testing.assert_array_equal(recorded["count"], 20)
    np.testing.assert_allclose(recorded["mean"], 9.5)


def test_permutations_are_uniform():
    orders = np.asarray(permutations(jax.random.key(1), 4000, 3))
    _, counts = np.unique(orders, axis=0, return_counts=True)
    expected = 4000 / 6
    assert counts.size == 6
    assert np.sum((counts - expected) ** 2 / expected) < 20.5  # chi-square, 5 degrees of freedom, p = 0.001


@pytest.mark.parametrize("size", [1, 2, 5, 512, 513, 10_000])
def test_permutations_hold_every_index_once_and_each_is_anywhere_alike_often(size):
    orders = np.asarray(permutations(jax.random.key(2), 400, size))
    np.testing.assert_array_equal(np.sort(orders, axis=1), np.broadcast_to(np.arange(size), (400, size)))
    if size > 2:  # means of 400 uniform places, in standard deviations
        places = np.argsort(orders, axis=1)[:, :: max(1, size // 50)].mean(axis=0)
        assert np.all(np.abs(places - (size - 1) / 2) < 4.5 * np.sqrt((size**2 - 1) / 12 / 400))


def test_every_update_shuffles_anew_with_a_new_key_and_counts_itself():
    def record(params, apply, batch, hparams):
        return {"weighed": jnp.sum(jnp.argmax(batch.observation, axis=-1) * jnp.arange(batch.mask.size))}

    # What is observed here depends on no key and no action, so only the order of the samples can differ.
    env = probes.probe_env(probes.terminated_late())
    config = ppo.Config(2, 10, num_epochs=1, num_minibatches=1)
    algorithm = ppo.make(env, config, loss=recording(record), network=probes.Linear())

    def three_steps(key):
        states, orders = [algorithm.init(key, ppo.HParams())], []
        for _ in range(3):
            state, metrics = algorithm.step(states[-1], ppo.HParams())
            states, orders = [*states, state], [*orders, metrics["weighed"]]
        return jnp.stack(orders), jax.random.key_data(jnp.stack([state.key for state in states])), state.update

    orders, keys, update = probes.quick_jit(three_steps)(jax.random.key(0))
    assert len(np.unique(orders)) == 3
    assert len(np.unique(keys, axis=0)) == 4
    assert update == 3


def test_learning_rate_falls_linearly_to_zero_at_total_steps():
    config = ppo.Config(4, 8, num_epochs=1, num_minibatches=1)
    hparams = ppo.HParams(learning_rate=1e-2, total_steps=10.0 * 32)
    algorithm = ppo.make(WALK, config, network=probes.Linear())

    def change(update, hparams):
        state = algorithm.init(jax.random.key(0), hparams)
        after, _ = algorithm.step(state.replace(update=update), hparams)
        return jnp.concatenate(
            [jnp.ravel(x) for x in jax.tree.leaves(jax.tree.map(jnp.subtract, after.params, state.params))]
        )

    updates = jnp.array([0, 1, 5, 9, 10, 15])
    falling = np.asarray(probes.quick_jit(partial(jax.lax.map, partial(change, hparams=hparams)))(updates))
    assert np.abs(falling[0]).max() > 5e-3
    for row, left in zip(falling, [1.0, 0.9, 0.5, 0.1, 0.0, 0.0]):
        np.testing.assert_allclose(row, left * falling[0], atol=1e-6)
    assert np.all(falling[4:] == 0.0)


@pytest.mark.parametrize(("steps_per_update", "steps_in_init"), [(1, 0), (512, 0), (10, 1000)])
def test_env_steps_are_whole_numbers_to_2_to_the_24_and_never_begin_anew(steps_per_update, steps_in_init):
    updates = np.unique(np.geomspace(1, 2**31 - 1, 300).astype(np.int64))
    taken = env_steps(jnp.asarray(updates, jnp.int32), steps_per_update, steps_in_init)
    expected = steps_in_init + updates * steps_per_update
    np.testing.assert_allclose(taken, expected, rtol=2e-7)
    np.testing.assert_array_equal(taken[expected <= 2**24], expected[expected <= 2**24])
    assert taken.dtype == jnp.float32
    rates = annealed(2.5e-4, 1.0, env_steps(jnp.int32(2_900_000_000 // 512), 512), 3e9)
    np.testing.assert_allclose(rates, 2.5e-4 / 30, rtol=1e-4)


def test_annealing_ends_at_what_is_not_annealed():
    taken = np.array([0.0, 250.0, 500.0, 1000.0, 2000.0])
    rates = annealed(0.1, 0.8, jnp.asarray(taken), 1000.0)
    np.testing.assert_allclose(rates, [0.1, 0.08, 0.06, 0.02, 0.02], rtol=1e-6)
    np.testing.assert_allclose(annealed(0.1, 0.0, jnp.asarray(taken), 1000.0), 0.1, rtol=1e-6)


def numpy_adam(gradients, learning_rate, max_grad_norm, epsilon):
    """Returns where Adam (Kingma and Ba 2015, algorithm 1) is after each gradient, clipped to a global norm, [K, n]."""
    first, second, position, positions = 0.0, 0.0, 0.0, []
    for count, gradient in enumerate(gradients, start=1):
        norm = np.sqrt(np.sum(gradient**2))
        if max_grad_norm > 0 and norm > max_grad_norm:
            gradient = gradient * max_grad_norm / norm
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        corrected = first / (1 - 0.9**count), second / (1 - 0.999**count)
        position = position - learning_rate * corrected[0] / (np.sqrt(corrected[1]) + epsilon)
        positions.append(position)
    return np.array(positions)


@pytest.mark.parametrize("max_grad_norm", [0.0, 1.0, 1e3])
def test_adam_equals_numpy_with_the_gradient_clipped_to_its_global_norm(float64, max_grad_norm):
    generator = np.random.default_rng(3)
    gradients = generator.normal(size=(3, 5)) * np.array([[0.05], [8.0], [0.6]])
    expected = numpy_adam(gradients, 0.1, max_grad_norm, 1e-5)
    params = {"a": jnp.zeros(2), "b": jnp.zeros((1, 3))}
    optimizer = adam(0.1, max_grad_norm)
    opt_state = optimizer.init(params)
    for gradient, position in zip(gradients, expected):
        tree = {"a": jnp.asarray(gradient[:2]), "b": jnp.asarray(gradient[2:])[None]}
        updates, opt_state = jax.jit(optimizer.update)(tree, opt_state, params)
        params = optax.apply_updates(params, updates)
        np.testing.assert_allclose(np.append(params["a"], params["b"]), position, rtol=1e-10)


def test_three_gradient_steps_equal_numpy_adam_and_report_the_norm_before_clipping(float64):
    target, scale = np.array([1.0, -2.0, 30.0]), np.array([1.0, 3.0, 0.5])

    def loss(params, apply, batch, hparams):
        return jnp.sum(hparams * apply(params, batch) ** 2) / 2, {"first": params[0]}

    def apply(params, batch):
        return params - batch

    position, gradients, optimizer = np.zeros(3), [], adam(0.1, 2.0)
    params, opt_state = jnp.zeros(3), optimizer.init(jnp.zeros(3))
    for _ in range(3):
        gradients.append(scale * (position - target))
        value = np.sum(scale * (position - target) ** 2) / 2
        before = position
        position = numpy_adam(gradients, 0.1, 2.0, 1e-5)[-1]
        params, opt_state, metrics = gradient_step(
            optimizer, loss, params, opt_state, apply, jnp.asarray(target), jnp.asarray(scale)
        )
        np.testing.assert_allclose(params, position, rtol=1e-10)
        np.testing.assert_allclose(metrics["loss"], value, rtol=1e-10)
        np.testing.assert_allclose(metrics["first"], before[0], rtol=1e-10)
        np.testing.assert_allclose(metrics["gradient_norm"], np.linalg.norm(gradients[-1]), rtol=1e-10)


def test_a_number_of_minibatches_that_does_not_divide_raises():
    with pytest.raises(ValueError, match=r"num_minibatches=3 must divide num_envs \* num_steps = 32"):
        ppo.make(WALK, ppo.Config(4, 8, num_minibatches=3))


@pytest.mark.parametrize(
    ("module", "sizes"),
    [
        (ppo, {"num_envs": 4, "num_steps": 8, "num_minibatches": 32}),
        (a2c, {"num_envs": 1, "num_steps": 1}),
        (trpo, {"num_envs": 1, "num_steps": 1, "value_minibatches": 1}),
    ],
)
def test_normalising_one_sample_is_refused_and_two_or_none_are_not(module, sizes):
    with pytest.raises(ValueError, match="normalize_advantage makes the advantage of a .* one sample 0"):
        module.make(WALK, module.Config(**sizes, normalize_advantage=True))
    module.make(WALK, module.Config(**sizes, normalize_advantage=False))
    module.make(WALK, module.Config(**{**sizes, "num_steps": 2 * sizes["num_steps"]}, normalize_advantage=True))


@pytest.mark.parametrize("field", ["num_envs", "num_steps", "num_epochs", "num_minibatches", "hidden_sizes"])
def test_sizes_that_are_no_positive_integers_raise(field):
    with pytest.raises(ValueError, match=f"{field} must be"):
        ppo.make(WALK, ppo.Config(**{field: (8, 0) if field == "hidden_sizes" else 0}))


@struct.dataclass
class WithPenalty(ppo.HParams):
    penalty: float = 0.25


def test_the_loss_the_network_and_the_further_hyperparameter_given_are_the_ones_used():
    def own_loss(params, apply, batch, hparams):
        policy, value = apply(params, batch.observation)
        kernel = params["params"]["the_users_own"]["kernel"]
        return hparams.penalty * jnp.sum(kernel), {"penalty": hparams.penalty * jnp.ones(()), "kernel": jnp.sum(kernel)}

    hparams = WithPenalty(learning_rate=1e-3, penalty=0.5, max_grad_norm=0.0)
    config = ppo.Config(4, 8, num_epochs=1, num_minibatches=1)
    before, after, metrics = first_update(config, own_loss, probes.Linear())(hparams)
    assert set(after.params["params"]) == {"the_users_own"}
    assert metrics["penalty"] == 0.5
    np.testing.assert_allclose(metrics["loss"], 0.5 * metrics["kernel"], rtol=1e-6)
    np.testing.assert_allclose(metrics["gradient_norm"], 0.5 * np.sqrt(6.0), rtol=1e-6)
    old, new = (state.params["params"]["the_users_own"] for state in (before, after))
    # Adam's first step is the learning rate against the gradient's sign: down for the kernel, none for the bias.
    np.testing.assert_allclose(new["kernel"] - old["kernel"], -1e-3, rtol=1e-3)
    np.testing.assert_array_equal(new["bias"], old["bias"])
