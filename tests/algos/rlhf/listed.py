"""Language tasks so small that every answer can be listed, for tests. Rewards are a table that is read without the code
under test: an answer is the digits of a number."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from algos.rlhf import sampling
from algos.rlhf.tabular_model import answers, tabular, texts
from envs import text

# These programs compile for longer than they run.
quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


class Listed(NamedTuple):
    env: object
    tokens: np.ndarray  # [N, L], every answer
    mask: np.ndarray
    reward: np.ndarray  # [N]
    log_reference: np.ndarray  # [N, L], each token's, float64


def listed(vocabulary: int, length: int, prompts: int = 1, reward=None, seed: int = 0) -> Listed:
    """Returns a task whose rewards are normal, or a function's; pad is `vocabulary`, end the last token. Prompts are of one
    token, after padding. What is listed is of the first."""
    tokens, mask = answers(vocabulary, length, vocabulary - 1, vocabulary)
    random = np.random.default_rng(seed)
    values = np.zeros((prompts, (vocabulary + 1) ** length), np.float32)
    for row in values:
        row[number(tokens, mask, vocabulary)] = random.normal(size=len(tokens))
    values = jnp.asarray(values)

    def from_table(tokens, mask, answer_mask):
        del mask
        return values[tokens[:, 1], number(tokens[:, -length:], answer_mask, vocabulary)]

    model = tabular(vocabulary, length, prompts)
    params = model.init(jax.random.key(seed + 1))
    starts = np.stack([np.full(prompts, vocabulary), np.arange(prompts)], 1).astype(np.int32)
    facts = text.Text(vocabulary, vocabulary, vocabulary - 1, starts, length, model, params, reward or from_table)
    task = Listed(text.env("listed", facts), tokens, mask, np.zeros(len(tokens)), np.zeros(tokens.shape))
    whole, whole_mask = whole_texts(task)
    given = facts.reward(jnp.asarray(whole), jnp.asarray(whole_mask), jnp.asarray(mask))
    return task._replace(reward=np.asarray(given, np.float64), log_reference=token_log_probs(task, params))


def number(tokens, mask, vocabulary: int):
    """Returns answers as numbers, their tokens the digits, [B]."""
    digits = jnp.where(jnp.asarray(mask) > 0, jnp.asarray(tokens) + 1, 0)
    return digits @ (vocabulary + 1) ** jnp.arange(digits.shape[1])


def whole_texts(task: Listed):
    """Returns every answer after the first prompt, tokens and mask [N, P + L]."""
    return texts(task.env.text.prompts[0], task.tokens, task.mask, task.env.text.pad)


def all_answers(task: Listed) -> sampling.Answers:
    """Returns every answer as if it had been sampled."""
    whole, whole_mask = whole_texts(task)
    zeros = jnp.zeros(task.mask.shape)
    return sampling.Answers(jnp.asarray(whole), jnp.asarray(whole_mask), jnp.asarray(task.mask), zeros, zeros)


def token_log_probs(task: Listed, params, temperature: float = 1.0) -> np.ndarray:
    """Returns log pi of each token of every answer, float64 [N, L], from the table of the first prompt by walking it."""
    logits = np.asarray(params["logits"], np.float64)[0] / temperature
    table = logits - np.log(np.sum(np.exp(logits), axis=-1, keepdims=True))
    found = np.zeros(task.tokens.shape)
    for row, (tokens, mask) in enumerate(zip(task.tokens, task.mask)):
        node = 0
        for place in range(int(mask.sum())):
            found[row, place] = table[node, tokens[place]]
            node = node * table.shape[1] + 1 + tokens[place]
    return found


def log_probs(task: Listed, params) -> np.ndarray:
    """Returns log pi of every answer, [N]."""
    return token_log_probs(task, params).sum(axis=1)
