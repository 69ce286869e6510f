"""The initialiser is orthogonal without LAPACK, and the actor-critic is two networks that share nothing."""

import functools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from scipy import signal

from algos.core.distributions import Categorical, DiagonalGaussian
from algos.core.networks import (
    ActorCritic,
    Convolution,
    Tower,
    actor_critic,
    dense,
    orthogonal,
    orthonormal_columns,
    rescaled,
)
from envs import Box, Discrete, make

THREE_ACTIONS, PLANE = Discrete(3), Box((-1.0, -1.0), (1.0, 1.0))
SHAPES = [(1, 1), (5, 1), (64, 64), (128, 128), (200, 64)]
ACTOR, CRITIC = {"actor", "policy", "log_std"}, {"critic", "value"}


def normal(shape, seed=0):
    return jax.random.normal(jax.random.key(seed), shape)


@functools.cache
def network(action=THREE_ACTIONS, observation_shape=(5,), hidden_sizes=(16, 12)):
    """Returns (apply, params) of a small actor-critic."""
    module = ActorCritic(observation_shape, action, hidden_sizes)
    return jax.jit(module.apply), jax.jit(module.init)(jax.random.key(0), jnp.zeros(observation_shape))


def assert_orthonormal(matrix, scale=1.0):
    """Asserts that the rows or the columns, whichever are fewer, are orthogonal and of length `scale`."""
    matrix = np.asarray(matrix, np.float64).reshape(-1, matrix.shape[-1])
    gram = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
    np.testing.assert_allclose(gram, scale**2 * np.eye(len(gram)), atol=1e-5 * max(scale, scale**2))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_columns_are_orthonormal(shape):
    assert_orthonormal(jax.jit(orthonormal_columns)(normal(shape)))


def test_nearly_parallel_columns_become_orthonormal():
    columns = normal((64, 1)) + 1e-3 * normal((64, 8), seed=1)
    assert_orthonormal(jax.jit(orthonormal_columns)(columns))


def test_the_columns_are_orthonormal_under_vmap():
    for basis in jax.jit(jax.vmap(orthonormal_columns))(normal((5, 40, 24))):
        assert_orthonormal(basis)


@pytest.mark.parametrize("shape", [(8, 8), (64, 3), (40, 24)])
def test_the_columns_equal_numpys_qr_up_to_signs(float64, shape):
    matrix = np.random.default_rng(0).normal(size=shape)
    expected, upper = np.linalg.qr(matrix)
    # NumPy leaves the signs of the diagonal of R free; Gram-Schmidt makes them positive
    expected = expected * np.sign(np.diag(upper))
    np.testing.assert_allclose(jax.jit(orthonormal_columns)(matrix), expected, atol=1e-11)


@pytest.mark.parametrize("shape", [(32, 32), (40, 24), (8, 64), (64, 1), (1, 64), (3, 3, 4, 16), (1, 1, 4, 16)])
def test_initial_weights_are_orthogonal_with_the_scale(shape):
    scales = np.array([1.0, np.sqrt(2.0), 0.01], np.float32)
    initialise = jax.jit(jax.vmap(lambda scale: orthogonal(scale)(jax.random.key(0), shape)))
    weights = initialise(scales)
    assert weights.shape == (3, *shape) and weights.dtype == jnp.float32
    for matrix, scale in zip(weights, scales, strict=True):
        assert_orthonormal(matrix, scale)


def test_initial_weights_are_orthogonal_under_vmap_and_differ_between_keys():
    keys = jax.random.split(jax.random.key(0), 4)
    weights = jax.jit(jax.vmap(lambda key: orthogonal(2.0)(key, (6, 20))))(keys)
    for matrix in weights:
        assert_orthonormal(matrix, 2.0)
    assert len(np.unique(np.asarray(weights[:, 0, 0]))) == 4


