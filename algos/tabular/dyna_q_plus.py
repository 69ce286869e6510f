"""Dyna-Q+ (Sutton 1990; Sutton and Barto 2018, section 8.3): Dyna-Q whose planning pays for what was long not tried.

    Q(S, A) <- Q(S, A) + alpha (R + kappa sqrt(tau) + gamma max_a Q(S', a) - Q(S, A))

tau: steps since A was last taken in S. Planning takes every action of a state seen before: one never taken is held to lead
back to that state and to earn nothing. The bonus is no part of what is learned from steps that are taken.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from flax import struct
from jax import lax

from algos.core.config import require
from algos.core.types import Algorithm
from algos.tabular import q_learning
from algos.tabular.dyna_q import WORDS, again, nothing_remembered, remembered
from algos.tabular.online import Method, control, table
from envs import Env


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch."""

    num_planning: int = 10  # steps remembered that are learned from again, after each that is taken
    num_steps: int = 1000  # of the environment, in one call of `step`


@struct.dataclass
class HParams:
    """Traced numbers: changing one compiles nothing."""

    learning_rate: float = 0.1
    anneal: float = 0.0  # the share of the learning rate that is gone at total_steps
    total_steps: float = 100_000.0  # environment steps; an experiment sets its budget here
    gamma: float = 0.99
    epsilon: float = 0.1
    kappa: float = (
        1e-3  # what an action gains, in planning, by not being taken: kappa times the root of the steps since
    )
    initial_value: float = 0.0  # of every action: above what can be had, it makes a greedy policy explore


def make(env: Env, config: Config = Config(), *, update=q_learning.update) -> Algorithm:
    """Returns Dyna-Q+ on `env`. update: (q, step, hparams) -> q, of steps taken and of steps remembered: no next
    action was remembered with these, so that an update that reads `step.next_action`, as SARSA's, has no meaning for them.
    Raises ValueError for what has no finite model."""
    require(config, "num_planning", "num_steps")
    return control(env, "dyna_q_plus", method(env, config, update), config.num_steps)


def method(env: Env, config: Config, update=q_learning.update) -> Method:
    """Returns how the table is begun, and learned from a step."""

    def start(hparams):
        shape = env.model.reward.shape[:2]
        model = nothing_remembered(*shape)
        itself = jnp.broadcast_to(jnp.arange(shape[0], dtype=jnp.int32)[:, None], shape)
        return table(*shape, hparams), model.replace(next_state=itself)

    def learn(q, model, step, hparams):
        q = update(q, step, hparams)
        model = remembered(model, step)

        def plan(index, q):
            words = lax.dynamic_slice(step.words, (index * WORDS,), (WORDS,))
            return update(q, with_bonus(model, again(every(model), step, words), hparams.kappa), hparams)

        return lax.fori_loop(0, config.num_planning, plan, q), model

    return Method(start, learn, num_words=WORDS * config.num_planning)


def every(model):
    """Returns the model with every action of every state held to be taken: the states seen are told apart still."""
    return model.replace(taken=jnp.ones_like(model.taken))


def with_bonus(model, step, kappa):
    """Returns the step with what its pair gains by not being taken."""
    since = jnp.asarray(model.time - model.last_taken[step.state, step.action], float)
    return step.replace(reward=step.reward + kappa * jnp.sqrt(since))
