"""SARSA(lambda) with function approximation (Sutton and Barto 2018, section 12.7), Q(s, a) = w_a . x(s):

    delta = R + gamma Q(S', A') - Q(S, A)
    z_a <- gamma lambda z_a for every a, then at A:  z_A + x(S), accumulating;  or 1 where x(S) is 1, replacing
    w <- w + alpha delta z

A trace is one of a state and an action. Traces begin at 0 with each episode.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from flax import struct

from algos.core.config import require, require_discrete
from algos.core.types import Algorithm
from algos.linear import named
from algos.linear.features import Features
from algos.linear.online import control, weights
from algos.linear.semi_gradient_sarsa import pair
from algos.linear.semi_gradient_td import moved_along
from algos.tabular.online import Method
from envs import Env

TRACES = ("accumulating", "replacing")


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch."""

    trace: str = "accumulating"  # one of TRACES
    features: str = ""  # as `algos.linear.named` has them; "": observation for a finite model, tiles:8x8 for all else
    num_steps: int = 1000  # of the environment, in one call of `step`; every one of them is learned from


@struct.dataclass
class HParams:
    """Traced numbers: changing one compiles nothing."""

    learning_rate: float = 0.1
    anneal: float = 0.0  # the share of the learning rate that is gone at total_steps
    total_steps: float = 100_000.0  # environment steps; an experiment sets its budget here
    gamma: float = 0.99
    lambda_: float = 0.9
    epsilon: float = 0.1
    initial_value: float = 0.0  # of every weight


def make(env: Env, config: Config = Config(), *, features: Features | None = None) -> Algorithm:
    """Returns SARSA(lambda) on `env`. features: of an observation, None: as `config` names them. Raises ValueError for
    continuous actions, a trace that is none, and a replacing one of features that are not 0 or 1."""
    require(config, "num_steps")
    require_discrete(env, "sarsa_lambda")
    chosen = features or named.features_of(env, config.features)
    return control(env, "sarsa_lambda", method(chosen, config, env.action.n), config.num_steps, chosen)


def method(features: Features, config: Config, num_actions: int) -> Method:
    """Returns how the weights [A, d] are begun, and learned from a step."""
    if config.trace not in TRACES:
        raise ValueError(f"trace must be one of {', '.join(TRACES)}, not {config.trace!r}")
    if config.trace == "replacing" and not features.binary:
        raise ValueError("a replacing trace is of features that are 0 or 1: take tiles, an aggregation or a table")

    def start(hparams):
        w = weights(num_actions * features.size, hparams).reshape(num_actions, features.size)
        return w, jnp.zeros_like(w)

    def learn(w, trace, step, hparams):
        x, next_x = pair(step.x, step.action, features), pair(step.next_x, step.next_action, features)
        fading = hparams.gamma * hparams.lambda_ * trace.reshape(-1)
        replaced = fading.at[x.index].set(x.value) if config.trace == "replacing" else fading.at[x.index].add(x.value)
        rate = jnp.tile(jnp.asarray(features.rate, w.dtype), num_actions)
        flat, trace = moved_along(w.reshape(-1), replaced, x, next_x, step, hparams, rate)
        return flat.reshape(w.shape), trace.reshape(w.shape)

    return Method(start, learn)
