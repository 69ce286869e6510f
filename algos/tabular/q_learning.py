"""Q-learning (Watkins 1989; Sutton and Barto 2018, section 6.5):

Q(S, A) <- Q(S, A) + alpha (R + gamma max_a Q(S', a) - Q(S, A))                                              (6.8)
"""

import jax.numpy as jnp

from algos.core.config import require
from algos.core.returns import td_target
from algos.core.types import Algorithm
from algos.tabular.online import Config, Method, by_update, control, table
from algos.tabular.online import ControlHParams as HParams
from envs import Env


def update(q, step, hparams: HParams):
    """Returns Q [S, A] after one step."""
    target = td_target(step.reward, step.terminated, jnp.max(q[step.next_state]), hparams.gamma)
    error = target - q[step.state, step.action]
    return q.at[step.state, step.action].add(hparams.learning_rate * error)


def make(env: Env, config: Config = Config(), *, update=update) -> Algorithm:
    """Returns Q-learning on `env`. update: (q, step, hparams) -> q. Raises ValueError for what has no finite model."""
    require(config, "num_steps")
    return control(env, "q_learning", method(env, config, update), config.num_steps)


def method(env: Env, config: Config, update=update) -> Method:
    """Returns how the table is begun, and learned from a step."""
    return by_update(lambda hparams: table(*env.model.reward.shape[:2], hparams), update)
