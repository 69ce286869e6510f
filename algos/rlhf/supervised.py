"""Supervised training of a language model on texts: the first stage of learning from human preferences.

    L(theta) = -(1 / n) sum_t log p(token_t+1 | tokens up to t),   over the n targets that are real and of the same text

by Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv 1711.05101), a learning rate that warms up linearly
and falls as a cosine, dropout, and an average of the parameters over time, which is what generalises best (Polyak and
Juditsky 1992; arXiv 1803.05407). Texts are packed several to a row, so that little is computed for padding.

A text is begin, its tokens, end. The begin token is never a target, the end token always is.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from algos.core.config import require
from algos.core.distributions import Categorical
from algos.core.losses import off_at_zero
from algos.rlhf import epochs
from algos.rlhf.language_model import LanguageModel

SECOND_MOMENT = 0.99  # of Adam, what it keeps: gradients of sums over thousands of tokens vary little


@dataclass(frozen=True)
class Config:
    """What changes a shape."""

    rows: int = 16  # of one update
    parts: int = 1  # of these rows: their gradients may be computed side by side, and are then added


@struct.dataclass
class HParams:
    """Traced numbers: changing one compiles nothing."""

    learning_rate: float = 3e-3
    warm_up: float = 100.0  # updates
    total_updates: float = 3_000.0  # the learning rate is 0 from there
    weight_decay: float = 0.1  # of matrices; norms and biases keep their size
    dropout: float = 0.1
    max_grad_norm: float = 1.0  # 0.0: no clipping
    average: float = 0.99  # what the average keeps of itself in an update; 0.0: it is the parameters


@struct.dataclass
class State:
    """All that supervised training carries from one update to the next."""

    params: Any
    average: Any  # of params over time: what the stage returns
    opt_state: Any
    key: jax.Array
    update: jax.Array  # int32, updates made so far


class Part(NamedTuple):
    """What one part of an update's rows adds to it."""

    loss: jax.Array
    gradient: Any


class Training(NamedTuple):
    """Its functions are pure: the data are constants of theirs."""

    init: Callable  # (key, hparams, params=None) -> State; params: where training begins, else drawn
    part: Callable  # (State, hparams, number) -> Part
    join: Callable  # (State, hparams, every Part) -> (State, metrics)
    step: Callable  # (State, hparams) -> (State, metrics): all parts, joined
    updates_per_epoch: int
    tokens_per_update: float  # real ones that are read, on average


def make(model: LanguageModel, tokens, mask, config: Config = Config()) -> Training:
    """Returns supervised training on packed rows [N, T] (see `pack`). The model's `apply` takes `dropout`."""
    require(config, "rows", "parts")
    if config.rows % config.parts:
        raise ValueError(f"parts={config.parts} does not divide rows={config.rows}")
    batches = len(tokens) // config.rows
    if not batches:
        raise ValueError(f"rows={config.rows} is more than the {len(tokens)} rows of text there are")
    tokens, mask = jnp.asarray(tokens, jnp.int32), jnp.asarray(mask, jnp.float32)

    def init(key, hparams, params=None):
        key_params, key = jax.random.split(key)
        params = model.init(key_params) if params is None else params
        return State(params, params, optimiser(hparams, 0).init(params), key, jnp.int32(0))

    def part(state, hparams, number):
        key_rows, key_dropout = jax.random.split(state.key)
        index = epochs.rows(key_rows, state.update, len(tokens), config.rows)
        targets = jnp.sum(counted(mask[index]))
        own = index.reshape(config.parts, -1)[number]
        key_dropout = jax.random.fold_in(jax.random.fold_in(key_dropout, state.update), number)

        def loss(params):
            read = model.apply(params, tokens[own], mask[own], dropout=(key_dropout, hparams.dropout))
            nats, counts = nll(read.logits, tokens[own], mask[own])
            return jnp.sum(nats * counts) / jnp.maximum(targets, 1.0)

        return Part(*jax.value_and_grad(loss)(state.params))

    def step(state, hparams):
        return join(state, hparams, [part(state, hparams, number) for number in range(config.parts)])

    return Training(init, part, join, step, batches, float(np.mean(mask > 0.0)) * tokens.shape[1] * config.rows)


