"""SARSA (Rummery and Niranjan 1994; Sutton and Barto 2018, section 6.4):

    Q(S, A) <- Q(S, A) + alpha (R + gamma Q(S', A') - Q(S, A))                                                   (6.7)

A' is chosen before the update, and taken after it.
"""

from dataclasses import dataclass

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
    target = td_target(step.reward, step.terminated, q[step.next_state, step.next_action], hparams.gamma)
    error = target - q[step.state, step.action]
    return q.at[step.state, step.action].add(hparams.learning_rate * error)


def make(env: Env, config: Config = Config(), *, update=update) -> Algorithm:
    """Returns SARSA on `env`. update: (q, step, hparams) -> q. Raises ValueError for what has no finite model."""
    require(config, "num_steps")
    return control(env, "sarsa", method(env, config, update), config.num_steps)


def method(env: Env, config: Config, update=update) -> Method:
    """Returns how the table is begun, and learned from a step."""

    def start(hparams):
        return table(*env.model.reward.shape[:2], hparams), ()

    def learn(q, memory, step, hparams):
        return update(q, step, hparams), memory

    return Method(start, learn, commits=True)
