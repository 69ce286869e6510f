"""Prioritised sweeping (Moore and Atkeson 1993; Peng and Williams 1993; Sutton and Barto 2018, section 8.4), with expected
backups on the maximum-likelihood model, as random outcomes need them.

    n times, while any priority is above theta:
        S, A <- the pair of the highest priority
        Q(S, A) <- sum_k p_k (r_k + gamma (1 - terminated_k) max_a Q(s'_k, a))
        each pair that may lead to S:  its priority <- |what this backup would change of it|

The queue is a table of priorities, 0 for those not in it.
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import struct
from jax import lax

from algos.core.config import require
from algos.core.types import Algorithm
from algos.tabular import learned_model
from algos.tabular.online import Method, control, table
from envs import Env


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch."""

    num_planning: int = 5  # the most backups after each step
    num_steps: int = 1000  # of the environment, in one call of `step`


@struct.dataclass
class HParams:
    """Traced numbers: changing one compiles nothing."""

    learning_rate: float = 1.0  # how far a backup moves a value; what is random is in the model
    anneal: float = 0.0  # the share of the learning rate that is gone at total_steps
    threshold: float = 1e-4  # theta, the least change worth a backup
    total_steps: float = 100_000.0  # environment steps; an experiment sets its budget here
    gamma: float = 0.99
    epsilon: float = 0.1
    initial_value: float = 0.0  # of every action: above what can be had, it makes a greedy policy explore


@struct.dataclass
class Memory:
    """What is kept beside the table: the learned model and what is urgent in it."""

    counts: learned_model.Counts
    priority: Any  # [S, A]
    backups: Any  # int32, made so far


def make(env: Env, config: Config = Config()) -> Algorithm:
    """Returns prioritised sweeping on `env`, whose pairs may have as many outcomes as the environment's model has at most.
    Raises ValueError for what has no finite model."""
    require(config, "num_planning", "num_steps")
    return control(env, "prioritised_sweeping", method(env, config), config.num_steps)


def method(env: Env, config: Config) -> Method:
    """Returns how the table is begun, and learned from a step."""

    def start(hparams):
        shape = env.model.reward.shape
        return table(*shape[:2], hparams), Memory(
            learned_model.nothing_seen(*shape), jnp.zeros(shape[:2]), jnp.int32(0)
        )

    def learn(q, memory, step, hparams):
        counts = learned_model.seen(memory.counts, step)
        pair = step.state, step.action
        change = jnp.abs(learned_model.expected(counts, q, hparams.gamma, pair) - q[pair])
        priority = memory.priority.at[pair].set(jnp.where(change > hparams.threshold, change, 0.0))

        def waiting(carry):
            _, priority, made = carry
            return (made < config.num_planning) & jnp.any(priority > 0.0)

        def backup(carry):
            q, priority, made = carry
            pair = jnp.divmod(jnp.argmax(priority).astype(jnp.int32), q.shape[1])
            error = learned_model.expected(counts, q, hparams.gamma, pair) - q[pair]
            q = q.at[pair].add(hparams.learning_rate * error)
            changes = jnp.abs(learned_model.expected(counts, q, hparams.gamma) - q)
            leads = jnp.any((counts.count > 0.0) & (counts.successor == pair[0]) & ~counts.terminated, axis=-1)
            raised = jnp.where(leads & (changes > hparams.threshold), changes, priority.at[pair].set(0.0))
            return q, raised, made + 1

        q, priority, made = lax.while_loop(waiting, backup, (q, priority, jnp.int32(0)))
        return q, Memory(counts, priority, memory.backups + made)

    return Method(start, learn)
