"""Expected SARSA (van Seijen et al. 2009; Sutton and Barto 2018, section 6.6), pi the epsilon-greedy policy:

Q(S, A) <- Q(S, A) + alpha (R + gamma sum_a pi(a|S') Q(S', a) - Q(S, A))                                     (6.9)
"""

from dataclasses import dataclass

import jax.numpy as jnp
from flax import struct

from algos.core.config import require
from algos.core.returns import td_target
from algos.core.types import Algorithm
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
    """Returns Q [S, A] after one step."""
    following = q[step.next_state]
    expected = hparams.epsilon * jnp.mean(following) + (1.0 - hparams.epsilon) * jnp.max(following)
    target = td_target(step.reward, step.terminated, expected, hparams.gamma)
    error = target - q[step.state, step.action]
    return q.at[step.state, step.action].add(hparams.learning_rate * error)


def make(env: Env, config: Config = Config(), *, update=update) -> Algorithm:
    """Returns expected SARSA on `env`. update: (q, step, hparams) -> q. Raises ValueError for what has no finite model."""
    require(config, "num_steps")
    return control(env, "expected_sarsa", method(env, config, update), config.num_steps)


def method(env: Env, config: Config, update=update) -> Method:
    """Returns how the table is begun, and learned from a step."""

    def start(hparams):
        return table(*env.model.reward.shape[:2], hparams), ()

    def learn(q, memory, step, hparams):
        return update(q, step, hparams), memory

    return Method(start, learn)
