"""Evaluation ends at the time limit, has the same bits however it is cut, and tells a faulty environment from a policy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algos.core.rollout import advance_evaluation, begin_evaluation, evaluate, faulty
from envs import Discrete, Env, TimeStep

LIMIT, EPISODES = 7, 5


def walk(ends: bool) -> Env:
    """Returns a walk whose reward is its place, from a random one; it ends at 9 or never."""

    def reset(key):
        place = jax.random.randint(key, (), 0, 8)
        return place, jnp.full(1, place, jnp.float32)

    def step(key, place, action):
        place = place + action
        reward = place + jax.random.uniform(key)
        return place, TimeStep(jnp.full(1, place, jnp.float32), reward, (place >= 9) & ends, jnp.bool_(False))

    return Env("walk", reset, step, (1,), Discrete(2), LIMIT)


def act(key, observation):
    return jax.random.bernoulli(key, 0.7).astype(jnp.int32)


def test_an_environment_that_never_ends_is_evaluated_for_as_many_steps_as_its_limit():
    env = Env("ones", lambda key: (jnp.int32(0), jnp.zeros(1)), None, (1,), Discrete(2), LIMIT)
    env = env._replace(step=lambda key, state, action: (state, TimeStep(jnp.zeros(1), 1.0, False, False)))
    returns = jax.jit(lambda key: evaluate(env, act, key, EPISODES))(jax.random.key(0))
    assert returns.tolist() == [LIMIT] * EPISODES


@pytest.mark.parametrize("size", [1, 3])
def test_an_evaluation_in_pieces_has_the_bits_of_one_in_one_piece(size):
    env, key = walk(ends=True), jax.random.key(1)
    evaluation = begin_evaluation(env, key, EPISODES)
    advance = jax.jit(lambda evaluation, num_steps: advance_evaluation(env, act, evaluation, num_steps))
    pieces = 0
    while evaluation.running.any():
        evaluation, pieces = advance(evaluation, size), pieces + 1
    whole = advance(begin_evaluation(env, key, EPISODES), LIMIT)
    assert pieces > 1
    jax.tree.map(np.testing.assert_array_equal, evaluation.replace(key=0), whole.replace(key=0))
    np.testing.assert_array_equal(evaluate(env, act, key, EPISODES), whole.returns)


def test_what_is_not_finite_is_the_environments_fault_where_the_action_was_finite():
    nan = jnp.nan
    reward = jnp.array([1.0, nan, 1.0, nan, jnp.inf])
    observation = jnp.array([[0.0, 0.0], [0.0, 0.0], [0.0, -jnp.inf], [nan, nan], [0.0, 0.0]])
    action = jnp.array([[0.0], [0.0], [0.0], [nan], [3.0]])
    assert faulty(action, reward, observation).tolist() == [False, True, True, False, True]
    assert faulty(jnp.zeros(5, jnp.int32), reward, observation > 0.0).tolist() == [False, True, False, True, True]


def test_observations_that_are_not_finite_are_counted_while_an_episode_runs():
    def env(wrong):
        def step(key, place, action):
            place = place + 1
            return place, TimeStep(jnp.where(place == wrong, jnp.nan, jnp.ones(1)), 1.0, place >= 5, False)

        def reset(key):
            return jax.random.randint(key, (), 0, 3), jnp.zeros(1)

        return Env("nan", reset, step, (1,), Discrete(2), LIMIT)

    for wrong, faults in ((3, EPISODES), (6, 0)):  # within every episode, or after its end while another goes on
        evaluation = begin_evaluation(env(wrong), jax.random.key(0), EPISODES)
        assert len(set(evaluation.environment.tolist())) > 1
        evaluation = advance_evaluation(env(wrong), act, evaluation, LIMIT)
        assert evaluation.faults == faults and jnp.isfinite(evaluation.returns).all()
