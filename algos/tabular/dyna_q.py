"""Dyna-Q (Sutton 1990; Sutton and Barto 2018, section 8.2): each step is learned from as in Q-learning and remembered, then
n times a step that is remembered is learned from again.

    Model(S, A) <- R, S'
    n times:  S a state seen before, A an action taken there before, R, S' <- Model(S, A),
              Q(S, A) <- Q(S, A) + alpha (R + gamma max_a Q(S', a) - Q(S, A))

The model is the last step seen of each pair, as in the book, and no mean: where outcomes are random it is a sample.
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import struct
from jax import lax

from algos.core.config import require
from algos.core.types import Algorithm
from algos.tabular import q_learning
from algos.tabular.experience import below, one_of
from algos.tabular.online import ControlHParams as HParams
from algos.tabular.online import Method, control, table
from envs import Env

WORDS = 2  # that one step of planning takes: for the state, for the action
FEW = 1024  # states, among which half a word chooses evenly enough, to 1 in 64: more take a whole one


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch."""

    num_planning: int = 10  # steps remembered that are learned from again, after each that is taken
    num_steps: int = 1000  # of the environment, in one call of `step`


@struct.dataclass
class Model:
    """The last step seen of each pair."""

    next_state: Any  # int32 [S, A]
    reward: Any  # [S, A]
    terminated: Any  # bool [S, A]
    taken: Any  # bool [S, A], there is such a step
    states: Any  # int32 [S], those seen, in the order in which they were
    num_states: Any  # int32, how many
    last_taken: Any  # int32 [S, A], the time of that step
    time: Any  # int32


def nothing_remembered(num_states: int, num_actions: int) -> Model:
    """Returns the model before the first step."""
    shape = (num_states, num_actions)
    numbers, none = jnp.zeros(shape, jnp.int32), jnp.zeros(shape, bool)
    places = jnp.zeros(num_states, jnp.int32)
    return Model(numbers, jnp.zeros(shape), none, none, places, jnp.int32(0), numbers, jnp.int32(0))


def remembered(model: Model, step) -> Model:
    """Returns the model with the step in the place of the last one of its pair."""
    pair = step.state, step.action
    new = ~jnp.any(model.taken[step.state])
    place = jnp.where(new, model.num_states, 0)
    return Model(
        next_state=model.next_state.at[pair].set(step.next_state),
        reward=model.reward.at[pair].set(step.reward),
        terminated=model.terminated.at[pair].set(step.terminated),
        taken=model.taken.at[pair].set(True),
        states=model.states.at[place].set(jnp.where(new, step.state, model.states[0])),
        num_states=model.num_states + new,
        last_taken=model.last_taken.at[pair].set(model.time + 1),
        time=model.time + 1,
    )


def again(model: Model, step, words):
    """Returns a step remembered, in the form of `step`: of a state seen before, all alike, and an action taken there. Its next
    action and whether it was truncated are not remembered: they stay as they are in `step`."""
    fine = 0xFFFFFFFF if model.states.size > FEW else 0xFFFF0000
    place = below(model.num_states.astype(jnp.uint32), words[0] & jnp.uint32(fine))
    state = model.states[place]
    action = one_of(model.taken[state], words[1])
    pair = state, action
    return step.replace(
        state=state,
        action=action,
        reward=model.reward[pair],
        next_state=model.next_state[pair],
        terminated=model.terminated[pair],
    )


def make(env: Env, config: Config = Config(), *, update=q_learning.update) -> Algorithm:
    """Returns Dyna-Q on `env`. update: (q, step, hparams) -> q, of steps taken and of steps remembered: no next
    action was remembered with these, so that an update that reads `step.next_action`, as SARSA's, has no meaning for them.
    Raises ValueError for what has no finite model."""
    require(config, "num_planning", "num_steps")
    return control(env, "dyna_q", method(env, config, update), config.num_steps)


def method(env: Env, config: Config, update=q_learning.update) -> Method:
    """Returns how the table is begun, and learned from a step."""

    def start(hparams):
        shape = env.model.reward.shape[:2]
        return table(*shape, hparams), nothing_remembered(*shape)

    def learn(q, model, step, hparams):
        q = update(q, step, hparams)
        model = remembered(model, step)

        def plan(index, q):
            words = lax.dynamic_slice(step.words, (index * WORDS,), (WORDS,))
            return update(q, again(model, step, words), hparams)

        return lax.fori_loop(0, config.num_planning, plan, q), model

    return Method(start, learn, num_words=WORDS * config.num_planning)
