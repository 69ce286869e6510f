"""A language model that is a table: logits, value and score of every prefix of an answer. Every policy is in it, so what an
algorithm leads to can be compared with what it should lead to, answer by answer.

The first token of a text chooses a tree (a prompt is one token, 0 to trees - 1); each token after it leads on to a child. The
children of node n are n V + 1 to n V + V, the root is 0.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from algos.rlhf.language_model import LanguageModel, Output


def tabular(vocabulary: int, length: int, trees: int = 1) -> LanguageModel:
    """Returns the table for answers of up to `length` tokens. Its first logits are standard normal, value and score 0."""
    nodes = sum(vocabulary**depth for depth in range(length))

    def init(key):
        zeros = jnp.zeros((trees, nodes))
        return {"logits": jax.random.normal(key, (trees, nodes, vocabulary)), "value": zeros, "score": zeros}

    def look_up(params, place):
        tree, node = place[0], jnp.minimum(place[1], nodes - 1)  # beyond the last token nothing is asked for
        return Output(*(params[name][tree, node] for name in ("logits", "value", "score")))

    def move(place, token, real):
        tree, node = place
        begins = node < 0
        reached = jnp.where(begins, 0, jnp.minimum(node, nodes - 1) * vocabulary + 1 + token)
        chosen = jnp.where(begins, jnp.clip(token, 0, trees - 1), tree)
        return jnp.where(real, chosen, tree), jnp.where(real, reached, node)

    def places(tokens, mask):
        before = (jnp.zeros_like(tokens[:, 0]), jnp.full_like(tokens[:, 0], -1))

        def read(place, column):
            place = move(place, *column)
            return place, place

        return lax.scan(read, before, (tokens.T, mask.T > 0))

    def apply(params, tokens, mask):
        tree, node = places(tokens, mask)[1]
        return look_up(params, (tree.T, jnp.maximum(node.T, 0)))

    def start(params, tokens, mask, room):
        place, _ = places(tokens, mask)
        return place, look_up(params, place)

    def step(params, memory, token):
        place = move(memory, token, jnp.ones_like(token, bool))
        return place, look_up(params, place)

    return LanguageModel(init, apply, start, step, vocabulary)


def answers(vocabulary: int, length: int, end: int, pad: int):
    """Returns every answer, int32 [N, length] and its mask, float32: those that end, then those that fill the budget."""
    others = [token for token in range(vocabulary) if token != end]
    rows = [(*row, end) for size in range(length) for row in itertools.product(others, repeat=size)] + list(
        itertools.product(others, repeat=length)
    )
    tokens, mask = np.full((len(rows), length), pad, np.int32), np.zeros((len(rows), length), np.float32)
    for place, row in enumerate(rows):
        tokens[place, : len(row)], mask[place, : len(row)] = row, 1.0
    return tokens, mask


def texts(prompt, tokens, mask, pad: int):
    """Returns the answers after one prompt [P]: whole texts [N, P + L] and their mask."""
    prompts = np.broadcast_to(np.asarray(prompt, np.int32), (len(tokens), len(prompt)))
    return np.concatenate([prompts, tokens], 1), np.concatenate([np.float32(prompts != pad), mask], 1)
