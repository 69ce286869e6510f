"""Wrappers, against what Python loops say of an environment that can be reckoned by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs import Box, Discrete, Env, TimeStep, wrappers

LIMIT = 11


def counter(shape=(2,)):
    """The time and the last action: a step's reward is the action plus a tenth of the time, from 7 on it terminates."""

    def observe(time, action):
        return jnp.zeros(shape, jnp.float32) + jnp.stack([time, action]).astype(jnp.float32)

    def reset(key):
        return jnp.int32(0), observe(jnp.int32(0), jnp.int32(0))

    def step(key, time, action):
        time = time + 1
        reached = TimeStep(observe(time, action), action + 0.1 * time, time >= 7, jnp.bool_(False))
        return time, reached

    bounds = (np.zeros(shape, np.float32), np.full(shape, 20.0, np.float32))
    draw = lambda time, observation: np.full((1, 1, 3), int(time), np.uint8)  # noqa: E731
    return Env("counter", reset, step, shape, Discrete(3), LIMIT, bounds, draw=draw)


def played(env, actions, seed=0):
    """Returns (first observation, steps) as NumPy."""
    state, first = env.reset(jax.random.key(seed))
    step, steps = jax.jit(env.step), []
    for number, action in enumerate(actions):
        state, reached = step(jax.random.key(100 * seed + number), state, jnp.int32(action))
        steps.append(jax.device_get((reached, state)))
    return np.asarray(first), steps


def test_a_stack_shows_the_last_observations_oldest_first_and_the_first_one_before_there_are_more():
    env = wrappers.frame_stack(counter(), 3)
    first, steps = played(env, [2, 1, 0])
    np.testing.assert_array_equal(first, [0, 0] * 3)
    np.testing.assert_array_equal(steps[0][0].observation, [0, 0, 0, 0, 1, 2])
    np.testing.assert_array_equal(steps[2][0].observation, [1, 2, 2, 1, 3, 0])
    assert env.observation_shape == (6,) and env.observation_bounds[1].shape == (6,)
    assert env.draw(steps[2][1], steps[2][0].observation)[0, 0, 0] == 3


def test_images_are_stacked_channel_beside_channel():
    env = envs.make("Breakout-MinAtar")
    stacked = wrappers.frame_stack(env, 2)
    state, observation = stacked.reset(jax.random.key(0))
    _, reached = jax.jit(stacked.step)(jax.random.key(1), state, jnp.int32(1))
    _, alone = jax.jit(env.step)(jax.random.key(1), env.reset(jax.random.key(0))[0], jnp.int32(1))
    assert stacked.observation_shape == (10, 10, 8) == reached.observation.shape
    np.testing.assert_array_equal(reached.observation[..., :4], observation[..., 4:])
    np.testing.assert_array_equal(reached.observation[..., 4:], alone.observation)


def test_a_sticky_action_is_the_one_before_as_often_as_it_should_be_and_never_the_first():
    env = wrappers.sticky_actions(counter()._replace(step=lambda key, time, action: _forever(time, action)), 0.25)
    actions = np.random.default_rng(0).integers(3, size=4000)
    keys = jax.random.split(jax.random.key(5), len(actions))
    state, _ = env.reset(jax.random.key(0))

    def one(state, now):
        state, reached = env.step(now[0], state, now[1])
        return state, reached.observation[1]

    _, done = jax.lax.scan(one, state, (keys, jnp.asarray(actions, jnp.int32)))
    done = np.asarray(done)
    assert done[0] == actions[0]
    differs = actions[1:] != done[:-1]
    sticks = (done[1:] == done[:-1])[differs]
    assert ((done[1:] == done[:-1]) | (done[1:] == actions[1:])).all()
    assert abs(sticks.mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / len(sticks))


def _forever(time, action):
    observation = jnp.stack([time, action]).astype(jnp.float32)
    return time + 1, TimeStep(observation, jnp.float32(0.0), jnp.bool_(False), jnp.bool_(False))


def test_sticky_actions_of_probability_0_and_1_and_of_a_box():
    _, never = played(wrappers.sticky_actions(counter(), 0.0), [2, 1, 0])
    _, always = played(wrappers.sticky_actions(counter(), 1.0), [2, 1, 0])
    assert [step.observation[1] for step, _ in never] == [2, 1, 0]
    assert [step.observation[1] for step, _ in always] == [2, 2, 2]
    pendulum = wrappers.sticky_actions(envs.make("Pendulum-v1"), 1.0)
    state, _ = pendulum.reset(jax.random.key(0))
    for action in (0.5, -0.7):
        state, _ = jax.jit(pendulum.step)(jax.random.key(1), state, jnp.array([action]))
    np.testing.assert_array_equal(state[1], np.float32([0.5]))


