"""Wrappers: functions from an environment to another one, to be nested: frame_stack(sticky_actions(env, 0.25), 4).

What a wrapper changes of the rewards or the dynamics, the judge sees too; a finite model or a known game that it changes is none
any more. What agents see and do is left to them: `time_limit` and `transform_reward` alone take environments with agents.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from envs.core import Env

Transform = Callable[[jax.Array], jax.Array]


def time_limit(env: Env, max_steps: int) -> Env:
    """Returns the environment whose episodes are truncated after `max_steps`, no later than before. Raises ValueError."""
    _require_whole("max_steps", max_steps)
    if max_steps > env.max_steps:
        raise ValueError(f"{env.name} truncates after {env.max_steps} steps itself: no limit can be {max_steps}")
    return env._replace(max_steps=max_steps, game=env.game if max_steps == env.max_steps else None)


def frame_stack(env: Env, frames: int) -> Env:
    """Returns the environment that shows its last `frames` observations, oldest first, side by side on the last axis:
    [d] becomes [frames * d], [H, W, C] becomes [H, W, frames * C]. Before the first step all of them are the first one."""
    _require_one(env, "frame_stack")
    _require_whole("frames", frames)
    _require_axes(env)
    last = env.observation_shape[-1]

    def reset(key):
        state, observation = env.reset(key)
        stacked = jnp.concatenate([observation] * frames, axis=-1)
        return (state, stacked), stacked

    def step(key, state, action):
        inner, stacked = state
        inner, reached = env.step(key, inner, action)
        stacked = jnp.concatenate([stacked[..., last:], reached.observation], axis=-1)
        return (inner, stacked), reached.replace(observation=stacked)

    shape = (*env.observation_shape[:-1], frames * last)
    bounds = env.observation_bounds
    bounds = bounds and tuple(np.concatenate([np.asarray(bound)] * frames, axis=-1) for bound in bounds)
    shown = _drawn(env, lambda state: state[0], lambda observation: observation[..., -last:])
    return _changed(env, reset, step, observation_shape=shape, observation_bounds=bounds, draw=shown)


def sticky_actions(env: Env, probability: float = 0.25) -> Env:
    """Returns the environment that with this probability does the action before again, in place of the one that it is
    given (Machado et al. 2018, arXiv 1709.06009); the first action of an episode is always done."""
    _require_one(env, "sticky_actions")
    if not 0.0 <= probability <= 1.0:
        raise ValueError(f"probability must be from 0 to 1, not {probability}")
    dtype = jnp.int32 if env.action.shape == () and hasattr(env.action, "n") else jnp.float32

    def reset(key):
        state, observation = env.reset(key)
        return (state, jnp.zeros(env.action.shape, dtype), jnp.bool_(False)), observation

    def step(key, state, action):
        inner, before, begun = state
        key_sticks, key_step = jax.random.split(key)
        sticks = begun & jax.random.bernoulli(key_sticks, probability)
        done = jnp.where(sticks, before, jnp.asarray(action, dtype))
        inner, reached = env.step(key_step, inner, done)
        return (inner, done, jnp.bool_(True)), reached

    return _changed(env, reset, step, draw=_drawn(env, lambda state: state[0]))


def action_repeat(env: Env, times: int) -> Env:
    """Returns the environment whose step is `times` steps with one action, the rewards added up; it stops where the episode
    ends, by itself or at its limit of steps."""
    _require_one(env, "action_repeat")
    _require_whole("times", times)

    def reset(key):
        state, observation = env.reset(key)
        return (state, jnp.int32(0)), observation

    def once(action, key, carry):
        inner, reached, made = carry
        inner, now = env.step(key, inner, action)
        truncated = now.truncated | (made + 1 >= env.max_steps)
        reward = reached.reward + jnp.asarray(now.reward, jnp.float32)
        return inner, now.replace(reward=reward, truncated=truncated), made + 1

    def step(key, state, action):
        inner, made = state
        keys = jax.random.split(key, times)
        _, shapes = jax.eval_shape(env.step, key, inner, action)
        nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        nothing = nothing.replace(reward=jnp.float32(0.0), terminated=jnp.bool_(False), truncated=jnp.bool_(False))

        def again(number, carry):
            is_over = carry[1].terminated | carry[1].truncated
            return lax.cond(is_over, lambda carry: carry, lambda carry: once(action, keys[number], carry), carry)

        inner, reached, made = lax.fori_loop(0, times, again, (inner, nothing, made))
        return (inner, made), reached

    steps = math.ceil(env.max_steps / times)
    return _changed(env, reset, step, max_steps=steps, draw=_drawn(env, lambda state: state[0]))


def transform_observation(env: Env, function: Transform, bounds: tuple[Any, Any] | None = None) -> Env:
    """Returns the environment that shows function(observation), of any shape; bounds: (low, high) of what it then shows."""
    _require_one(env, "transform_observation")
    _require_function(function)

    def reset(key):
        state, observation = env.reset(key)
        return (state, observation), function(observation)

    def step(key, state, action):
        inner, reached = env.step(key, state[0], action)
        return (inner, reached.observation), reached.replace(observation=function(reached.observation))

    shape = jax.eval_shape(reset, jax.random.key(0))[1].shape
    shown = env.draw and (lambda state, observation: env.draw(*state))
    observe = env.observe and (lambda state: function(env.observe(state)))
    changed = _changed(env, reset, step, observation_shape=shape, observation_bounds=bounds, draw=shown)
    return changed._replace(model=env.model, observe=observe)


def transform_reward(env: Env, function: Transform) -> Env:
    """Returns the environment that pays function(reward), in training and in evaluation."""
    _require_function(function)

    def step(key, state, action):
        state, reached = env.step(key, state, action)
        return state, reached.replace(reward=function(jnp.asarray(reached.reward, jnp.float32)))

    return _changed(env, env.reset, step)


def _changed(env: Env, reset, step, **fields) -> Env:
    """Returns the environment with other functions. Raises ValueError for a language task, whose text no wrapper knows."""
    if env.text is not None:
        raise ValueError(f"{env.name} is a language task, and wrappers know nothing of text")
    return env._replace(reset=reset, step=step, model=None, observe=None, game=None, **fields)


def _drawn(env: Env, inner: Callable[[Any], Any], seen: Callable[[Any], Any] = lambda observation: observation):
    """Returns what draws the environment from a wrapper's state and observation; None where nothing draws it."""
    if env.draw is None:
        return None
    return lambda state, observation: env.draw(inner(state), seen(observation))


def _require_one(env: Env, name: str) -> None:
    if env.agents is not None:
        raise ValueError(f"{name} is for one agent, and {env.name} has {env.agents}")


def _require_whole(name: str, value: int) -> None:
    if type(value) is not int or value < 1:
        raise ValueError(f"{name} must be a whole number, 1 or more, not {value!r}")


def _require_function(function: Transform) -> None:
    if not callable(function):
        raise ValueError(f"function must be a function, as jnp.sign, not {function!r}")


def _require_axes(env: Env) -> None:
    if not env.observation_shape:
        raise ValueError(
            f"{env.name} shows one number, which has no axis to stack on: transform_observation gives it one"
        )
