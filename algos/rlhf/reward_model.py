"""A reward model learned from comparisons (Stiennon et al. 2020, arXiv 2009.01325; Bradley and Terry 1952).

    P(first preferred) = sigmoid(s_first - s_second),    L = -y log P - (1 - y) log(1 - P)

s is the score of a text, read at its last real token; y is 1, 0, or 1/2 where the two were found alike. dL / d(s_first -
s_second) = sigmoid(s_first - s_second) - y. One epoch, over which the learning rate falls to 0 in a straight line. A score is
known up to a constant only: afterwards it is moved and scaled to mean 0 and deviation 1 over texts of the reference policy
(Ziegler et al. 2019, arXiv 1909.08593), and so says how a text compares with those.

Where comparisons are thousands, a count of n-grams orders texts better than the transformer; `mixed` adds the two.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from algos.core.config import require
from algos.core.optimize import adam
from algos.rlhf import epochs, ngrams
from algos.rlhf.language_model import LanguageModel, Output
from algos.rlhf.ngrams import Ngrams


@struct.dataclass
class Comparisons:
    """N pairs of texts of which one was preferred."""

    first: jax.Array  # int32 [N, T]
    first_mask: jax.Array  # float32 [N, T], 1.0 on real tokens
    second: jax.Array
    second_mask: jax.Array
    label: jax.Array  # float32 [N]: 1.0 the first was preferred, 0.0 the second, 0.5 neither


@dataclass(frozen=True)
class Config:
    """What changes a shape or a branch."""

    pairs: int = 32  # of one update
    drops: bool = False  # units, at the rate `dropout`: the model's `apply` must take it


@struct.dataclass
class HParams:
    """Traced numbers: changing one compiles nothing."""

    learning_rate: float = 5e-4
    max_grad_norm: float = 1.0  # 0.0: no clipping
    dropout: float = 0.1  # where the Config drops


@struct.dataclass
class State:
    """All that the training of a reward model carries from one update to the next."""

    params: Any
    opt_state: Any
    key: jax.Array
    update: jax.Array  # int32, updates made so far


class Training(NamedTuple):
    """`init` and `step` are pure: the comparisons are constants of theirs."""

    init: Callable  # (key, hparams, params=None) -> State; params: where training begins, else drawn
    step: Callable  # (State, hparams) -> (State, metrics)
    updates: int  # of the one epoch; after it the learning rate is 0


def make(model: LanguageModel, comparisons: Comparisons, config: Config = Config()) -> Training:
    """Returns the training of `model`'s score. Pairs that do not fill a batch, fewer than config.pairs, are left out."""
    require(config, "pairs")
    number = len(comparisons.label)
    if number < config.pairs:
        raise ValueError(f"pairs={config.pairs} is more than the {number} comparisons there are")
    updates = number // config.pairs

    def init(key, hparams, params=None):
        key_params, key = jax.random.split(key)
        params = model.init(key_params) if params is None else params
        return State(params, adam(0.0, hparams.max_grad_norm).init(params), key, jnp.int32(0))

    def step(state, hparams):
        index = epochs.rows(state.key, state.update, number, config.pairs)
        batch = jax.tree.map(lambda x: jnp.asarray(x)[index], comparisons)
        rate = hparams.learning_rate * jnp.maximum(1.0 - state.update / updates, 0.0)
        dropout = (jax.random.fold_in(state.key, state.update), hparams.dropout) if config.drops else None
        (_, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(state.params, model, batch, dropout)
        moves, opt_state = adam(rate, hparams.max_grad_norm).update(gradient, state.opt_state, state.params)
        params = jax.tree.map(jnp.add, state.params, moves)
        return State(params, opt_state, state.key, state.update + 1), metrics

    return Training(init, step, updates)


def loss(params, model: LanguageModel, batch: Comparisons, dropout=None):
    """Returns (mean loss of the pairs, metrics). Both texts of a pair are read in one pass. dropout: (key, rate) or None."""
    difference = differences(model, params, batch, dropout)
    each = bradley_terry(difference, batch.label)
    return jnp.mean(each), {"loss": jnp.mean(each), "accuracy": accuracy(difference, batch.label)}


def differences(model: LanguageModel, params, batch: Comparisons, dropout=None) -> jax.Array:
    """Returns s_first - s_second, [N]."""
    tokens = jnp.concatenate([batch.first, batch.second])
    mask = jnp.concatenate([batch.first_mask, batch.second_mask])
    first, second = score(model, params, tokens, mask, dropout).reshape(2, -1)
    return first - second


def score(model: LanguageModel, params, tokens, mask, dropout=None) -> jax.Array:
    """Returns the score of whole texts [B, T], read at the last real token, [B]."""
    options = {} if dropout is None else {"dropout": dropout}
    last = mask.shape[1] - 1 - jnp.argmax(mask[:, ::-1] > 0.0, axis=1)
    return jnp.take_along_axis(model.apply(params, tokens, mask, **options).score, last[:, None], axis=1)[:, 0]


def averaged(model: LanguageModel) -> LanguageModel:
    """Returns the model whose score at a token is the mean of its head over the tokens up to there.

    Read at the last token alone, a head has to wait until attention has learned to bring everything there: with thousands of
    comparisons, and not millions, it learns texts by heart before.
    """

    def apply(params, tokens, mask, **options):
        output = model.apply(params, tokens, mask, **options)
        so_far = jnp.cumsum(jnp.where(mask > 0.0, output.score, 0.0), axis=1)
        return output._replace(score=so_far / jnp.maximum(jnp.cumsum(mask > 0.0, axis=1), 1))

    return model._replace(apply=apply)


@struct.dataclass
class Mixture:
    """Parameters of a mixed model."""

    params: Any  # of the model; None: it counts n-grams alone
    ngrams: Ngrams
    share: jax.Array  # float32 [2]: what the score of the model counts, and that of the n-grams


def mixed(model: LanguageModel) -> LanguageModel:
    """Returns the model whose score is the weighted sum of the model's and of a count of n-grams. For scores alone: its
    parameters are a Mixture, which `init` does not make."""

    def apply(params, tokens, mask):
        counted = params.share[1] * ngrams.score(params.ngrams, tokens, mask)
        if params.params is None:
            return Output(None, None, counted)
        output = model.apply(params.params, tokens, mask)
        return output._replace(score=params.share[0] * output.score + counted)

    return LanguageModel(None, apply, None, None, model.vocabulary)


def bradley_terry(difference: jax.Array, label: jax.Array) -> jax.Array:
    """Returns -y log sigmoid(d) - (1 - y) log sigmoid(-d), one a pair."""
    return -label * jax.nn.log_sigmoid(difference) - (1.0 - label) * jax.nn.log_sigmoid(-difference)


def accuracy(difference: jax.Array, label: jax.Array) -> jax.Array:
    """Returns the share of pairs with a preference in which the preferred text scores higher, equal scores being half."""
    right = 0.5 * (1.0 + jnp.sign(difference) * jnp.sign(label - 0.5))
    decided = label != 0.5
    return jnp.sum(right, where=decided) / jnp.maximum(jnp.sum(decided), 1)


@struct.dataclass
class RewardModel:
    """What the stage makes: a score that has mean 0 and deviation 1 over texts of the reference."""

    params: Any
    mean: jax.Array
    deviation: jax.Array


def normalised(params, raw) -> RewardModel:
    """Returns the reward model that makes mean 0 and deviation 1 of these raw scores [N]. Made after training."""
    return RewardModel(params, raw.mean().astype(jnp.float32), raw.std().astype(jnp.float32))


def reward(model: LanguageModel, learned: RewardModel) -> Callable:
    """Returns the reward of a language task: (tokens [B, T], mask [B, T], answer_mask) -> [B] float32."""

    def of_texts(tokens, mask, answer_mask):
        del answer_mask  # prompt and answer are scored together
        raw = score(model, learned.params, tokens, mask)
        return (raw - learned.mean) / jnp.maximum(learned.deviation, jnp.finfo(raw.dtype).tiny)

    return of_texts
