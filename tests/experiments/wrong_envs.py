"""Environments with one fault each; the line to look at is marked, else it is the first of the function that makes it."""

import random

import jax
import jax.numpy as jnp
import numpy as np

from envs import Box, Discrete, Env, TimeStep, wrappers

MEMORY = {}


def reset(key):
    return jnp.float32(0.0), jnp.zeros(2)


def step(key, state, action):
    return state + 1.0, TimeStep(jnp.ones(2), jnp.float32(1.0), state > 8.0, jnp.bool_(False))


TWO = Discrete(2)


def env(reset=reset, step=step, shape=(2,), action=TWO, max_steps=20, bounds=None):
    return Env("wrong", reset, step, shape, action, max_steps, bounds)


def sound():
    return env()


def no_env():
    return reset, step


def no_steps():
    return env(max_steps=0)


def half_a_step():
    return env(max_steps=20.5)


def list_of_sizes():
    return env(shape=[2])


def number_of_actions():
    return env(action=2)


def box_upside_down():
    return env(action=Box((1.0,), (-1.0,)))


def bounds_that_are_one_number():
    return env(bounds=3)


def bounds_of_another_shape():
    return env(bounds=(np.zeros(3), np.ones(3)))


def factory_fails():
    return env(action=Discrete(len(None)))  # wrong


def reset_the_other_way_round():
    def reset(key):
        return jnp.zeros(2), jnp.float32(0.0)  # wrong

    return env(reset)


def reset_gives_one_array():
    def reset(key):
        return jnp.zeros(2)  # wrong

    return env(reset)


def reset_gives_three():
    def reset(key):
        return jnp.float32(0.0), jnp.zeros(2), {}  # wrong

    return env(reset)


def five_values():
    def step(key, state, action):
        return jnp.ones(2), 1.0, False, False, {}  # wrong

    return env(step=step)


def time_step_first():
    def step(key, state, action):
        return TimeStep(jnp.ones(2), 1.0, False, False), state  # wrong

    return env(step=step)


def observation_smaller_than_declared():
    def reset(key):
        return jnp.float32(0.0), jnp.zeros(1)  # wrong

    return env(reset)


def observation_changes_its_shape():
    def step(key, state, action):
        return state, TimeStep(jnp.ones(1), 1.0, False, False)  # wrong

    return env(step=step)


def observation_of_integers():
    def reset(key):
        return jnp.float32(0.0), jnp.zeros(2, int)  # wrong

    return env(reset)


def observation_in_a_dict():
    def reset(key):
        return jnp.float32(0.0), {"place": jnp.zeros(2)}  # wrong

    return env(reset)


def reward_in_an_array():
    def step(key, state, action):
        return state, TimeStep(jnp.ones(2), jnp.ones(1), False, False)  # wrong

    return env(step=step)


def reward_missing():
    def step(key, state, action):
        return state, TimeStep(jnp.ones(2), None, False, False)  # wrong

    return env(step=step)


def terminated_as_integer():
    def step(key, state, action):
        return state, TimeStep(jnp.ones(2), 1.0, jnp.int32(0), False)  # wrong

    return env(step=step)


def truncated_as_float():
    def step(key, state, action):
        return state, TimeStep(jnp.ones(2), 1.0, False, 0.0)  # wrong

    return env(step=step)


def terminated_in_an_array():
    def step(key, state, action):
        return state, TimeStep(jnp.ones(2), 1.0, jnp.zeros(1, bool), False)  # wrong

    return env(step=step)


def python_if():
    def step(key, state, action):
        if state > 8.0:  # wrong
            return state, TimeStep(jnp.ones(2), 1.0, True, False)
        return state, TimeStep(jnp.ones(2), 1.0, False, False)

    return env(step=step)


def state_becomes_float():
    def reset(key):
        return {"place": jnp.int32(0)}, jnp.zeros(2)

    def step(key, state, action):
        return {"place": state["place"] + 0.5}, TimeStep(jnp.ones(2), 1.0, False, False)  # wrong

    return env(reset, step)


def state_grows():
    def reset(key):
        return jnp.zeros(1), jnp.zeros(2)

    def step(key, state, action):
        return jnp.append(state, 1.0), TimeStep(jnp.ones(2), 1.0, False, False)  # wrong

    return env(reset, step)


def state_of_another_kind():
    def step(key, state, action):
        return (state, state), TimeStep(jnp.ones(2), 1.0, False, False)  # wrong

    return env(step=step)


