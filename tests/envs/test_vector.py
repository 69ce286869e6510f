"""Stepping many copies together is the same as stepping each alone, with resets and statistics kept by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import envs
from envs import Discrete, Env, TimeStep

GOAL, LIMIT = 6, 5


def counter() -> Env:
    """Returns a walk from a random place: terminated at GOAL or beyond, truncated after LIMIT steps.

    The state has leaves of different ranks, and the observation has as many entries as there are environments below:
    a selection that broadcasts along the wrong axis then shows.
    """

    def observe(state):
        return jnp.stack([state["birth"][0], state["position"].astype(jnp.float32), state["time"].astype(jnp.float32)])

    def reset(key):
        birth = jax.random.uniform(key, (2, 3))
        state = {"position": jnp.int32(4.0 * birth[0, 1]), "time": jnp.int32(0), "birth": birth[:, 0]}
        return state, observe(state)

    def step(key, state, action):
        state = state | {"position": state["position"] + action, "time": state["time"] + 1}
        reward = 0.5 * state["position"].astype(jnp.float32) - 1.0
        return state, TimeStep(observe(state), reward, state["position"] >= GOAL, state["time"] >= LIMIT)

    return Env("counter", reset, step, (3,), Discrete(2), LIMIT)


@functools.cache
def run(name: str, num_envs: int, num_steps: int):
    """Returns the rollout of a random policy as NumPy: first state, draws, actions, states, reached, episodes."""
    env = counter() if name == "counter" else envs.make(name)
    vector = envs.vectorize(env, num_envs)

    def scan(key):
        key_reset, key_draw, key_action = jax.random.split(key, 3)
        first, draws = vector.reset(key_reset), vector.draw(key_draw, num_steps)
        actions = jax.random.randint(key_action, (num_steps, num_envs), 0, env.action.n)

        def one_step(state, randomness):
            state, reached, episode = vector.step(state, *randomness)
            return state, (state, reached, episode)

        return first, draws, actions, *lax.scan(one_step, first, (draws, actions))[1]

    first, draws, *rest = jax.jit(scan)(jax.random.key(0))
    keys, draws = draws.key, draws.replace(key=jax.random.key_data(draws.key))
    return keys, *jax.tree.map(np.asarray, (first, draws, *rest))


def counter_run():
    return run("counter", 3, 200)


def assert_close(tree, other, tolerance=0.0):
    """Asserts that all leaves agree to an absolute tolerance, exactly by default."""
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=0.0, atol=tolerance), tree, other)


def at(tree, *index):
    """Returns the tree with every leaf indexed."""
    return jax.tree.map(lambda x: x[index], tree)


def test_the_counter_ends_in_all_three_ways():
    *_, reached, _ = counter_run()
    ends = set(zip(reached.terminated.ravel().tolist(), reached.truncated.ravel().tolist(), strict=True))
    assert ends == {(False, False), (True, False), (False, True), (True, True)}


def test_every_step_and_statistic_equals_a_python_loop_over_the_counter():
    _, first, draws, actions, states, reached, episodes = counter_run()
    for i in range(3):
        birth, position, time = first.observation[i].tolist()
        total = 0.0
        for t in range(200):
            position, time = position + actions[t, i], time + 1
            reward = 0.5 * position - 1.0
            total += reward
            terminated, truncated = position >= GOAL, time >= LIMIT
            assert reached.observation[t, i].tolist() == [birth, position, time]
            assert reached.reward[t, i] == reward
            assert (reached.terminated[t, i], reached.truncated[t, i]) == (terminated, truncated)
            assert episodes.ended[t, i] == (terminated or truncated)
            if terminated or truncated:
                assert (episodes.episode_return[t, i], episodes.length[t, i]) == (total, time)
                birth, position, time = draws.reset_observation[t, i].tolist()
                total = 0.0
            assert states.observation[t, i].tolist() == [birth, position, time]
            assert (states.episode_return[t, i], states.episode_length[t, i]) == (total, time)


def test_cartpole_and_its_statistics_equal_a_python_loop_over_single_steps():
    keys, first, draws, actions, states, reached, episodes = run("CartPole-v1", 3, 80)
    step = jax.jit(envs.make("CartPole-v1").step)
    ends = 0
    for i in range(3):
        state, total, length = at(first.environment, i), 0.0, 0
        for t in range(80):
            state, alone = step(keys[t, i], state, actions[t, i])
            total, length = total + float(alone.reward), length + 1
            np.testing.assert_allclose(reached.observation[t, i], alone.observation, atol=1e-5)
            assert reached.terminated[t, i] == alone.terminated
            assert episodes.ended[t, i] == alone.terminated
            if alone.terminated:
                assert (episodes.episode_return[t, i], episodes.length[t, i]) == (total, length)
                state, total, length = at(draws.reset_environment, t, i), 0.0, 0
                ends += 1
            assert_close(at(states.environment, t, i), state, 1e-5)
    assert ends >= 6


def test_the_observation_reached_differs_from_the_one_after_the_reset():
    _, _, _, _, states, reached, episodes = counter_run()
    assert (reached.observation[episodes.ended] != states.observation[episodes.ended]).any(axis=-1).all()
    np.testing.assert_array_equal(reached.observation[~episodes.ended], states.observation[~episodes.ended])


def test_truncation_and_termination_are_not_merged():
    _, _, _, _, _, reached, _ = counter_run()
    np.testing.assert_array_equal(reached.terminated, reached.observation[..., 1] >= GOAL)
    np.testing.assert_array_equal(reached.truncated, reached.observation[..., 2] >= LIMIT)


@pytest.mark.parametrize("size", [("counter", 3, 200), ("CartPole-v1", 8, 200)])
def test_after_an_end_the_state_is_the_drawn_one_in_every_leaf(size):
    _, _, draws, _, states, _, episodes = run(*size)
    ended = episodes.ended
    assert ended.sum() > 30
    assert_close(at(states.environment, ended), at(draws.reset_environment, ended))
    assert_close(states.observation[ended], draws.reset_observation[ended])
    assert (states.episode_return[ended] == 0.0).all() and (states.episode_length[ended] == 0).all()


def test_environment_i_begins_the_same_for_any_number_of_environments():
    env = envs.make("CartPole-v1")
    whole = envs.vectorize(env, 9).reset(jax.random.key(3))
    for num_envs in (1, 2, 5):
        part = envs.vectorize(env, num_envs).reset(jax.random.key(3))
        assert_close(part, at(whole, slice(num_envs)))


def test_no_two_episodes_begin_alike():
    _, first, _, _, states, _, episodes = run("CartPole-v1", 8, 200)
    begun = np.concatenate([first.observation, states.observation[episodes.ended]])
    assert len(begun) > 50
    assert len(np.unique(begun, axis=0)) == len(begun)


def test_drawn_first_states_are_all_distinct_and_uncorrelated_between_neighbours():
    _, _, draws, *_ = run("CartPole-v1", 8, 200)
    drawn = draws.reset_observation.astype(np.float64)
    assert len(np.unique(drawn.reshape(-1, 4), axis=0)) == 8 * 200
    neighbours = [(drawn[1:], drawn[:-1]), (drawn[:, 1:], drawn[:, :-1])]
    correlations = [np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in neighbours]
    # the standard error of each is 1 / sqrt(5600), 0.013
    assert np.abs(correlations).max() < 0.06


def test_no_step_key_is_drawn_twice():
    _, _, draws, *_ = run("CartPole-v1", 8, 200)
    keys = draws.key.reshape(8 * 200, -1)
    assert len(np.unique(keys, axis=0)) == 8 * 200


def test_no_reset_is_drawn_with_the_key_of_a_step():
    env = envs.make("CartPole-v1")
    draws = envs.vectorize(env, 2).draw(jax.random.key(0), 3)
    _, by_step_keys = jax.vmap(jax.vmap(env.reset))(draws.key)
    assert (by_step_keys != draws.reset_observation).any(axis=-1).all()


def test_another_key_gives_other_first_states_and_other_draws():
    vector = envs.vectorize(envs.make("CartPole-v1"), 2)
    pairs = [(vector.reset(jax.random.key(s)).observation, vector.draw(jax.random.key(s), 3)) for s in (0, 1)]
    (first, draws), (other_first, other_draws) = pairs
    assert (first != other_first).any(axis=-1).all()
    assert (draws.reset_observation != other_draws.reset_observation).any(axis=-1).all()


def test_statistics_begin_at_zero_with_fixed_types():
    state = envs.vectorize(envs.make("CartPole-v1"), 4).reset(jax.random.key(0))
    assert state.episode_return.tolist() == state.episode_length.tolist() == [0, 0, 0, 0]
    assert (state.episode_return.dtype, state.episode_length.dtype) == (jnp.float32, jnp.int32)


@pytest.mark.parametrize("num_envs", [0, -1])
def test_fewer_than_one_environment_is_refused(num_envs):
    with pytest.raises(ValueError, match=f"num_envs must be 1 or more, not {num_envs}"):
        envs.vectorize(envs.make("CartPole-v1"), num_envs)


@pytest.mark.parametrize("dtype", [jnp.int32, bool, jnp.float16])
def test_a_reward_of_any_dtype_is_float32_behind_vectorize(dtype):
    env = counter()

    def step(key, state, action):
        state, reached = env.step(key, state, action)
        return state, reached.replace(reward=jnp.ones((), dtype))

    vector = envs.vectorize(env._replace(step=step), 2)
    state, draws = vector.reset(jax.random.key(0)), vector.draw(jax.random.key(1), 1)
    state, reached, episode = vector.step(state, at(draws, 0), jnp.zeros(2, jnp.int32))
    for reward in (reached.reward, episode.episode_return):
        assert reward.dtype == jnp.float32 and reward.tolist() == [1.0, 1.0]


def test_an_environment_that_never_ends_is_truncated_at_its_limit_and_not_before():
    def step(key, state, action):
        return state + 1, TimeStep(jnp.ones(1) * state, jnp.float32(1.0), jnp.bool_(False), jnp.bool_(False))

    env = Env("endless", lambda key: (jnp.int32(0), jnp.zeros(1)), step, (1,), Discrete(2), LIMIT)
    vector = envs.vectorize(env, 2)

    def scan(key):
        rows = vector.draw(key, 3 * LIMIT), jnp.zeros((3 * LIMIT, 2), jnp.int32)
        return lax.scan(lambda state, row: (lambda s, *r: (s, r))(*vector.step(state, *row)), vector.reset(key), rows)[
            1
        ]

    reached, episodes = jax.jit(scan)(jax.random.key(0))
    due = np.arange(1, 3 * LIMIT + 1) % LIMIT == 0
    np.testing.assert_array_equal(reached.truncated, np.stack([due, due], axis=1))
    assert not reached.terminated.any()
    np.testing.assert_array_equal(episodes.ended, reached.truncated)
    assert set(episodes.length[episodes.ended].tolist()) == {LIMIT}