def test_initial_weights_have_no_preferred_direction():
    keys = jax.random.split(jax.random.key(0), 2_000)
    weights = np.asarray(jax.jit(jax.vmap(lambda key: orthogonal(1.0)(key, (3, 3))))(keys), np.float64)
    # every entry of a uniform 3 x 3 frame has mean 0 and variance 1/3; five standard errors
    np.testing.assert_allclose(weights.mean(axis=0), 0.0, atol=5 * np.sqrt(1 / 3 / 2_000))
    np.testing.assert_allclose((weights**2).mean(axis=0), 1 / 3, atol=5 * 0.3 / np.sqrt(2_000))


def custom_calls(module):
    """Returns the custom calls in the compiled init of the module, vmapped over 4 keys, as one text.

    Not the whole program: its metadata name the functions that it was compiled in.
    """
    keys = jax.random.split(jax.random.key(0), 4)
    init = jax.vmap(lambda key: module.init(key, jnp.zeros(5)))
    return " ".join(re.findall(r'custom_call_target="(.*?)"', jax.jit(init).lower(keys).compile().as_text()))


def test_initialising_an_actor_critic_under_vmap_calls_no_lapack():
    assert "lapack" not in custom_calls(ActorCritic((5,), THREE_ACTIONS))


def test_flaxs_orthogonal_initialiser_would_be_seen_to_call_lapack():
    assert "lapack" in custom_calls(nn.Dense(4, kernel_init=nn.initializers.orthogonal()))


def test_every_layer_of_the_actor_critic_begins_with_its_gain():
    _, params = network()
    params = params["params"]
    for tower in (params["actor"], params["critic"]):
        assert len(tower) == 2
        for layer in tower.values():
            assert_orthonormal(layer["kernel"], np.sqrt(2.0))
    assert_orthonormal(params["policy"]["kernel"], 0.01)
    assert_orthonormal(params["value"]["kernel"], 1.0)


def test_the_first_policy_is_close_to_uniform():
    apply, params = network()
    policy, _ = apply(params, 3.0 * normal((100, 5)))
    assert isinstance(policy, Categorical)
    np.testing.assert_allclose(jax.nn.softmax(policy.logits), 1 / 3, atol=0.03)
    assert np.ptp(policy.logits) > 0.0


def test_the_first_gaussian_policy_is_close_to_standard_normal():
    apply, params = network(PLANE)
    policy, _ = apply(params, 3.0 * normal((100, 5)))
    assert isinstance(policy, DiagonalGaussian)
    np.testing.assert_allclose(policy.mean, 0.0, atol=0.1)
    np.testing.assert_array_equal(policy.log_std, np.zeros((100, 2)))


@pytest.mark.parametrize("action", [THREE_ACTIONS, PLANE])
def test_actor_and_critic_share_no_parameters(action):
    apply, params = network(action)
    observation = normal((7, 5))

    def of_policy(params):
        policy, _ = apply(params, observation)
        return sum(jnp.sum(jnp.sin(leaf + 1.0)) for leaf in jax.tree.leaves(policy))

    def of_value(params):
        return jnp.sum(jnp.sin(apply(params, observation)[1] + 1.0))

    for function, moved in ((of_policy, ACTOR), (of_value, CRITIC)):
        for name, gradient in jax.jit(jax.grad(function))(params)["params"].items():
            largest = [np.abs(leaf).max() for leaf in jax.tree.leaves(gradient)]
            assert all(x > 0.0 for x in largest) if name in moved else all(x == 0.0 for x in largest), name


@pytest.mark.parametrize(("shape", "dtype"), [((5,), jnp.float32), ((10, 5), jnp.float32), ((10, 10, 4), jnp.bool_)])
def test_leading_axes_give_what_flattened_observations_give(shape, dtype):
    apply, params = network(observation_shape=shape)
    observation = normal((3, 4, *shape)) > 0.5 if dtype == jnp.bool_ else normal((3, 4, *shape))

    @jax.jit
    def three_ways(params):
        views = observation, observation.reshape(12, *shape), observation[1, 2]
        return [apply(params, view) for view in views]

    (policy, value), (flat_policy, flat_value), (alone_policy, alone_value) = three_ways(params)
    assert (policy.logits.shape, value.shape, alone_value.shape) == ((3, 4, 3), (3, 4), ())
    np.testing.assert_allclose(policy.logits.reshape(12, 3), flat_policy.logits, atol=1e-6)
    np.testing.assert_allclose(value.reshape(12), flat_value, atol=1e-5)
    np.testing.assert_allclose(policy.logits[1, 2], alone_policy.logits, atol=1e-6)
    np.testing.assert_allclose(value[1, 2], alone_value, atol=1e-5)
    assert len(np.unique(flat_value)) == 12


