"""What a language task is examined on: answers, and what policy and reference make of them before anything is learned."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from algos.core.distributions import Categorical
from algos.core.types import Algorithm
from algos.rlhf.language_model import LanguageModel
from algos.rlhf.sampling import Answers, log_probs
from envs import Env
from envs.text import Text
from experiments.lab.definition.experiment import Contender

ANSWERS = 256  # at least; where they are few tokens long, more
TOKENS = 1_024


class Read(NamedTuple):
    """What one full pass says of the answers' tokens."""

    policy: Categorical  # [B, L, V]
    reference: Categorical
    log_prob: jax.Array  # [B, L], 0 after the end
    value: jax.Array  # likewise


class Case(NamedTuple):
    """A method at its beginning on a task."""

    env: Env
    contender: Contender
    algorithm: Algorithm
    model: LanguageModel
    state: Any
    answers: Answers
    read: Read

    @property
    def text(self) -> Text:
        """The task's facts."""
        return self.env.text

    @property
    def action(self) -> jax.Array:
        """The answers' tokens, [B, L]."""
        return self.answers.tokens[:, -self.text.length :]

    @property
    def real(self) -> jax.Array:
        """Which of them are no padding, bool [B, L]."""
        return self.answers.answer_mask > 0

    @property
    def temperature(self) -> float:
        """Of the method."""
        return float(self.contender.hparams.temperature)


def prepare(env: Env, contender: Contender) -> Case:
    """Returns the case. Raises ValueError for settings that cannot be, and whatever a user's functions raise."""
    contender = dataclasses.replace(contender, config=small(contender.config, env.text))
    algorithm = contender.make(env)
    model = contender.network(env, contender.config) if contender.network else env.text.reference
    number = max(ANSWERS, -(-TOKENS // env.text.length))

    blank = Case(env, contender, algorithm, model, None, None, None)

    @jax.jit
    def begin(key):
        state = algorithm.init(key, contender.hparams)
        prompts = jnp.asarray(env.text.prompts, jnp.int32)[jnp.arange(number) % len(env.text.prompts)]
        answers = algorithm.answer(state, jax.random.fold_in(key, 1), prompts)
        return state, answers, reading(blank, state.params, answers)

    state, answers, read = begin(jax.random.key(0))
    return blank._replace(state=state, answers=answers, read=read)


def small(config, text: Text):
    """Returns the configuration with a batch of few answers, or of few pairs."""
    if hasattr(config, "batch_size"):
        pairs = len(text.preferences.chosen.tokens) if text.preferences is not None else config.batch_size
        return dataclasses.replace(config, batch_size=max(1, min(config.batch_size, pairs, 32)))
    if not hasattr(config, "num_prompts"):
        return config
    cut = getattr(config, "num_minibatches", 1)
    group = getattr(config, "group", getattr(config, "n", 1))
    return dataclasses.replace(config, num_prompts=cut * max(1, 64 // (group * cut)))


def reading(case: Case, params, answers: Answers) -> Read:
    """Returns what one pass of policy and reference says of answers, at the method's temperature."""
    text, temperature, real = case.text, case.contender.hparams.temperature, answers.answer_mask > 0
    frozen = jax.tree.map(jnp.asarray, text.reference_params)
    policy, value = log_probs(case.model, params, answers.tokens, answers.mask, text.length, temperature)
    reference, _ = log_probs(text.reference, frozen, answers.tokens, answers.mask, text.length, temperature)
    log_prob = jnp.where(real, policy.log_prob(answers.tokens[:, -text.length :]), 0.0)
    return Read(policy, reference, log_prob, jnp.where(real, value, 0.0))


def divergence(policy: Categorical, reference: Categorical, real) -> jax.Array:
    """Returns KL(policy || reference), the sum over an answer's tokens of what is exact at each, the mean over answers."""
    return jnp.mean(jnp.sum(jnp.where(real, policy.kl(reference), 0.0), axis=1))
