"""Off-policy Monte Carlo control with weighted importance sampling (Sutton and Barto 2018, section 5.7): the greedy policy
is learned about while an epsilon-greedy one is followed. Backwards through an episode, until it was not greedy:

    G <- R + gamma G,  C(S, A) <- C(S, A) + W,  Q(S, A) <- Q(S, A) + (W / C(S, A)) (G - Q(S, A)),  W <- W / b(A|S)

b is the policy that the episode was followed by. Where a time limit cuts an episode, its last state is worth what its best
action is held to be.
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

    num_steps: int = 1000  # of the environment, in one call of `step`


@struct.dataclass
class HParams:
    """Traced numbers: changing one compiles nothing."""

    learning_rate: float = 0.0  # 0.0: the weighted average of all returns; else alpha W in the place of W / C
    anneal: float = 0.0  # the share of the learning rate that is gone at total_steps
    total_steps: float = 100_000.0  # environment steps; an experiment sets its budget here
    gamma: float = 0.99
    epsilon: float = 0.3
    initial_value: float = 0.0


@struct.dataclass
class Memory:
    """What is kept beside the table."""

    record: episodes.Record  # its ratio: 1 / b(A|S)
    total: Any  # [S, A], C: the weights of the returns averaged


def make(env: Env, config: Config = Config()) -> Algorithm:
    """Returns off-policy Monte Carlo control on `env`. Raises ValueError for what has no finite model."""
    require(config, "num_steps")
    return control(env, "off_policy_monte_carlo", method(env, config), config.num_steps)


def method(env: Env, config: Config) -> Method:
    """Returns how the table is begun, and learned from a step."""

    def start(hparams):
        q = table(*env.model.reward.shape[:2], hparams)
        return q, Memory(episodes.no_episode(q.size, env.max_steps), jnp.zeros(q.shape))

    def learn(q, memory, step, hparams):
        best = q[step.state] == jnp.max(q[step.state])  # nothing is learned before the end: as it was when A was drawn
        chance = hparams.epsilon / q.shape[1] + (1.0 - hparams.epsilon) * best[step.action] / jnp.sum(best)
        place = step.state * q.shape[1] + step.action
        record = episodes.noted(memory.record, place, step.reward, 1.0 / chance)
        ended = step.terminated | step.truncated
        steps = jnp.where(ended, record.length, 0)

        def goes_on(carry):
            return (carry[0] < steps) & (carry[2] > 0.0)

        def backwards(carry):
            index, found, weight, q, total = carry
            time = steps - 1 - index
            state, action = jnp.divmod(record.place[time], q.shape[1])
            found = record.reward[time] + hparams.gamma * found
            total = total.at[state, action].add(weight)
            rate = hparams.learning_rate
            size = jnp.where(rate > 0.0, jnp.minimum(rate * weight, 1.0), weight / total[state, action])
            q = q.at[state, action].add(size * (found - q[state, action]))
            still = jnp.argmax(q[state]) == action
            return index + 1, found, jnp.where(still, weight * record.ratio[time], 0.0), q, total

        beyond = jnp.where(step.terminated, 0.0, jnp.max(q[step.next_state]))
        carry = (jnp.int32(0), beyond, jnp.ones(()), q, memory.total)
        *_, q, total = lax.while_loop(goes_on, backwards, carry)
        return q, Memory(episodes.over(record, ended), total)

    return Method(start, learn)
