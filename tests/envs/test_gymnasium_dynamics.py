"""One step from an injected state gives what gymnasium gives, to 1e-4 in float32 (proofs.md, row 1)."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import envs

TOLERANCE = 1e-4
FIELDS = {
    "CartPole-v1": ("x", "x_dot", "theta", "theta_dot"),
    "Acrobot-v1": ("joint_angle1", "joint_angle2", "velocity_1", "velocity_2"),
    "MountainCar-v0": ("position", "velocity"),
    "Pendulum-v1": ("theta", "theta_dot"),
    "MountainCarContinuous-v0": ("position", "velocity"),
}


def uniform(low, high, count=300, seed=0):
    """Returns [count, d] states between the corners, representable in float32."""
    return np.random.default_rng(seed).uniform(low, high, (count, len(low))).astype(np.float32)


def grid(*axes):
    """Returns every combination of the values on the axes, [count, d] float32."""
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes)).astype(np.float32)


def cartpole_states():
    anywhere = uniform([-2.4, -4.0, -0.209, -4.0], [2.4, 4.0, 0.209, 4.0])
    right = uniform([2.39, -1.0, -0.2, -1.0], [2.4, 1.0, 0.2, 1.0])
    falling = uniform([-2.0, -1.0, 0.2, -1.0], [2.0, 1.0, 0.2094, 1.0])
    return np.concatenate([anywhere, right, -right, falling, -falling])


def acrobot_states():
    swinging = uniform([-np.pi, -np.pi, -4.0, -6.0], [np.pi, np.pi, 4.0, 6.0])
    hanging = uniform([-0.1] * 4, [0.1] * 4)
    high = uniform([2.0, -0.5, -3.0, -3.0], [3.1, 0.5, 3.0, 3.0])
    fastest = grid([0.5, 3.0], [-3.0, 1.0], [-4 * np.pi, 4 * np.pi], [-9 * np.pi, 9 * np.pi])
    return np.concatenate([swinging, hanging, high, -high, fastest])


def mountain_car_states():
    anywhere = uniform([-1.2, -0.07], [0.6, 0.07])
    at_wall = grid([-1.2, -1.1999, -1.19, -1.15], [-0.07, -0.04, -0.01, -0.001, 0.0, 0.001, 0.07])
    at_goal = uniform([0.43, -0.07], [0.5, 0.07])
    return np.concatenate([anywhere, at_wall, at_goal])


def mountain_car_continuous_states():
    # Beyond the goal with a velocity to the left the two differ (gymnax stops the car there), but no episode that
    # has not ended is ever in such a state: whatever crosses the goal moves to the right and terminates.
    states = np.concatenate([mountain_car_states(), uniform([0.38, -0.07], [0.45, 0.07])])
    return states[states[:, 0] < 0.45]


def pendulum_states():
    anywhere = uniform([-20.0, -8.0], [20.0, 8.0])
    edges = grid([-3 * np.pi, -np.pi, 0.0, np.pi, 3.1415, 3 * np.pi], [-8.0, -7.99, 0.0, 7.99, 8.0])
    return np.concatenate([anywhere, edges])


def with_every_action(states, num_actions):
    """Returns each state once with each action."""
    return np.repeat(states, num_actions, axis=0), np.tile(np.arange(num_actions, dtype=np.int32), len(states))


def with_random_actions(states, limit):
    """Returns the states with actions [count, 1] that go beyond the limits, and with both limits themselves."""
    count = len(states)
    actions = [np.full((count, 1), -limit), np.full((count, 1), limit), uniform([-1.5 * limit], [1.5 * limit], count)]
    return np.tile(states, (3, 1)), np.concatenate(actions).astype(np.float32)


CASES = {
    "CartPole-v1": lambda: with_every_action(cartpole_states(), 2),
    "Acrobot-v1": lambda: with_every_action(acrobot_states(), 3),
    "MountainCar-v0": lambda: with_every_action(mountain_car_states(), 3),
    "Pendulum-v1": lambda: with_random_actions(pendulum_states(), 2.0),
    "MountainCarContinuous-v0": lambda: with_random_actions(mountain_car_continuous_states(), 1.0),
}


def our_steps(name, states, actions, **fields):
    """Returns (state, TimeStep) after one step from each state, as NumPy arrays."""
    env = envs.make(name, **fields)

    @jax.jit
    @jax.vmap
    def step(values, action):
        state, _ = env.reset(jax.random.key(0))
        state = state.replace(**{field: values[i] for i, field in enumerate(FIELDS[name])})
        return env.step(jax.random.key(1), state, action)

    return jax.tree.map(np.asarray, step(states, actions))


def injected(name, state):
    """Returns a gymnasium environment in the given state."""
    env = gymnasium.make(name).unwrapped
    env.reset(seed=0)
    env.state = np.array(state, np.float64)
    return env


def gymnasium_steps(name, states, actions):
    """Returns (observation, reward, terminated) after one step from each state."""
    env = injected(name, states[0])
    rows = []
    for state, action in zip(states, actions, strict=True):
        env.state = np.array(state, np.float64)
        env.steps_beyond_terminated = None
        rows.append(env.step(action)[:3])
    observation, reward, terminated = zip(*rows, strict=True)
    return np.stack(observation), np.array(reward, np.float64), np.array(terminated)


@pytest.mark.parametrize("name", CASES)
def test_one_step_equals_gymnasium(name):
    states, actions = CASES[name]()
    _, ours = our_steps(name, states, actions)
    observation, reward, terminated = gymnasium_steps(name, states, actions)
    np.testing.assert_allclose(ours.observation, observation, rtol=TOLERANCE, atol=TOLERANCE)
    np.testing.assert_allclose(ours.reward, reward, rtol=TOLERANCE, atol=TOLERANCE)
    np.testing.assert_array_equal(ours.terminated, terminated)
    assert not ours.truncated.any()
    # a comparison that never meets both outcomes would not test the condition
    assert set(terminated.tolist()) == ({False} if name == "Pendulum-v1" else {False, True})


@pytest.mark.parametrize("name", CASES)
def test_the_step_limit_truncates_and_leaves_termination_to_the_dynamics(name):
    states, actions = CASES[name]()
    _, ours = our_steps(name, states, actions, max_steps_in_episode=1)
    assert ours.truncated.all()
    np.testing.assert_array_equal(ours.terminated, gymnasium_steps(name, states, actions)[2])


@pytest.mark.parametrize("name", ["MountainCar-v0", "MountainCarContinuous-v0"])
def test_the_left_wall_stops_the_car(name):
    push_left = np.int32(0) if name == "MountainCar-v0" else np.array([-1.0], np.float32)
    state, ours = our_steps(name, np.array([[-1.19, -0.05]], np.float32), np.stack([push_left]))
    np.testing.assert_allclose(ours.observation[0], [-1.2, 0.0], atol=1e-6)
    assert state.velocity[0] == 0.0, "the state must agree with the observation"


def test_24_steps_against_the_left_wall_of_mountain_car_continuous_equal_gymnasium():
    env, start, push_left = envs.make("MountainCarContinuous-v0"), [-0.9, -0.03], np.array([-1.0], np.float32)
    state, _ = env.reset(jax.random.key(0))
    state = state.replace(position=jnp.float32(start[0]), velocity=jnp.float32(start[1]))

    def step(state, key):
        state, reached = env.step(key, state, push_left)
        return state, reached.observation

    _, ours = jax.jit(lambda state: lax.scan(step, state, jax.random.split(jax.random.key(1), 24)))(state)
    oracle = injected("MountainCarContinuous-v0", start)
    theirs = np.stack([oracle.step(push_left)[0] for _ in range(24)])
    assert theirs[:, 0].min() == np.float32(-1.2), "the wall must be reached, or nothing is tested"
    np.testing.assert_allclose(np.asarray(ours), theirs, atol=TOLERANCE)
