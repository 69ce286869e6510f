"""Environments of gymnax subclasses and of other packages."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments.classic_control.cartpole import CartPole

import envs
from algos import a2c
from envs import suites
from experiments.lab.outside.env_trace import check_calls, check_facts


class Heavy(CartPole):
    """CartPole that pays twice."""

    def step_env(self, key, state, action, params):
        observation, state, reward, done, info = super().step_env(key, state, action, params)
        return observation, state, 2.0 * reward, done, info


def test_a_subclass_of_gymnax_is_an_environment_with_its_parameters_in_force():
    params = Heavy().default_params.replace(max_steps_in_episode=30, gravity=5.0)
    env, usual = envs.from_gymnax(Heavy(), params), envs.make("CartPole-v1", max_steps_in_episode=30, gravity=5.0)
    check_facts(env, None)
    check_calls(env)
    assert (env.name, env.max_steps, env.observation_shape) == ("Heavy", 30, usual.observation_shape)
    (state, _), (same, _) = env.reset(jax.random.key(0)), usual.reset(jax.random.key(0))
    _, reached = env.step(jax.random.key(1), state, jnp.int32(1))
    _, wanted = usual.step(jax.random.key(1), same, jnp.int32(1))
    np.testing.assert_array_equal(reached.observation, wanted.observation)
    assert reached.reward == 2.0 * wanted.reward
    assert envs.from_gymnax(Heavy()).max_steps == 500 and envs.from_gymnax(Heavy(), name="mine").name == "mine"


def test_parameters_without_a_limit_of_steps_and_a_class_are_refused_in_words():
    with pytest.raises(ValueError, match="Heavy: its params must have max_steps_in_episode"):
        envs.from_gymnax(Heavy(), params=object())
    with pytest.raises(ValueError, match=r"Heavy is a class: give one of its environments, Heavy\(\)"):
        envs.from_gymnax(Heavy)


def test_a_package_that_is_not_there_says_what_to_install(monkeypatch):
    monkeypatch.setattr(suites.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"brax/ant needs the package brax.*: pip install 'evenhand\[brax\]'"):
        envs.make("brax/ant")
    with pytest.raises(
        ValueError, match="unknown package of environments 'gym'; choose from: brax, jaxmarl, jumanji, pgx"
    ):
        envs.make("gym/ant")
    assert suites.ids_of("jumanji") == ()


OTHERS = [
    ("jumanji", "jumanji/Snake-v1", {"num_rows": 5, "num_cols": 5, "part": "grid"}, (5, 5, 5)),
    ("jumanji", "jumanji/Game2048-v1", {"max_steps_in_episode": 40}, (20,)),
    ("brax", "brax/inverted_pendulum", {"max_steps_in_episode": 40}, (4,)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("package", "name", "fields", "shape"), OTHERS)
def test_an_environment_of_another_package_is_made_stepped_and_trained_on(package, name, fields, shape):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"needs {package}")
    env = envs.make(name, **fields)
    assert env.observation_shape == shape and name in suites.ids_of(package)
    check_facts(env, None)
    check_calls(env)
    algorithm = a2c.make(env, a2c.Config(num_envs=2, num_steps=16, hidden_sizes=(8,)))
    hparams = a2c.HParams()
    state = jax.jit(algorithm.init)(jax.random.key(0), hparams)
    after, metrics = jax.jit(algorithm.step)(state, hparams)
    assert all(np.isfinite(x) for x in metrics.values()) and metrics["fault_count"] == 0
    moved = jax.tree.map(lambda x, y: bool((x != y).any()), state.params, after.params)
    assert any(jax.tree.leaves(moved))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "name", "fields", "said"),
    [
        ("jumanji", "jumanji/Snake-v2", {}, "did you mean Snake-v1"),
        (
            "jumanji",
            "jumanji/Snake-v1",
            {"part": "board"},
            "shows no 'board'; its parts are: grid, step_count, action_mask",
        ),
        ("jumanji", "jumanji/Tetris-v0", {}, "one whole number alone is supported"),
        ("jumanji", "jumanji/Snake-v1", {"rows": 3}, "unexpected keyword argument 'rows'"),
        ("brax", "brax/aunt", {}, "did you mean ant"),
    ],
)
def test_what_another_package_does_not_have_is_one_line(package, name, fields, said):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"needs {package}")
    with pytest.raises(ValueError, match=said) as refused:
        envs.make(name, **fields)
    assert "\n" not in str(refused.value)
