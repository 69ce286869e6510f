"""A reward model on a pretrained one whose layers are trained too, by low-rank adapters (`algos/rlhf/adapters.py`).

A text's score is that of a linear head (`dense.py`) on what is read at a layer: it begins as the head that was fitted to the
model as it is. An update reads a block of packed texts, some 35, and compares each with every other:

    L = mean over pairs of  -y log sigma(s_i - s_j) - (1 - y) log sigma(s_j - s_i),   y = P(i preferred) + P(alike) / 2

y of what all raters of the two said: a reading teaches more than one comparison with one rating drawn for each would. The
learning rate rises over WARM of the updates and falls to 0 in a straight line.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from algos.core.optimize import adam
from algos.rlhf import adapters, reward_model
from experiments.rlhf import dense, smollm2
from experiments.rlhf.opinions import Opinions
from experiments.rlhf.smollm2 import Reader

PARTS = ("attention", "mlp")
RANK, LEARNING_RATE, WARM, EPSILON, MAX_GRAD_NORM = 16, 5e-4, 0.1, 1e-8, 1.0


@struct.dataclass
class Learned:
    """What is trained."""

    adapters: Any
    w: jax.Array  # float32 [2 width], the head's


@struct.dataclass
class State:
    """All that one update hands to the next."""

    learned: Learned
    opt_state: Any
    update: jax.Array  # int32, updates made


class Blocks(NamedTuple):
    """What N updates read, each M texts at most; arrays [N, ...]."""

    tokens: np.ndarray  # int32 [ROWS, ROW]
    mask: np.ndarray  # float32 [ROWS, ROW]
    row: np.ndarray  # int32 [M], of each text; 0 where there is none
    number: np.ndarray  # int32 [M], of each text in its row
    label: np.ndarray  # float32 [M, M], y
    counted: np.ndarray  # float32 [M, M], 1.0 for pairs that people compared


def blocks(
    reader: Reader, texts: Sequence[str], part: np.ndarray, opinions: Opinions, epochs: int, seed: int
) -> Blocks:
    """Returns what updates read of the part's texts in so many epochs, each in an order of its own."""
    rng, found, rows = (
        np.random.default_rng(seed),
        [],
        dict(zip(part, smollm2.encoded(reader, [texts[i] for i in part]))),
    )
    for _ in range(epochs):
        order = rng.permutation(part.reshape(-1, opinions.joint)).reshape(-1)
        at = 0
        for (tokens, mask), places in smollm2.blocks([rows[index] for index in order]):
            some, at = order[at : at + len(places)], at + len(places)
            found.append((tokens, mask, *np.array(places, np.int32).T, *opinions.among(some)))
    most = max(len(one[2]) for one in found)

    def filled(place):
        return np.stack([np.pad(one[place], [(0, most - len(one[2]))] * one[place].ndim) for one in found])

    tokens, mask = (np.stack([one[place] for one in found]) for place in (0, 1))
    return Blocks(tokens, mask, filled(2), filled(3), *(filled(place).astype(np.float32) for place in (4, 5)))


def lower(reader: Reader) -> Reader:
    """Returns the reader that reads at the first of its layers alone, without those above."""
    layer = reader.layers[0]
    above = [f"{part}_{number}" for part in PARTS for number in range(layer + 1, reader.config.layers)]
    params = {name: own for name, own in reader.params.items() if name not in above}
    return reader._replace(config=replace(reader.config, layers=layer + 1), params=params, layers=(layer,))


def own_features(reader: Reader, features: np.ndarray) -> np.ndarray:
    """Returns those of the features, [N, 2 layers width], that are read at the first of the reader's layers, [N, 2 width]."""
    return features.reshape(len(features), 2, len(reader.layers), -1)[:, :, 0].reshape(len(features), -1)


def begin(reader: Reader, head: dense.Head, layers: int, seed: int) -> State:
    """Returns the beginning, with adapters in so many layers below the one that is read: the scores are the head's. The reader
    is a `lower` one."""
    top = reader.layers[0]
    key, chosen = jax.random.key(seed), range(max(0, top - layers), top)
    learned = Learned(adapters.drawn(key, reader.params, chosen, RANK), jnp.asarray(head.w, jnp.float32))
    return State(learned, _optimizer(0.0).init(learned), jnp.int32(0))


def step(reader: Reader, head: dense.Head, updates: int, given: tuple[Any, Blocks], state: State) -> State:
    """Returns the state after one update. given: (the reader's parameters, what updates read)."""
    params, every = given
    block = jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, state.update, keepdims=False), every)
    gradient = jax.grad(loss, argnums=2)(reader, head, state.learned, params, block)
    warm = max(1, round(WARM * updates))
    rate = LEARNING_RATE * jnp.minimum((state.update + 1) / warm, (updates - state.update) / (updates + 1 - warm))
    moves, opt_state = _optimizer(rate).update(gradient, state.opt_state, state.learned)
    return State(jax.tree.map(jnp.add, state.learned, moves), opt_state, state.update + 1)


def loss(reader: Reader, head: dense.Head, learned: Learned, params: Any, block: Blocks) -> jax.Array:
    """Returns L of one block, whose arrays have no leading axis."""
    scores = rows_scored(reader, head, learned, params, block.tokens, block.mask)[block.row, block.number]
    each = reward_model.bradley_terry(scores[:, None] - scores, block.label)
    return jnp.sum(block.counted * each) / jnp.maximum(jnp.sum(block.counted), 1.0)


def rows_scored(reader: Reader, head: dense.Head, learned: Learned, params: Any, tokens, mask) -> jax.Array:
    """Returns the score of each text of packed rows [B, T], float32 [B, M]; with the reader's settings and those parameters."""
    suffix, params = len(reader.tokeniser.encode(reader.suffix)), adapters.joined(params, learned.adapters)
    _, features = smollm2.rows_read(reader.config, reader.layers, suffix, params, tokens, mask)
    mean, deviation = (jnp.asarray(x, jnp.float32) for x in (head.mean, head.deviation))
    return dense.standardised(features, mean, deviation) @ learned.w


def scoring(
    reader: Reader, head: dense.Head, compiled: Callable = jax.jit
) -> Callable[[Learned, Sequence[str]], np.ndarray]:
    """Returns (what was learned, texts) -> their scores, float64 [N]."""
    program = compiled(functools.partial(rows_scored, reader, head))

    def scores(learned, texts):
        said = smollm2.of_texts(functools.partial(program, learned, reader.params), smollm2.encoded(reader, texts))
        return said.astype(float)

    return scores


def _optimizer(rate):
    return adam(rate, MAX_GRAD_NORM, EPSILON)