def word_in_the_state():
    def reset(key):
        return {"phase": "begin"}, jnp.zeros(2)  # wrong

    return env(reset)


def unknown_name():
    def step(key, state, action):
        return state, TimeStep(jnp.ones(2) * speed, 1.0, False, False)  # noqa: F821  # wrong

    return env(step=step)


def counts_in_python():
    count = [0]

    def step(key, state, action):
        count[0] += 1
        return state, TimeStep(jnp.ones(2) * count[0], 1.0, False, False)  # wrong

    return env(step=step)


def chance_from_python():
    def reset(key):
        return jnp.float32(0.0), jnp.ones(2) * random.random()  # wrong

    return env(reset)


def chance_from_numpy():
    def reset(key):
        return jnp.float32(0.0), jnp.asarray(np.random.default_rng().normal(size=2), jnp.float32)  # wrong

    return env(reset)


def goal_kept_in_python():
    def reset(key):
        MEMORY["goal"] = jax.random.uniform(key)
        return jnp.float32(0.0), jnp.zeros(2)

    def step(key, state, action):
        return state, TimeStep(jnp.ones(2), 1.0, state > MEMORY["goal"], False)  # wrong

    return env(reset, step)


# What shows only when it runs.


def nan_reward():
    def step(key, state, action):
        reward = jnp.where((state == 6.0) & (action == 1), jnp.nan, 1.0)
        return state + 1.0, TimeStep(jnp.ones(2), reward, state > 8.0, False)  # wrong

    return env(step=step)


def infinite_observation():
    def step(key, state, action):
        return state + 1.0, TimeStep(1.0 / (3.0 - state) * jnp.ones(2), 1.0, state > 8.0, False)  # wrong

    return env(step=step)


def nan_at_the_beginning():
    def reset(key):
        return jnp.float32(0.0), jnp.full(2, jnp.nan)

    def step(key, state, action):
        return state + 1.0, TimeStep(jnp.ones(2), 1.0, state > 8.0, False)  # wrong

    return env(reset, step)


def bounds_that_are_not_true():
    def step(key, state, action):
        return state + 1.0, TimeStep(jnp.stack([state, 0.0]), 1.0, state > 8.0, False)  # wrong

    return env(step=step, bounds=(np.zeros(2), np.full(2, 5.0)))


def breaks_at_the_largest_action():
    def step(key, state, action):
        reward = jnp.log(5.0 - action[0])
        return state + 1.0, TimeStep(jnp.ones(2), reward, state > 8.0, False)  # wrong

    return env(step=step, action=Box((-5.0,), (5.0,)))


def chance_at_run_time():
    def step(key, state, action):
        shape = jax.ShapeDtypeStruct((2,), np.float32)
        noise = jax.pure_callback(
            lambda state: np.random.default_rng().normal(size=(*np.shape(state), 2)).astype(np.float32),
            shape, state, vmap_method="expand_dims",
        )  # fmt: skip
        return state + 1.0, TimeStep(noise, 1.0, state > 8.0, False)  # wrong

    return env(step=step)


def fails_at_run_time():
    def step(key, state, action):
        reward = jax.pure_callback(
            lambda state: 1 / 0, jax.ShapeDtypeStruct((), np.float32), state, vmap_method="sequential"
        )
        return state + 1.0, TimeStep(jnp.ones(2), reward, state > 8.0, False)  # wrong

    return env(step=step)


def endless():
    def step(key, state, action):
        return state + 1.0, TimeStep(jnp.ones(2), 1.0, False, False)  # wrong

    return env(step=step)


def endless_and_without_a_limit():
    def step(key, state, action):
        return state + 1.0, TimeStep(jnp.ones(2), 1.0, False, False)  # wrong

    return env(step=step, max_steps=10**9)


def sized(steps):
    return env(max_steps=steps)


def reward_by_a_function_of_two():
    return wrappers.transform_reward(env(), jnp.add)  # wrong


def step_without_a_key():
    def keyless(state, action):
        return step(None, state, action)  # wrong

    return env(step=keyless)


def reset_without_a_key():
    return env(reset=lambda: reset(None))  # wrong


def observation_of_two_dtypes():
    def other(key, state, action):
        state, reached = step(key, state, action)
        return state, reached.replace(observation=reached.observation > 0.0)  # wrong

    return env(step=other)


def rewards_its_action():
    def step(key, state, action):
        return state + 1.0, TimeStep(jnp.ones(2), action[0], state > 8.0, jnp.bool_(False))

    return env(step=step, action=Box((-5.0,), (5.0,)))
