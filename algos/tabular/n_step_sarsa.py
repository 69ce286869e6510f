"""n-step SARSA (Sutton and Barto 2018, section 7.2):

G_t = R_{t+1} + ... + gamma^{n-1} R_{t+n} + gamma^n Q(S_{t+n}, A_{t+n})                                      (7.4)
Q(S_t, A_t) <- Q(S_t, A_t) + alpha (G_t - Q(S_t, A_t))                                                       (7.5)
"""

from dataclasses import dataclass

import jax.numpy as jnp

from algos.core.config import require
from algos.core.types import Algorithm
from algos.tabular import n_step
from algos.tabular.online import ControlHParams as HParams
from algos.tabular.online import Method, control, table
from envs import Env


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch."""

    n: int = 4
    num_steps: int = 1000  # of the environment, in one call of `step`; every one of them is learned from


def make(env: Env, config: Config = Config()) -> Algorithm:
    """Returns n-step SARSA on `env`. Raises ValueError for what has no finite model."""
    require(config, "n", "num_steps")
    return control(env, "n_step_sarsa", method(env, config), config.num_steps)


def method(env: Env, config: Config) -> Method:
    """Returns how the table is begun, and learned from a step."""

    def start(hparams):
        return table(*env.model.reward.shape[:2], hparams), n_step.no_steps(config.n, jnp.int32(0))

    def learn(q, window, step, hparams):
        place = step.state * q.shape[1] + step.action
        next_value = q[step.next_state, step.next_action]
        values, window = n_step.learn(q.reshape(-1), window, place, step, next_value, hparams)
        return values.reshape(q.shape), window

    return Method(start, learn, commits=True)
