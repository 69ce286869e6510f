"""A finite model as an `Env`: what plans on the model exactly and what learns from samples meet on the same object."""

import jax
import jax.numpy as jnp
import numpy as np

from envs.core import Discrete, Env, TimeStep
from envs.mdp.model import MDP
from envs.mdp.sampling import walk


def as_env(mdp: MDP, name: str, max_steps: int, features=None) -> Env:
    """Returns the model as an environment that truncates after `max_steps`.

    features: what is observed of each state, [S, ...]; None: one-hot vectors [S]. `Env.model` is the model
    itself, `Env.observe` gives what is observed of any of its states.
    """
    if max_steps < 1:
        raise ValueError(f"max_steps must be 1 or more, not {max_steps}")
    features = None if features is None else np.asarray(features, np.float32)
    if features is not None and (features.shape[:1] != (mdp.num_states,) or not np.isfinite(features).all()):
        raise ValueError(f"features must be finite, [{mdp.num_states}, ...], not {list(features.shape)}")
    largest = max(np.max(mdp.reward), -np.min(mdp.reward))
    if largest > np.finfo(np.float32).max:
        raise ValueError(f"a reward of size {largest:.3g} is beyond float32, which episodes are rewarded in")
    episodes = walk(mdp, max_steps)

    def observe(index):
        if features is None:
            return jax.nn.one_hot(index, mdp.num_states, dtype=jnp.float32)
        return jnp.asarray(features)[index]

    def reset(key):
        state = episodes.start(jax.random.uniform(key))
        return state, observe(state.index)

    def step(key, state, action):
        state, reward, terminated, truncated = episodes.step(jax.random.uniform(key), state, action)
        return state, TimeStep(observe(state.index), reward, terminated, truncated)

    shape = (mdp.num_states,) if features is None else features.shape[1:]
    bounds = _bounds(mdp, features)
    return Env(name, reset, step, shape, Discrete(mdp.num_actions), max_steps, bounds, model=mdp, observe=observe)


def _bounds(mdp: MDP, features):
    """Returns (low, high) of the observations, or None where a feature never changes."""
    if features is None:
        return np.zeros(mdp.num_states, np.float32), np.ones(mdp.num_states, np.float32)
    low, high = features.min(0), features.max(0)
    return (low, high) if np.all(low < high) else None
