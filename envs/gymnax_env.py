"""gymnax environments as `Env`: with `gymnax_corrections` all that knows gymnax."""

import inspect
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces

from envs.core import Box, Discrete, Env, TimeStep
from envs.gymnax_corrections import keep_moving, spawn_in_free_row, stop_at_left_wall
from envs.gymnax_ids import NEEDS_NETWORK

UNBOUNDED = 1e6  # gymnax writes the largest float32, or half of it, for no bound
BEYOND_BOUNDS = ("MemoryChain-bsuite", "MetaMaze-misc", "GaussianBandit-misc")  # observations leave their own spaces


def make_gymnax(name: str, **fields) -> Env:
    """Returns the gymnax environment `name`; `fields` go to its constructor or its `EnvParams`, by name.

    Raises ValueError for a field that neither has, and for a step limit below 1.
    """
    if name == NEEDS_NETWORK:
        raise ValueError(f"{name} downloads MNIST at run time and reads it wrongly; it is left out")
    return _adapted(*_construct(name, fields), name)


def from_gymnax(env, params=None, name: str | None = None) -> Env:
    """Returns a gymnax environment of one's own, at `params` or its defaults. `name`: by default its class's.

    Nothing is corrected of it: what `make` mends of gymnax's own is mended by their ids.
    """
    if isinstance(env, type):
        raise ValueError(f"{env.__name__} is a class: give one of its environments, {env.__name__}()")
    params = env.default_params if params is None else params
    if not hasattr(params, "max_steps_in_episode"):
        raise ValueError(f"{type(env).__name__}: its params must have max_steps_in_episode, as gymnax's EnvParams")
    return _adapted(env, params, name or type(env).__name__)


def _adapted(env, params, name: str) -> Env:
    """Returns the environment at the parameters, with what is mended of the gymnax id `name`."""
    observation_space = env.observation_space(params)

    def observe(observation):
        return _observation(observation, observation_space, name)

    def reset(key):
        observation, state = env.reset_env(key, params)
        return _strong(state), observe(observation)

    def step(key, state, action):
        if name == "Asterix-MinAtar":
            key_spawn, key = jax.random.split(key)
            state = keep_moving(spawn_in_free_row(key_spawn, state))
        observation, state, reward, terminated, _ = env.step_env(key, state, action, params)
        if name == "MountainCarContinuous-v0":
            state = stop_at_left_wall(state, params)
            observation = env.get_obs(state)
        reward = jnp.asarray(reward).astype(jnp.float32).reshape(())
        truncated = env.is_truncated(state, params)
        return _strong(state), TimeStep(observe(observation), reward, terminated, truncated)

    shape = jax.eval_shape(lambda key: reset(key)[1], jax.random.key(0)).shape
    limit = int(params.max_steps_in_episode)
    bounds = None if name in BEYOND_BOUNDS else _bounds(observation_space, shape)
    return Env(name, reset, step, shape, _action(env.action_space(params)), limit, bounds)


def fields_of(name: str) -> dict[str, Any]:
    """Returns the fields that `make_gymnax` takes for the id, with their defaults."""
    env, params = gymnax.make(name)
    constructor = {one.name: one.default for one in inspect.signature(type(env)).parameters.values()}
    return constructor | vars(params)


def _construct(name: str, fields: dict[str, Any]):
    """Returns the gymnax environment and its parameters with `fields` put where they belong."""
    env, params = gymnax.make(name)
    constructor = set(inspect.signature(type(env)).parameters)
    unknown = sorted(set(fields) - constructor - set(vars(params)))
    if unknown:
        allowed = ", ".join(sorted(constructor | set(vars(params)))) or "none"
        raise ValueError(f"{name} has no field {', '.join(unknown)}; its fields are: {allowed}")
    limit = fields.get("max_steps_in_episode", 1)
    if not isinstance(limit, int) or limit < 1:
        raise ValueError(f"max_steps_in_episode must be a whole number, 1 or more, not {limit!r}")
    chosen = {field: value for field, value in fields.items() if field in constructor}
    if chosen:
        env, params = gymnax.make(name, **chosen)
    # BernoulliBandit's limit is a float, and its time is compared with it as one
    rest = {field: type(getattr(params, field))(limit) if field == "max_steps_in_episode" else value
            for field, value in fields.items() if field not in constructor}  # fmt: skip
    return env, params.replace(**rest)


def _observation(observation, space, name: str) -> jax.Array:
    """Returns the observation with a fixed dtype: one-hot for a state index, bool for MinAtar, pixels stay uint8, else float32."""
    if isinstance(space, spaces.Discrete):
        return jax.nn.one_hot(observation, space.n, dtype=jnp.float32)
    if name.endswith("-MinAtar"):
        return observation.astype(bool)
    return observation.astype(jnp.uint8 if observation.dtype == jnp.uint8 else jnp.float32)


def _bounds(space, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns (low, high) of the observations, or None where the space does not say or has no bounds worth the name."""
    if not isinstance(space, spaces.Box):
        return None
    low, high = (np.broadcast_to(np.asarray(bound, np.float32), shape) for bound in (space.low, space.high))
    bounded = np.all(np.abs([low, high]) < UNBOUNDED) and np.all(low < high)
    return (low, high) if bounded else None


def _strong(state):
    """Returns the state with strong 32-bit dtypes, so that a scan's carry keeps its type."""

    def strong(leaf):
        leaf = jnp.asarray(leaf)
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            return jnp.asarray(leaf, jnp.float32)
        if jnp.issubdtype(leaf.dtype, jnp.integer):
            return jnp.asarray(leaf, jnp.int32)
        return leaf

    return jax.tree.map(strong, state)


def _action(space) -> Discrete | Box:
    if isinstance(space, spaces.Discrete):
        return Discrete(int(space.n))
    return Box(*(np.broadcast_to(np.asarray(bound, np.float64), space.shape) for bound in (space.low, space.high)))
