"""Language tasks: prompts, and what their answers are rewarded with. One answer is one episode, one token one action.

The reward is a function of the whole text, given once: after the token that ends the answer, or after the last that the
budget allows. That is a terminal state, not a truncation: nothing follows it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from envs.core import Discrete, Env, TimeStep


class Text(NamedTuple):
    """The facts of a language task."""

    vocabulary: int  # tokens are 0 to vocabulary - 1
    pad: int  # what fills up a row. No answer has it: outside the vocabulary, or a token that no policy ever gives
    end: int  # the end of an answer: a real action, trained like the others
    prompts: jax.Array  # int32 [N, P], padded on the left; each has a token at least
    length: int  # the most tokens that an answer has, the end among them
    reference: Any  # the language model of the reference policy
    reference_params: Any  # its parameters, which never change
    reward: Callable  # (tokens [B, P + L], mask [B, P + L], answer_mask [B, L]) -> [B]; masks are 1.0 on real tokens
    decode: Callable | None = None  # (tokens of an answer) -> str, for people to read
    preferences: Any = None  # pairs of answers to the prompts of which one was preferred (algos.rlhf.preference.Pairs)


@struct.dataclass
class Answering:
    """An answer under way."""

    tokens: jax.Array  # int32 [P + L], pad after what is written
    written: jax.Array  # int32, tokens of the answer so far


def env(name: str, text: Text) -> Env:
    """Returns the task as an environment: observations are the tokens so far, int32 [P + L], with pad after them."""
    _check(text)
    prompts = jnp.asarray(text.prompts, jnp.int32)
    width, length = prompts.shape[1], text.length
    room = jnp.full(length, text.pad, jnp.int32)

    def reset(key):
        tokens = jnp.concatenate([prompts[jax.random.randint(key, (), 0, len(prompts))], room])
        return Answering(tokens, jnp.int32(0)), tokens

    def step(key, state, action):
        del key  # nothing but the policy is random
        action = jnp.asarray(action, jnp.int32)
        written = state.written + 1
        tokens = state.tokens.at[width + state.written].set(action)
        answer_mask = (jnp.arange(length) < written).astype(jnp.float32)
        mask = jnp.concatenate([(tokens[:width] != text.pad).astype(jnp.float32), answer_mask])
        over = (action == text.end) | (written >= length)
        score = rewarded(text, tokens[None], mask[None], answer_mask[None])[0]
        reached = TimeStep(tokens, jnp.where(over, score, 0.0), over, jnp.bool_(False))
        return Answering(tokens, written), reached

    return Env(name, reset, step, (width + length,), Discrete(text.vocabulary), length, text=text)


def rewarded(text: Text, tokens, mask, answer_mask) -> jax.Array:
    """Returns the rewards of whole answers, float32 [B]. Raises ValueError where the function gives another shape."""
    reward = jnp.asarray(text.reward(tokens, mask, answer_mask), jnp.float32)
    if reward.shape != tokens.shape[:1]:
        raise ValueError(f"a reward function returns one number an answer, [{len(tokens)}], not {list(reward.shape)}")
    return reward


def on_host(function: Callable) -> Callable:
    """Returns a reward function of NumPy arrays as one that compiled programs may call, at any depth of vmap."""

    def on_arrays(tokens, mask, answer_mask):
        rows = [np.asarray(x).reshape(-1, x.shape[-1]) for x in (tokens, mask, answer_mask)]
        found = np.asarray(function(*rows), np.float32)
        if found.shape != (len(rows[0]),):
            raise ValueError(
                f"a reward function returns one number an answer, [{len(rows[0])}], not {list(found.shape)}"
            )
        return found.reshape(tokens.shape[:-1])

    def reward(tokens, mask, answer_mask):
        result = jax.ShapeDtypeStruct(tokens.shape[:-1], jnp.float32)
        return jax.pure_callback(on_arrays, result, tokens, mask, answer_mask, vmap_method="broadcast_all")

    return reward


def _check(text: Text) -> None:
    """Raises ValueError, one line, for facts that cannot be."""
    prompts = np.asarray(text.prompts)
    if text.pad == text.end:
        raise ValueError(
            f"pad and end are one token, {text.end}: the end of an answer is trained, pad never; take another"
        )
    if not 0 <= text.end < text.vocabulary:
        raise ValueError(f"end={text.end} must be a token of the vocabulary, 0 to {text.vocabulary - 1}")
    if text.length < 1:
        raise ValueError(f"length must be 1 or more, not {text.length}")
    if prompts.ndim != 2 or not len(prompts) or not np.issubdtype(prompts.dtype, np.integer):
        raise ValueError(
            f"prompts must be whole numbers [N, P], N of 1 or more, not {prompts.dtype} {list(prompts.shape)}"
        )
    real = prompts != text.pad
    if not np.all(real[:, -1:].any(axis=1)) or np.any(real[:, :-1] & ~real[:, 1:]):
        raise ValueError("prompts are padded on the left, and each ends with a real token")
    if np.any(real & ((prompts < 0) | (prompts >= text.vocabulary))):
        raise ValueError(f"prompts have a token outside the vocabulary, 0 to {text.vocabulary - 1}")
    if text.reference.vocabulary != text.vocabulary:
        raise ValueError(f"the reference has {text.reference.vocabulary} tokens, the task {text.vocabulary}")
