"""Monte Carlo prediction, on- and off-policy (Sutton and Barto 2018, sections 5.1, 5.5 and 5.6).

V(s) is the average of the returns that followed its first, or every, visit of an episode; W = 1 on-policy.

    W_t = prod_{k=t}^{T-1} pi(A_k|S_k) / b(A_k|S_k)                                                              (5.3)
    ordinary:  N <- N + 1,  V <- V + (W G - V) / N                                                               (5.5)
    weighted:  C <- C + W,  V <- V + (W / C) (G - V)                                                             (5.8)

With a learning rate V <- V + alpha (G - V) (6.1), which forgets. Where a time limit cuts an episode, its last state is
worth what it is held to be.
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import struct
from jax import lax

from algos.core.config import require
from algos.core.types import Algorithm
from algos.tabular import episodes
from algos.tabular.experience import importance_ratios, walk_of
from algos.tabular.online import Method, checked_policy, prediction, values
from envs import Env


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch."""

    first_visit: bool = True  # False: every visit
    weighted: bool = True  # importance sampling, where another policy is followed; False: ordinary
    num_steps: int = 1000  # of the environment, in one call of `step`


@struct.dataclass
class HParams:
    """Traced numbers: changing one compiles nothing."""

    learning_rate: float = 0.0  # 0.0: the average of all returns
    anneal: float = 0.0  # the share of the learning rate that is gone at total_steps
    total_steps: float = 100_000.0  # environment steps; an experiment sets its budget here
    gamma: float = 1.0
    initial_value: float = 0.0


@struct.dataclass
class Memory:
    """What is kept beside the table."""

    record: episodes.Record
    total: Any  # [S], N or C: the returns averaged, or their weights


def make(env: Env, config: Config = Config(), *, policy=None, behaviour=None) -> Algorithm:
    """Returns Monte Carlo prediction of a policy [S, A]; None: any action, all alike. behaviour: the policy [S, A] that is
    followed, None: the same. Raises ValueError for what has no finite model, and where it is never done what is asked of."""
    require(config, "num_steps")
    model, _ = walk_of(env, "monte_carlo_prediction")
    followed, ratios = policy, None
    if behaviour is not None:
        followed = checked_policy(behaviour, model)
        ratios = importance_ratios(checked_policy(policy, model), followed)
    how = method(env, config, ratios)
    return prediction(env, "monte_carlo_prediction", how, config.num_steps, followed)


def method(env: Env, config: Config, ratios=None) -> Method:
    """Returns how the table is begun, and learned from a step. ratios: pi(a|s) / b(a|s) [S, A], None: on-policy."""

    def start(hparams):
        v = values(env.model.num_states, hparams)
        return v, Memory(episodes.no_episode(v.size, env.max_steps), jnp.zeros_like(v))

    def learn(v, memory, step, hparams):
        ratio = 1.0 if ratios is None else jnp.asarray(ratios)[step.state, step.action]
        record = episodes.noted(memory.record, step.state, step.reward, ratio)
        ended = step.terminated | step.truncated
        beyond = jnp.where(step.terminated, 0.0, v[step.next_state])
        found, steps = episodes.returns(record, ended, beyond, hparams.gamma)
        weight = jnp.ones_like(found) if ratios is None else episodes.weights(record, steps)

        def average(time, carry):
            counts, place = record.first[time] | (not config.first_visit), record.place[time]
            old = [x[place] for x in carry]
            new = averaged(*old, found[time], weight[time], hparams.learning_rate, config.weighted)
            return tuple(x.at[place].set(jnp.where(counts, y, z)) for x, y, z in zip(carry, new, old))

        v, total = lax.fori_loop(0, steps, average, (v, memory.total))
        return v, Memory(episodes.over(record, ended), total)

    return Method(start, learn)


def averaged(value, total, found, weight, rate, weighted: bool):
    """Returns (V, N or C) after one more return, which counts `weight`."""
    if not weighted:
        total = total + 1.0
        return value + jnp.where(rate > 0.0, rate, 1.0 / total) * (weight * found - value), total
    total = total + weight
    share = jnp.where(weight > 0.0, weight / jnp.where(total > 0.0, total, 1.0), 0.0)
    return value + jnp.where(rate > 0.0, rate * weight, share) * (found - value), total