def test_the_vector_network_equals_numpys_matrix_products():
    apply, params = network()
    observation = np.asarray(normal((7, 5)))
    policy, value = apply(params, observation)

    def tower(name):
        x = observation
        for layer in ("Dense_0", "Dense_1"):
            weights = params["params"][name][layer]
            x = np.tanh(x @ np.asarray(weights["kernel"]) + np.asarray(weights["bias"]))
        return x

    heads = params["params"]
    np.testing.assert_allclose(policy.logits, tower("actor") @ np.asarray(heads["policy"]["kernel"]), atol=1e-5)
    np.testing.assert_allclose(value, (tower("critic") @ np.asarray(heads["value"]["kernel"]))[:, 0], atol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "outputs", "is_turned"),
    [(4, 64, True), (64, 3, True), (8, 64, True), (9, 64, False), (64, 64, False), (64, 1, False), (1, 64, False)],
)
def test_a_layer_has_numpys_values_tangents_and_gradients_however_narrow_it_is(inputs, outputs, is_turned):
    layer = dense(outputs, 1.0)
    x, x_tangent, kernel, kernel_tangent, cotangent = (
        np.asarray(normal(shape, seed))
        for seed, shape in enumerate(
            [(2, 5, inputs), (2, 5, inputs), (inputs, outputs), (inputs, outputs), (2, 5, outputs)]
        )
    )

    def value(x, kernel):
        return layer.apply({"params": {"kernel": kernel, "bias": jnp.zeros(outputs)}}, x)

    found, tangent = jax.jvp(value, (x, kernel), (x_tangent, kernel_tangent))
    by_x, by_kernel = jax.vjp(value, x, kernel)[1](cotangent)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
    close(found, np.einsum("tni,io->tno", x, kernel))
    close(tangent, np.einsum("tni,io->tno", x_tangent, kernel) + np.einsum("tni,io->tno", x, kernel_tangent))
    close(by_x, np.einsum("tno,io->tni", cotangent, kernel))
    close(by_kernel, np.einsum("tni,tno->io", x, cotangent))
    beside = jax.vmap(lambda x, g: jax.vjp(value, x, kernel)[1](g)[1])(x, cotangent)
    close(beside, np.einsum("tni,tno->tio", x, cotangent))
    gradient = str(jax.make_jaxpr(lambda x, g: jax.vjp(value, x, kernel)[1](g))(x, cotangent))
    assert ("optimization_barrier" in gradient) == is_turned
    assert not np.any(jax.vjp(value, x[:, :0], kernel)[1](cotangent[:, :0])[1])


def test_images_pass_one_convolution():
    _, params = network(observation_shape=(10, 10, 4))
    for tower in ("actor", "critic"):
        assert params["params"][tower]["Conv"]["kernel"].shape == (3 * 3 * 4, 16)
        assert_orthonormal(params["params"][tower]["Conv"]["kernel"], np.sqrt(2.0))
    _, params = network(observation_shape=(10, 5))
    assert set(params["params"]["actor"]) == {"Dense_0", "Dense_1"}


def tower(shape):
    """Returns (apply, params) of a small tower with normal weights, which are drawn sooner than orthogonal ones."""
    module = Tower(shape, (4,))
    params = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros(shape))
    random = np.random.default_rng(0)
    return module.apply, jax.tree.map(lambda leaf: random.standard_normal(leaf.shape).astype(np.float32), params)


