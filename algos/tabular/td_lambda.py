"""TD(lambda) with traces (Sutton and Barto 2018, sections 12.2 and 12.5):

    delta = R + gamma V(S') - V(S)                                                                               (12.6)
    z <- gamma lambda z + [S],  accumulating;  or z[S] = 1, replacing                                            (12.5)
    V <- V + alpha delta z                                                                                       (12.7)

and true online TD(lambda) (van Seijen et al. 2016), whose values are those of the online lambda-return, exactly:

    z <- gamma lambda z + (1 - alpha gamma lambda z[S]) [S]                                                      (12.11)
    V <- V + alpha (delta + V(S) - V_old(S)) z - alpha (V(S) - V_old(S)) [S]

[S]: 1 at S, else 0. V_old(S): what S was worth when it was reached. Traces begin at 0 with each episode.
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import struct

from algos.core.config import require
from algos.core.returns import td_target
from algos.core.types import Algorithm
from algos.tabular.online import Method, prediction, values
from envs import Env

TRACES = ("accumulating", "replacing", "true_online")


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch."""

    trace: str = "accumulating"  # one of TRACES
    offline: bool = False  # what an episode changes is put together at its end: the values then are its lambda-return's
    num_steps: int = 1000  # of the environment, in one call of `step`; every one of them is learned from


@struct.dataclass
class HParams:
    """Traced numbers: changing one compiles nothing."""

    learning_rate: float = 0.1
    anneal: float = 0.0  # the share of the learning rate that is gone at total_steps
    total_steps: float = 100_000.0  # environment steps; an experiment sets its budget here
    gamma: float = 1.0
    lambda_: float = 0.9
    initial_value: float = 0.0


@struct.dataclass
class Memory:
    """What is kept beside the table."""

    trace: Any  # [S]
    old_value: Any  # V(S) when S was reached, for "true_online"
    change: Any  # [S], what the episode has changed so far, where it is put together at the end


def make(env: Env, config: Config = Config(), *, policy=None) -> Algorithm:
    """Returns TD(lambda) of a policy [S, A]; None: any action, all alike. Raises ValueError for what has no finite model
    and for a trace that is none."""
    _check(config)
    return prediction(env, "td_lambda", method(env, config), config.num_steps, policy)


def method(env: Env, config: Config) -> Method:
    """Returns how the table is begun, and learned from a step."""

    def start(hparams):
        v = values(env.model.num_states, hparams)
        return v, Memory(jnp.zeros_like(v), v[0], jnp.zeros_like(v))

    def learn(v, memory, step, hparams):
        trace, change = changed(v, memory, step, hparams, config.trace)
        old_value, ended = v[step.next_state], step.terminated | step.truncated
        if config.offline:
            change = memory.change + change
            v, change = jnp.where(ended, v + change, v), jnp.where(ended, 0.0, change)
        else:
            v, change = v + change, memory.change
        return v, Memory(jnp.where(ended, 0.0, trace), old_value, change)

    return Method(start, learn)


def changed(v, memory: Memory, step, hparams: HParams, kind: str):
    """Returns (trace [S], what the step changes of V [S])."""
    here, decay, rate = jnp.arange(v.size) == step.state, hparams.gamma * hparams.lambda_, hparams.learning_rate
    value, fading = v[step.state], decay * memory.trace
    error = td_target(step.reward, step.terminated, v[step.next_state], hparams.gamma) - value
    if kind == "accumulating":
        trace = fading + here
        return trace, rate * error * trace
    if kind == "replacing":
        trace = jnp.where(here, 1.0, fading)
        return trace, rate * error * trace
    trace = fading + (1.0 - rate * fading[step.state]) * here
    since = value - memory.old_value
    return trace, rate * ((error + since) * trace - since * here)


def _check(config: Config) -> None:
    require(config, "num_steps")
    if config.trace not in TRACES:
        raise ValueError(f"trace must be one of {', '.join(TRACES)}, not {config.trace!r}")
    if config.offline and config.trace == "true_online":
        raise ValueError("what is true online cannot be offline: choose another trace")
