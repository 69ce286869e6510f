"""Episodic semi-gradient n-step SARSA (Sutton and Barto 2018, sections 10.1 and 10.2), Q(s, a) = w_a . x(s):

    G_t = R_{t+1} + ... + gamma^{n-1} R_{t+n} + gamma^n Q(S_{t+n}, A_{t+n})                                      (10.4)
    w_A <- w_A + alpha (G_t - Q(S_t, A_t)) x(S_t)                                                                (10.5)

n = 1 is semi-gradient SARSA (10.1).
"""

from dataclasses import dataclass
from functools import partial

import jax.numpy as jnp

from algos.core.config import require, require_discrete
from algos.core.types import Algorithm
from algos.linear import named
from algos.linear.features import Active, Features, moved, none_active, value
from algos.linear.online import control, weights
from algos.tabular import n_step
from algos.tabular.online import ControlHParams as HParams
from algos.tabular.online import Method
from envs import Env


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch."""

    n: int = 1
    features: str = ""  # as `algos.linear.named` has them; "": observation for a finite model, tiles:8x8 for all else
    num_steps: int = 1000  # of the environment, in one call of `step`; every one of them is learned from


def make(env: Env, config: Config = Config(), *, features: Features | None = None) -> Algorithm:
    """Returns semi-gradient n-step SARSA on `env`. features: of an observation, None: as `config` names them. Raises
    ValueError for continuous actions, and settings that cannot be."""
    require(config, "n", "num_steps")
    require_discrete(env, "semi_gradient_sarsa")
    chosen = features or named.features_of(env, config.features)
    how = method(chosen, config, env.action.n, named.num_active(env, chosen))
    return control(env, "semi_gradient_sarsa", how, config.num_steps, chosen)


def method(features: Features, config: Config, num_actions: int, num_active: int) -> Method:
    """Returns how the weights [A, d] are begun, and learned from a step whose states have `num_active` features each."""

    def start(hparams):
        w = weights(num_actions * features.size, hparams).reshape(num_actions, features.size)
        return w, n_step.no_steps(config.n, none_active(num_active))

    def learn(w, window, step, hparams):
        x, next_x = pair(step.x, step.action, features), pair(step.next_x, step.next_action, features)
        along = partial(moved, rate=jnp.tile(jnp.asarray(features.rate, w.dtype), num_actions))
        flat = w.reshape(-1)
        flat, window = n_step.learn(flat, window, x, step, value(flat, next_x), hparams, value, along)
        return flat.reshape(w.shape), window

    return Method(start, learn)


def pair(x: Active, action, features: Features) -> Active:
    """Returns the features of a state and an action: those of the state, at the places of the action's weights."""
    return x.replace(index=x.index + action * features.size)
