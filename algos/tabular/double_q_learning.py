"""Double Q-learning (van Hasselt 2010; Sutton and Barto 2018, section 6.7): of two tables a coin says which is learned; it
chooses the action, and the other says what the action is worth.

    Q_1(S, A) <- Q_1(S, A) + alpha (R + gamma Q_2(S', argmax_a Q_1(S', a)) - Q_1(S, A))                         (6.10)

Actions are chosen by the sum of both.
"""

import jax.numpy as jnp

from algos.core.config import require
from algos.core.returns import td_target
from algos.core.types import Algorithm
from algos.tabular.experience import greedy
from algos.tabular.online import Config, Method, by_update, control, table
from algos.tabular.online import ControlHParams as HParams
from envs import Env


def update(q, step, hparams: HParams):
    """Returns both tables, Q [2, S, A], after one step. One random word is the coin, and decides between equal actions."""
    word = step.words[0]
    learned = (word >> 31).astype(jnp.int32)
    best = greedy(q[learned, step.next_state], word)
    target = td_target(step.reward, step.terminated, q[1 - learned, step.next_state, best], hparams.gamma)
    error = target - q[learned, step.state, step.action]
    return q.at[learned, step.state, step.action].add(hparams.learning_rate * error)


def make(env: Env, config: Config = Config(), *, update=update) -> Algorithm:
    """Returns double Q-learning on `env`. update: (q [2, S, A], step, hparams) -> q. Raises ValueError for what has no
    finite model."""
    require(config, "num_steps")
    return control(env, "double_q_learning", method(env, config, update), config.num_steps)


def method(env: Env, config: Config, update=update) -> Method:
    """Returns how the table is begun, and learned from a step."""

    def two(hparams):
        return jnp.stack([table(*env.model.reward.shape[:2], hparams)] * 2)

    return by_update(two, update, row=lambda q, state: q[0, state] + q[1, state], num_words=1)
