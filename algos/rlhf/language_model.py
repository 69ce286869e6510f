"""What a language model is: pure functions over a parameter tree, for whole texts and token by token.

A transformer is one (`transformer.py`); a table of logits is another, and so is any network of the user's own. `tokens` are
int32, `mask` is float32: 1.0 on real tokens, 0.0 on padding, which may stand before a text or after it. A token's position is
cumsum(mask) - 1, so padding on either side changes nothing. No dropout: what `apply` gives is what `step` gives, exactly
what sampling, the old, the new and the reference log-probabilities need. (Dropout is an argument of supervised training.)
"""

from collections.abc import Callable
from typing import NamedTuple

import jax


class Output(NamedTuple):
    """What a model says at each token, having read the text up to and including it."""

    logits: jax.Array  # float32 [..., V], of the next token
    value: jax.Array  # float32 [...], V of the text so far
    score: jax.Array  # float32 [...], the reward model's


class LanguageModel(NamedTuple):
    """`init`, `apply`, `start` and `step` are pure and batched."""

    init: Callable  # (key) -> params
    apply: Callable  # (params, tokens [B, T], mask [B, T]) -> Output, [B, T, V], [B, T], [B, T]
    start: Callable  # (params, tokens [B, P], mask [B, P], room: int) -> (memory, Output of the last column [B, V], [B], [B])
    step: Callable  # (params, memory, token [B]) -> (memory, Output [B, V], [B], [B]); at most `room` times
    vocabulary: int