@pytest.mark.parametrize("shape", [(2, 2, 3), (1, 5, 2), (7, 2, 1), (2, 3), (1, 2, 3, 4), ()])
def test_an_image_smaller_than_the_kernel_and_what_is_no_image_are_seen_as_one_vector(shape):
    apply, params = tower(shape)
    (layer,) = params["params"].values()
    observation = np.random.default_rng(1).standard_normal((2, *shape)).astype(np.float32)
    expected = np.tanh(observation.reshape(2, -1) @ layer["kernel"] + layer["bias"])
    np.testing.assert_allclose(apply(params, observation), expected, atol=1e-5)


def test_an_image_as_small_as_the_kernel_passes_the_convolution():
    assert tower((3, 3, 2))[1]["params"]["Conv"]["kernel"].shape == (18, 16)


@pytest.mark.parametrize("shape", [(5, 4, 3), (4,)])
def test_uint8_is_divided_by_255_and_no_other_type_is(shape):
    apply, params = tower(shape)
    pixels = np.random.default_rng(0).integers(0, 256, (6, *shape), np.uint8)
    seen, divided, whole = (apply(params, x) for x in (pixels, pixels / np.float32(255.0), pixels.astype(np.int32)))
    np.testing.assert_allclose(seen, divided, atol=1e-5)
    assert np.abs(whole - seen).max() > 0.1


def test_a_uint8_image_with_its_channels_first_is_refused_and_any_other_three_axes_are_not():
    def features(shape, dtype):
        return jax.eval_shape(lambda: Tower(shape, (4,)).init_with_output(jax.random.key(0), jnp.zeros(shape, dtype)))

    for shape in ((1, 28, 28), (3, 64, 48), (4, 84, 84)):
        with pytest.raises(ValueError, match=r"images are \(height, width, channels\); .* has its channels first: use"):
            features(shape, jnp.uint8)
        features(shape, jnp.float32)
    for shape in ((28, 28, 1), (84, 84, 4), (3, 64, 3), (64, 3, 64), (5, 5, 10)):
        features(shape, jnp.uint8)


@pytest.mark.parametrize("leading", [(), (2,), (2, 3)])
def test_the_convolution_is_scipys_correlation_without_padding(leading):
    image, kernel = np.array(normal((*leading, 6, 5, 2))), np.array(normal((3, 3, 2, 4), seed=1))
    bias = np.arange(4.0, dtype=np.float32)
    result = Convolution(4).apply({"params": {"kernel": kernel.reshape(-1, 4), "bias": bias}}, jnp.asarray(image))
    assert result.shape == (*leading, 4, 3, 4)
    for place in np.ndindex(*leading):
        for feature in range(4):
            expected = signal.correlate(image[place], kernel[..., feature], mode="valid")[..., 0] + bias[feature]
            np.testing.assert_allclose(result[place][..., feature], expected, rtol=1e-4, atol=1e-5)


