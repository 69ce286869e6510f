"""`make` says what it offers when asked for something else, and every environment keeps the contract of `Env`."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces
from jax import lax

import envs
from envs import Box, Discrete, Env, TimeStep, gymnax_env
from envs.games import ids as games

BUILT_IN = envs.ids()


@pytest.fixture
def no_registrations(monkeypatch):
    """Lets a test register environments that the next test does not see."""
    monkeypatch.setattr(envs, "_registered", {})


def everyone(env):
    """Returns the axis that agents have, where there are any."""
    return () if env.agents is None else (env.agents,)


def any_action(env):
    dtype = jnp.int32 if isinstance(env.action, Discrete) else jnp.float32
    return jnp.zeros(everyone(env) + env.action.shape, dtype)


def types(tree):
    """Returns the structure of the tree with (shape, dtype, weak type) in place of each leaf."""
    return jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), tree)


def walk(size: int, stride: int = 1) -> Env:
    """Returns a walk along `size` places."""

    def reset(key):
        return jnp.int32(0), jnp.zeros(1)

    def step(key, state, action):
        state = state + stride
        return state, TimeStep(jnp.ones(1) * state, jnp.float32(1.0), state >= size, jnp.bool_(False))

    return Env("walk", reset, step, (1,), Discrete(2), size)


def test_an_unknown_id_is_answered_with_every_known_one():
    with pytest.raises(ValueError, match="CartPole-v2") as error:
        envs.make("CartPole-v2")
    assert all(name in str(error.value) for name in envs.ids())


@pytest.mark.parametrize(
    ("name", "expected"),
    [("CartPole-v1", ["max_steps_in_episode", "gravity"]), ("Catch-bsuite", ["max_steps_in_episode", "rows"])],
)
def test_an_unknown_field_is_answered_with_the_known_ones(name, expected):
    with pytest.raises(ValueError, match="max_steps_per_episode") as error:
        envs.make(name, max_steps_per_episode=10)
    assert all(field in str(error.value) for field in [name, *expected])


@pytest.mark.parametrize("limit", [0, -1, 2.5])
def test_a_step_limit_below_one_is_refused(limit):
    with pytest.raises(ValueError, match=f"max_steps_in_episode must be a whole number, 1 or more, not {limit}"):
        envs.make("CartPole-v1", max_steps_in_episode=limit)


def test_mnist_is_left_out_and_the_error_says_why():
    assert "MNISTBandit-bsuite" not in envs.ids()
    with pytest.raises(ValueError, match="MNISTBandit-bsuite downloads MNIST .* left out"):
        envs.make("MNISTBandit-bsuite")


def test_the_five_classic_and_the_minatar_environments_are_offered():
    classic = {"CartPole-v1", "Acrobot-v1", "MountainCar-v0", "Pendulum-v1", "MountainCarContinuous-v0"}
    minatar = {f"{game}-MinAtar" for game in ("Asterix", "Breakout", "Freeway", "Seaquest", "SpaceInvaders")}
    assert classic | minatar <= set(envs.ids())


def test_a_constructor_field_changes_the_environment():
    assert envs.make("Catch-bsuite").observation_shape == (10, 5)
    assert envs.make("Catch-bsuite", rows=7, columns=3).observation_shape == (7, 3)


def test_constructor_and_parameter_fields_can_be_given_together():
    env = envs.make("Catch-bsuite", rows=7, max_steps_in_episode=4)
    assert (env.observation_shape, env.max_steps) == ((7, 5), 4)


def test_a_default_that_follows_a_constructor_field_follows_it():
    assert envs.make("DeepSea-bsuite", size=12).max_steps == 12


def test_a_parameter_field_changes_the_dynamics():
    def gain(env):
        state, observation = env.reset(jax.random.key(0))
        _, reached = env.step(jax.random.key(0), state, jnp.int32(1))
        return float(reached.observation[1] - observation[1])

    weak, strong = (gain(envs.make("CartPole-v1", force_mag=force)) for force in (1.0, 10.0))
    # not exactly ten times: the falling pole pushes the cart as well
    assert 9.0 < strong / weak < 11.0


def test_a_registered_environment_is_made_by_its_id_and_fields(no_registrations):
    envs.register("Walk", walk)
    assert "Walk" in envs.ids()
    assert envs.make("Walk", size=7).max_steps == 7
    state, _ = envs.make("Walk", size=7, stride=3).reset(jax.random.key(0))
    assert envs.make("Walk", size=7, stride=3).step(jax.random.key(0), state, 0)[0] == 3


def test_a_registered_environment_answers_an_unknown_field_with_the_known_ones(no_registrations):
    envs.register("Walk", walk)
    with pytest.raises(ValueError, match="Walk: .*its fields are: size, stride"):
        envs.make("Walk", size=7, length=7)
    with pytest.raises(ValueError, match="Walk: missing .*size.*its fields are: size, stride"):
        envs.make("Walk")


def test_an_error_inside_a_factory_is_not_taken_for_an_unknown_field(no_registrations):
    def broken(size: int):
        raise TypeError("broken inside")

    envs.register("Broken", broken)
    with pytest.raises(TypeError, match="broken inside"):
        envs.make("Broken", size=3)


@pytest.mark.parametrize("name", ["", "CartPole-v1", "Walk"])
def test_an_id_that_is_empty_or_taken_cannot_be_registered(no_registrations, name):
    envs.register("Walk", walk)
    with pytest.raises(ValueError, match="choose another"):
        envs.register(name, walk)


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_environment_keeps_its_types_from_reset_to_step(name):
    env = envs.make(name)
    state, observation = jax.eval_shape(env.reset, jax.random.key(0))
    stepped, reached = jax.eval_shape(env.step, jax.random.key(0), state, any_action(env))
    assert types(stepped) == types(state), "a scan cannot carry a state that changes its type"
    assert types(reached.observation) == types(observation)
    assert not any(leaf.weak_type for leaf in jax.tree.leaves((stepped, reached, observation)))
    assert observation.shape == everyone(env) + env.observation_shape
    assert observation.dtype == (jnp.bool_ if name.endswith("-MinAtar") else jnp.float32)
    assert types(reached.reward) == (everyone(env), jnp.float32, False)
    assert types(reached.terminated) == types(reached.truncated) == ((), jnp.bool_, False)


@pytest.mark.parametrize("name", [name for name in BUILT_IN if name not in games.IDS])
def test_every_environment_is_truncated_at_its_step_limit_and_not_before(name):
    env = envs.make(name, max_steps_in_episode=3)
    assert (env.name, env.max_steps) == (name, 3)

    @jax.jit
    def run(key):
        state, first = env.reset(key)
        _, steps = lax.scan(lambda state, key: env.step(key, state, any_action(env)), state, jax.random.split(key, 4))
        return first, steps

    first, steps = run(jax.random.key(0))
    np.testing.assert_array_equal(steps.truncated, [False, False, True, True])
    assert all(np.isfinite(x).all() for x in (first, steps.observation, steps.reward))


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_environment_describes_its_actions_by_plain_numbers(name):
    action = envs.make(name).action
    if isinstance(action, Discrete):
        assert type(action.n) is int and action.n >= 1 and action.shape == ()  # a random walk has one action
    else:
        assert isinstance(action, Box) and action.shape == (len(action.high),)
        assert all(low < high for low, high in zip(action.low, action.high, strict=True))


def test_bounds_of_observations_are_those_of_gymnasium_and_absent_where_one_is_infinite():
    for name in ("MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1", "Acrobot-v1"):
        low, high = envs.make(name).observation_bounds
        space = gymnasium.make(name).observation_space
        np.testing.assert_allclose(low[: len(space.low)], space.low, atol=1e-6)
        np.testing.assert_allclose(high[: len(space.high)], space.high, atol=1e-6)
    assert envs.make("CartPole-v1").observation_bounds is None


@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_a_gymnax_box_of_any_shape_gives_actions_of_that_shape(shape):
    action = gymnax_env._action(spaces.Box(-2.0, jnp.full(shape, 3.0), shape))
    assert (action.shape, action.size) == (shape, int(np.prod(shape)))
    assert action == Box(np.full(shape, -2.0), np.full(shape, 3.0))


def test_pixels_of_gymnax_stay_uint8_so_that_the_network_knows_them():
    kinds = {name: gymnax_env._observation(jnp.ones(2, name), None, "a game").dtype for name in ("uint8", "int32")}
    assert kinds == {"uint8": jnp.uint8, "int32": jnp.float32}
