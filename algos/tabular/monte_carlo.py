"""Monte Carlo control by an epsilon-soft policy (Sutton and Barto 2018, section 5.4): Q(s, a) is the average of the returns
that followed the pair's first, or every, visit of an episode, and the next episode is epsilon-greedy by it.

With a learning rate Q <- Q + alpha (G - Q), which forgets what worse policies earned. Where a time limit cuts an episode,
its last state is worth what its best action is held to be.
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import struct
from jax import lax

from algos.core.config import require
from algos.core.types import Algorithm
from algos.tabular import episodes
from algos.tabular.online import Method, control, table
from envs import Env


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch."""

    first_visit: bool = True  # False: every visit
    num_steps: int = 1000  # of the environment, in one call of `step`


@struct.dataclass
class HParams:
    """Traced numbers: changing one compiles nothing."""

    learning_rate: float = 0.0  # 0.0: the average of all returns
    anneal: float = 0.0  # the share of the learning rate that is gone at total_steps
    total_steps: float = 100_000.0  # environment steps; an experiment sets its budget here
    gamma: float = 0.99
    epsilon: float = 0.1
    initial_value: float = 0.0


@struct.dataclass
class Memory:
    """What is kept beside the table."""

    record: episodes.Record
    visits: Any  # [S * A], returns averaged


def make(env: Env, config: Config = Config()) -> Algorithm:
    """Returns Monte Carlo control on `env`. Raises ValueError for what has no finite model."""
    require(config, "num_steps")
    return control(env, "monte_carlo", method(env, config), config.num_steps)


def method(env: Env, config: Config) -> Method:
    """Returns how the table is begun, and learned from a step."""

    def start(hparams):
        q = table(*env.model.reward.shape[:2], hparams)
        return q, Memory(episodes.no_episode(q.size, env.max_steps), jnp.zeros(q.size))

    def learn(q, memory, step, hparams):
        record = episodes.noted(memory.record, step.state * q.shape[1] + step.action, step.reward)
        ended = step.terminated | step.truncated
        beyond = jnp.where(step.terminated, 0.0, jnp.max(q[step.next_state]))
        found, steps = episodes.returns(record, ended, beyond, hparams.gamma)

        def average(time, carry):
            values, visits = carry
            place, counts = record.place[time], record.first[time] | (not config.first_visit)
            visits = visits.at[place].add(counts)
            size = jnp.where(hparams.learning_rate > 0.0, hparams.learning_rate, 1.0 / visits[place])
            return values.at[place].add(jnp.where(counts, size * (found[time] - values[place]), 0.0)), visits

        values, visits = lax.fori_loop(0, steps, average, (q.reshape(-1), memory.visits))
        return values.reshape(q.shape), Memory(episodes.over(record, ended), visits)

    return Method(start, learn)
