"""A reward of the user's own, FILE.py:FUNCTION: of texts, or of tokens.

def short(texts):            # [N] of a list of N texts; called on the host
    return [-len(text) for text in texts]

def quick(tokens, mask):     # [N] of the answers' tokens [N, L] and which are real; jitted where jax can trace it
    return -mask.sum(axis=1)
"""

import inspect
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from algos.rlhf.tokeniser import Tokeniser
from envs.text import on_host
from experiments.lab.outside.loss_errors import reason
from experiments.lab.outside.user_files import load
from experiments.rlhf.encoding import rows, texts_of

RAISED = re.compile(r"[A-Za-z_.]*(Error|Exception|Interrupt)\b")  # the last line of a traceback
FORMS = "it takes (texts), or (tokens, mask)"
TRIED = ["A good film.", "No.", ""]


def checked(reference: str) -> Callable:
    """Returns the function that FILE.py:FUNCTION names. Raises ValueError, in one line, for one that cannot be called so, or
    gives no finite number a text. One of tokens is tried later, where there are tokens."""
    function = load(reference)
    if not callable(function) or _parameters(function) not in (["texts"], ["tokens", "mask"]):
        raise ValueError(f"{reference} is no reward: {FORMS}")
    if _parameters(function) == ["texts"]:
        try:
            found = np.asarray(function(list(TRIED)), np.float64)
        except Exception as error:  # a user's function raises what it likes
            raise ValueError(f"{reference}: {reason(error)}") from None
        if found.shape != (len(TRIED),) or not np.all(np.isfinite(found)):
            raise ValueError(f"{reference} gives one finite number a text, [{len(TRIED)}], not {found.tolist()}")
    return function


def of_answers(reference: str, pieces: Tokeniser, length: int) -> Callable:
    """Returns the function as the reward of a language task: (tokens [B, P + L], mask, answer_mask [B, L]) -> [B]. Raises
    ValueError, in one line, for one that fails on answers, an empty one among them."""
    function = checked(reference)
    if _parameters(function) == ["texts"]:
        return on_host(lambda tokens, mask, answer_mask: function(texts_of(pieces, tokens[:, -length:])))

    def of_tokens(tokens, mask, answer_mask):
        return function(tokens[:, -length:], answer_mask)

    if _traces(of_tokens, length):
        return of_tokens
    tried = rows(pieces, TRIED, length)
    try:
        found = np.asarray(of_tokens(*tried), np.float64)
    except Exception as error:  # a user's function raises what it likes
        raise ValueError(f"{reference}: {reason(error)}") from None
    if found.shape != (len(TRIED),) or not np.all(np.isfinite(found)):
        raise ValueError(f"{reference} gives one finite number an answer, [{len(TRIED)}], not {found.tolist()}")
    return on_host(of_tokens)


def failure(error: jax.errors.JaxRuntimeError) -> str:
    """Returns, in one line, what a reward said that failed on the host while a program ran."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    raised = [line for line in lines if RAISED.match(line)]
    return (raised or lines or ["it failed"])[-1]


def _traces(function: Callable, length: int) -> bool:
    rows = [jnp.zeros((2, 1 + length), jnp.int32), jnp.ones((2, 1 + length)), jnp.ones((2, length))]
    try:
        return bool(jax.eval_shape(function, *rows).shape == (2,))
    except Exception:  # it needs numbers, not traces of them: on the host it has them
        return False


def _parameters(function: Any) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []
