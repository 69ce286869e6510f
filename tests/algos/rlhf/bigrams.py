"""A language model that is a table: what follows a token depends on that token alone, so that all can be enumerated."""

import itertools

import jax
import numpy as np

from algos.rlhf.language_model import LanguageModel, Output


def bigrams(vocabulary: int) -> LanguageModel:
    """Returns the model with parameters {"logits" [V, V], "value" [V], "score" [V]}."""

    def read(params, token):
        return Output(*(params[name][token] for name in ("logits", "value", "score")))

    def init(key):
        keys = jax.random.split(key, 3)
        shapes = {"logits": (vocabulary, vocabulary), "value": (vocabulary,), "score": (vocabulary,)}
        return {name: jax.random.normal(k, shape) for k, (name, shape) in zip(keys, shapes.items())}

    def apply(params, tokens, mask):
        return read(params, tokens)

    def start(params, tokens, mask, room):
        return (), read(params, tokens[:, -1])

    def step(params, memory, token):
        return memory, read(params, token)

    return LanguageModel(init, apply, start, step, vocabulary)


def probabilities(logits, first: int, end: int, length: int, temperature: float) -> dict[tuple, float]:
    """Returns the probability of every answer after the token `first`."""
    weight = np.exp(np.asarray(logits, np.float64) / temperature)
    follows = weight / weight.sum(axis=1, keepdims=True)
    found = {}
    for size in range(1, length + 1):
        for answer in itertools.product(range(len(logits)), repeat=size):
            if end not in answer[:-1] and (answer[-1] == end or size == length):
                found[answer] = np.prod([follows[a, b] for a, b in zip((first, *answer), answer)])
    return found
