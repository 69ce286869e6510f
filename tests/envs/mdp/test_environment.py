"""A finite model as an environment: what is sampled is what the model says, and a time limit truncates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

import envs
from envs.mdp import State, as_env, from_arrays, problems

DRAWS = 20_000


def mixed():
    """Three states, two actions; some outcomes end the episode, some are impossible."""
    return from_arrays(
        successor=np.array([[[1, 2, 0], [2, 0, 0]], [[0, 1, 2], [1, 0, 0]], [[2, 2, 1], [0, 1, 2]]]),
        probability=np.array([[[0.2, 0.3, 0.5], [0.9, 0.1, 0]], [[0.0, 0.6, 0.4], [1, 0, 0]], [[0.1, 0.4, 0.5]] * 2]),
        reward=np.arange(18.0).reshape(3, 2, 3),
        terminated=np.arange(18).reshape(3, 2, 3) % 4 == 1,
        start=np.array([0.25, 0.0, 0.75]),
    )


def drawn(step, state, action):
    """Returns (states reached, TimeStep) of many steps from one pair."""
    keys = jax.random.split(jax.random.key(state * 10 + action), DRAWS)
    return step(keys, State(jnp.int32(state), jnp.int32(0)), action)


def test_outcomes_are_drawn_as_often_as_the_model_says_with_their_rewards_and_ends():
    mdp = mixed()
    many = jax.jit(jax.vmap(as_env(mdp, "mixed", 10).step, (0, None, None)))
    for state, action in np.ndindex(3, 2):
        reached, step = drawn(many, state, action)
        outcome = np.argmax(np.asarray(step.reward)[:, None] == mdp.reward[state, action], 1)  # rewards tell them apart
        np.testing.assert_array_equal(step.reward, mdp.reward[state, action][outcome])
        counts, chance = np.bincount(outcome, minlength=3), mdp.probability[state, action]
        assert (counts[chance == 0] == 0).all()
        assert np.ptp(chance) == 1.0 or chisquare(counts[chance > 0], DRAWS * chance[chance > 0]).pvalue > 1e-4
        np.testing.assert_array_equal(reached.index, mdp.successor[state, action][outcome])
        np.testing.assert_array_equal(step.terminated, mdp.terminated[state, action][outcome])
        np.testing.assert_array_equal(step.observation, np.eye(3)[np.asarray(reached.index)])


def test_episodes_begin_as_often_in_each_state_as_the_model_says():
    state, observation = jax.jit(jax.vmap(as_env(mixed(), "mixed", 10).reset))(
        jax.random.split(jax.random.key(0), DRAWS)
    )
    counts = np.bincount(np.asarray(state.index), minlength=3)
    assert counts[1] == 0 and chisquare(counts[[0, 2]], [DRAWS / 4, 3 * DRAWS / 4]).pvalue > 1e-4
    np.testing.assert_array_equal(observation, np.eye(3)[np.asarray(state.index)])


def test_the_time_limit_truncates_and_does_not_terminate():
    env = as_env(problems.model("Gridworld"), "grid", 3)
    state, one_step = State(jnp.int32(0), jnp.int32(0)), jax.jit(env.step)
    for last in (False, False, True):
        state, step = one_step(jax.random.key(1), state, 0)
        assert bool(step.truncated) == last and not step.terminated


def test_features_are_observed_where_a_problem_has_them():
    env = envs.make("Baird")
    assert env.observation_shape == (8,)
    _, step = jax.jit(env.step)(jax.random.key(0), State(jnp.int32(0), jnp.int32(0)), 1)
    np.testing.assert_array_equal(step.observation, [0, 0, 0, 0, 0, 0, 1, 2])


@pytest.mark.parametrize("name", problems.IDS)
def test_every_problem_is_an_environment_that_carries_its_model(name):
    env = envs.make(name)
    assert env.name == name and env.action.n == env.model.num_actions
    state, observation = jax.eval_shape(env.reset, jax.random.key(0))
    assert observation.shape == env.observation_shape and observation.dtype == jnp.float32


def test_features_and_rewards_that_could_not_be_observed_are_refused():
    for features in (np.eye(2), np.full((1, 2), np.nan)):
        with pytest.raises(ValueError, match=r"features must be finite, \[1, ...\], not"):
            as_env(from_arrays(np.zeros((1, 1, 1)), 1.0, 0.0, False), "one", 10, features)
    with pytest.raises(ValueError, match="a reward of size 1e.300 is beyond float32"):
        as_env(from_arrays(np.zeros((1, 1, 1)), 1.0, -1e300, False), "one", 10)


def test_a_limit_below_one_is_refused():
    with pytest.raises(ValueError, match="max_steps must be 1 or more, not 0"):
        as_env(mixed(), "mixed", 0)
    with pytest.raises(ValueError, match="max_steps_in_episode must be a whole number, 1 or more, not 0"):
        envs.make("Baird", max_steps_in_episode=0)