def xlas_tower(params, image):
    """Returns what a tower of one layer gives, by XLA's own convolution; image [N, H, W, C] of floats."""
    conv, dense = params["params"]["Conv"], params["params"]["Dense_0"]
    kernel = conv["kernel"].reshape(3, 3, image.shape[-1], -1)
    x = lax.conv_general_dilated(image, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    x = jnp.maximum(x + conv["bias"], 0.0).reshape(len(image), -1)
    return jnp.tanh(x @ dense["kernel"] + dense["bias"])


def in_all_ways(apply):
    """Returns (outputs, gradient by parameters, tangent, that of the gradient, outputs of two parameters) by name."""

    def of(params, tangent, image):
        def total(params):
            return jnp.sum(jnp.sin(3.0 * apply(params, image)))

        both = jax.tree.map(lambda x, y: jnp.stack([x, y]), params, tangent)
        return {
            "outputs": apply(params, image),
            "gradient": jax.grad(total)(params),
            "tangent": jax.jvp(lambda params: apply(params, image), (params,), (tangent,))[1],
            "tangent of the gradient": jax.jvp(jax.grad(total), (params,), (tangent,))[1],
            "two parameters": jax.vmap(apply, (0, None))(both, image),
            "gradients of two parameters": jax.vmap(jax.grad(total))(both),
        }

    return jax.jit(of)


@pytest.mark.parametrize(("shape", "dtype"), [((6, 5, 2), "bool"), ((5, 6, 3), "uint8"), ((4, 7, 2), "float32")])
def test_a_tower_of_images_and_all_its_derivatives_are_those_of_xlas_convolution(shape, dtype):
    module, random = Tower(shape, (4,)), np.random.default_rng(0)
    drawn = {
        "bool": lambda x: x > 0.0,
        "uint8": lambda x: (255.0 * np.abs(x) % 255).astype(np.uint8),
        "float32": np.asarray,
    }
    image = drawn[dtype](random.standard_normal((6, *shape)).astype(np.float32))
    shapes = jax.eval_shape(module.init, jax.random.key(0), image)
    params, tangent = (
        jax.tree.map(lambda leaf: random.standard_normal(leaf.shape).astype(np.float32), shapes) for _ in range(2)
    )
    for drawn_params in (params, tangent):
        drawn_params["params"]["Dense_0"]["kernel"] *= 0.01  # where tanh is not flat
    seen = image / np.float32(255.0) if dtype == "uint8" else image.astype(np.float32)
    ours = in_all_ways(module.apply)(params, tangent, image)
    theirs = in_all_ways(xlas_tower)(params, tangent, seen)
    for name, expected in theirs.items():
        for leaf, other in zip(jax.tree.leaves(ours[name]), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(leaf, other, rtol=1e-4, atol=2e-5 * np.abs(other).max(), err_msg=name)


def test_a_float_image_has_the_gradient_of_xlas_convolution():
    apply, params = tower((5, 6, 2))
    image = np.random.default_rng(1).standard_normal((3, 5, 6, 2)).astype(np.float32)
    params["params"]["Dense_0"]["kernel"] *= 0.01

    @jax.jit
    def both(image):
        def total(tower, image):
            return jnp.sum(jnp.sin(tower(params, image)))

        return [jax.grad(functools.partial(total, tower))(image) for tower in (apply, xlas_tower)]

    ours, theirs = both(image)
    assert np.abs(theirs).max() > 1e-3
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_tower_of_images_begins_with_the_parameters_of_a_linear_map_of_patches():
    class Linear(nn.Module):
        @nn.compact
        def __call__(self, patches):
            x = nn.Dense(16, kernel_init=orthogonal(np.sqrt(2.0)), name="Conv")(patches)
            return nn.Dense(4, kernel_init=orthogonal(np.sqrt(2.0)))(x.reshape(-1))

    key = jax.random.key(3)
    ours = jax.jit(Tower((4, 5, 2), (4,)).init)(key, jnp.zeros((4, 5, 2), bool))
    theirs = jax.jit(Linear().init)(key, jnp.zeros((2, 3, 18)))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "Catch-bsuite"])
def test_the_default_network_fits_its_environment(name):
    env = make(name)
    module = actor_critic(env, [8, 8])
    _, observation = env.reset(jax.random.key(0))

    def act(key):
        policy, value = module.apply(module.init(key, observation), observation)
        return policy.mode(), value

    action, value = jax.eval_shape(act, jax.random.key(0))
    assert (action.shape, value.shape) == (env.action.shape, ())
    assert hash(module) == hash(actor_critic(env, (8, 8)))


class Seeing(nn.Module):
    """A network that gives what it sees."""

    @nn.compact
    def __call__(self, observation):
        return observation


def test_a_rescaled_network_sees_the_bounds_as_minus_1_and_1_and_the_middle_as_0():
    env = make("MountainCar-v0")
    network = rescaled(Seeing(), env)
    seen = network.apply(
        network.init(jax.random.key(0), jnp.zeros(2)), jnp.array([[-1.2, -0.07], [0.6, 0.07], [-0.3, 0.0]])
    )
    np.testing.assert_allclose(seen, [[-1.0, -1.0], [1.0, 1.0], [0.0, 0.0]], atol=1e-6)


def test_observations_without_bounds_cannot_be_rescaled():
    with pytest.raises(ValueError, match="CartPole-v1 gives its observations none"):
        rescaled(Seeing(), make("CartPole-v1"))
