"""Double Q-learning (van Hasselt 2010; Sutton and Barto 2018, section 6.7): of two tables a coin says which is learned; it
chooses the action, and the other says what the action is worth.

    Q_1(S, A) <- Q_1(S, A) + alpha (R + gamma Q_2(S', argmax_a Q_1(S', a)) - Q_1(S, A))                         (6.10)

Actions are chosen by the sum of both.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from flax import struct

from algos.core.config import require
from algos.core.returns import td_target
from algos.core.types import Algorithm
from algos.tabular.experience import greedy
from algos.tabular.online import Method, control, table
from envs import Env


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch."""

    num_steps: int = 1000  # of the environment, in one call of `step`; every one of them is learned from


@struct.dataclass
class HParams:
    """Traced numbers: changing one compiles nothing."""

    learning_rate: float = 0.1
    anneal: float = 0.0  # the share of the learning rate that is gone at total_steps
    total_steps: float = 100_000.0  # environment steps; an experiment sets its budget here
    gamma: float = 0.99
    epsilon: float = 0.1
    initial_value: float = 0.0  # of every action: above what can be had, it makes a greedy policy explore


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

    def start(hparams):
        return jnp.stack([table(*env.model.reward.shape[:2], hparams)] * 2), ()

    def learn(q, memory, step, hparams):
        return update(q, step, hparams), memory

    return Method(start, learn, row=lambda q, state: q[0, state] + q[1, state], num_words=1)