def join(state: State, hparams: HParams, parts: Sequence[Part]):
    """Returns (state, metrics) after one step down the gradient of the rows' mean negative log-likelihood."""
    loss, gradient = jax.tree.map(lambda *values: functools.reduce(jnp.add, values), *parts)
    updates, opt_state = optimiser(hparams, state.update).update(gradient, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    kept = averaged(hparams.average, state.update)
    average = jax.tree.map(lambda old, new: kept * old + (1.0 - kept) * new, state.average, params)
    metrics = {"loss": loss, "gradient_norm": optax.tree.norm(gradient)}
    return State(params, average, opt_state, state.key, state.update + 1), metrics


def nll(logits: jax.Array, tokens: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns (-log p(token t + 1), 1 where that token counts), both [B, T]."""
    return -Categorical(logits).log_prob(jnp.roll(tokens, -1, axis=1)), counted(mask)


def counted(mask: jax.Array) -> jax.Array:
    """Returns 1 where the next token is real and of the same text, float32 [B, T]. The last column counts 0."""
    counts = (jnp.roll(mask, -1, axis=1) == mask) & (mask > 0.0)
    return counts.at[:, -1].set(False).astype(jnp.float32)


def optimiser(hparams: HParams, update) -> optax.GradientTransformation:
    """Returns AdamW on the clipped gradient, at the learning rate of that update."""
    rate = learning_rate(hparams, update)
    adamw = optax.adamw(rate, b2=SECOND_MOMENT, weight_decay=hparams.weight_decay, mask=decayed)
    return optax.chain(optax.clip_by_global_norm(off_at_zero(hparams.max_grad_norm)), adamw)


def decayed(params):
    """Returns which parameters decay: matrices, but not the heads of one number, which this stage does not train."""
    return jax.tree.map(lambda x: x.ndim > 1 and x.shape[-1] > 1, params)


def learning_rate(hparams: HParams, update):
    """Returns the rate of update 0, 1, ...: it rises linearly over `warm_up`, then falls as half a cosine to 0."""
    update = jnp.asarray(update, jnp.float32)
    rising = jnp.minimum((update + 1.0) / jnp.maximum(hparams.warm_up, 1.0), 1.0)
    rest = jnp.maximum(hparams.total_updates - hparams.warm_up, 1.0)
    progress = jnp.clip((update - hparams.warm_up) / rest, 0.0, 1.0)
    return hparams.learning_rate * rising * 0.5 * (1.0 + jnp.cos(jnp.pi * progress))


def averaged(keep, update):
    """Returns what the average keeps of itself: less at first, lest it remember the initial parameters."""
    return jnp.minimum(keep, update / (update + 10.0))


def pack(texts: Sequence[Sequence[int]], length: int, pad: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns (tokens int32 [N, length], mask float32 [N, length]): whole texts, several to a row, numbered 1, 2, ... in the mask.

    The longest go first, each into the first row with room. A text longer than a row loses its end.
    """
    rows, room = [], np.zeros(len(texts), np.int64) + length
    for text in sorted(texts, key=len, reverse=True):
        row = int(np.argmax(room >= min(len(text), length)))
        if row == len(rows):
            rows.append([])
        rows[row].append(text[:length])
        room[row] -= len(rows[row][-1])
    tokens, mask = np.full((len(rows), length), pad, np.int32), np.zeros((len(rows), length), np.float32)
    for row, packed in enumerate(rows):
        joined = np.concatenate(packed)
        tokens[row, : len(joined)] = joined
        mask[row, : len(joined)] = np.repeat(np.arange(len(packed)) + 1, [len(text) for text in packed])
    return tokens, mask


def bits_per_character(total_nll, characters: int) -> float:
    """Returns bits a character of text: the nats of all its tokens, the end token's included, over its characters without it."""
    return float(total_nll) / math.log(2.0) / characters