@pytest.mark.parametrize("times", [1, 2, 3, 4])
def test_a_repeated_action_earns_the_sum_of_its_steps_and_stops_where_the_episode_ends(times):
    env = wrappers.action_repeat(counter(), times)
    _, steps = played(env, [1] * -(-7 // times))
    time = 0
    for reached, _ in steps:
        reward = 0.0
        for _ in range(times):
            if time < 7:
                time += 1
                reward += 1 + 0.1 * time
        np.testing.assert_allclose(reached.reward, reward, rtol=1e-6)
        assert reached.observation[0] == time and reached.terminated == (time >= 7)
    assert env.max_steps == -(-LIMIT // times)


def test_a_repeated_action_is_truncated_at_the_limit_of_steps_within_it():
    env = wrappers.action_repeat(wrappers.time_limit(counter(), 5), 3)
    _, steps = played(env, [0, 0])
    (one, _), (two, _) = steps
    assert (one.truncated, two.truncated, two.terminated, two.observation[0]) == (False, True, False, 5)


def test_rewards_and_observations_are_transformed_and_what_is_drawn_is_the_environments_own():
    env = wrappers.transform_reward(counter(), jnp.sign)
    env = wrappers.transform_observation(env, lambda x: jnp.concatenate([x, x**2])[:3])
    first, steps = played(env, [2, 0])
    np.testing.assert_array_equal(first, [0, 0, 0])
    np.testing.assert_array_equal(steps[1][0].observation, [2, 0, 4])
    assert steps[0][0].reward == 1.0 and env.observation_shape == (3,) and env.observation_bounds is None
    assert env.draw(steps[1][1], steps[1][0].observation)[0, 0, 0] == 2


def test_a_shorter_limit_truncates_and_a_longer_one_is_refused():
    assert wrappers.time_limit(counter(), 4).max_steps == 4
    with pytest.raises(ValueError, match="counter truncates after 11 steps itself"):
        wrappers.time_limit(counter(), 12)


def test_a_model_that_is_changed_is_none_any_more_and_one_seen_otherwise_still_is_one():
    env = envs.make("FrozenLake-4x4")
    assert wrappers.transform_reward(env, jnp.negative).model is None
    assert wrappers.sticky_actions(env).model is None
    seen = wrappers.transform_observation(env, lambda x: 2.0 * x)
    assert seen.model is env.model
    np.testing.assert_array_equal(seen.observe(3), 2.0 * np.asarray(env.observe(3)))


@pytest.mark.parametrize(
    ("wrap", "said"),
    [
        (lambda env: wrappers.frame_stack(env, 0), "frames must be a whole number, 1 or more, not 0"),
        (lambda env: wrappers.action_repeat(env, 1.5), "times must be a whole number"),
        (lambda env: wrappers.sticky_actions(env, 1.5), "probability must be from 0 to 1"),
        (lambda env: wrappers.frame_stack(env._replace(observation_shape=()), 2), "no axis to stack on"),
        (lambda env: wrappers.transform_reward(env._replace(text=1), jnp.sign), "wrappers know nothing of text"),
        (lambda env: wrappers.transform_reward(env, 5), "function must be a function, as jnp.sign, not 5"),
        (lambda env: wrappers.transform_observation(env, 5), "function must be a function, as jnp.sign, not 5"),
    ],
)
def test_what_cannot_be_is_one_line(wrap, said):
    with pytest.raises(ValueError, match=said):
        wrap(counter())


def test_nested_wrappers_make_an_environment_that_is_examined_without_a_fault():
    from experiments.lab.outside.env_trace import check_calls, check_facts

    env = envs.make("CartPole-v1")
    env = wrappers.frame_stack(wrappers.action_repeat(wrappers.sticky_actions(env, 0.1), 2), 3)
    env = wrappers.transform_observation(wrappers.transform_reward(env, jnp.sign), jnp.tanh)
    check_facts(env, None)
    check_calls(env)
    continuous = wrappers.sticky_actions(wrappers.action_repeat(envs.make("Pendulum-v1"), 2))
    assert isinstance(continuous.action, Box)
    check_calls(continuous)
