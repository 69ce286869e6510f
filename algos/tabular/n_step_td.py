"""n-step TD (Sutton and Barto 2018, section 7.1):

V(S_t) <- V(S_t) + alpha (R_{t+1} + ... + gamma^{n-1} R_{t+n} + gamma^n V(S_{t+n}) - V(S_t))                 (7.2)
"""

from dataclasses import dataclass

import jax.numpy as jnp

from algos.core.config import require
from algos.core.types import Algorithm
from algos.tabular import n_step
from algos.tabular.online import Method, prediction, values
from algos.tabular.online import PredictionHParams as HParams
from envs import Env


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch."""

    n: int = 4
    num_steps: int = 1000  # of the environment, in one call of `step`; every one of them is learned from


def make(env: Env, config: Config = Config(), *, policy=None) -> Algorithm:
    """Returns n-step TD of a policy [S, A]; None: any action, all alike. Raises ValueError for what has no finite model."""
    require(config, "n", "num_steps")
    return prediction(env, "n_step_td", method(env, config), config.num_steps, policy)


def method(env: Env, config: Config) -> Method:
    """Returns how the table is begun, and learned from a step."""

    def start(hparams):
        return values(env.model.num_states, hparams), n_step.no_steps(config.n, jnp.int32(0))

    def learn(v, window, step, hparams):
        return n_step.learn(v, window, step.state, step, v[step.next_state], hparams)

    return Method(start, learn)
