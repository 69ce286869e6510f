"""Texts as the rows of tokens that models read: begin, the tokens, end; cut where an answer's budget ends."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from algos.rlhf.tokeniser import Tokeniser


class Rows(NamedTuple):
    """N texts as answers to a prompt that is the begin token alone."""

    tokens: np.ndarray  # int32 [N, 1 + L], pad after the end
    mask: np.ndarray  # float32 [N, 1 + L], 1.0 on real tokens

    @property
    def answer_mask(self) -> np.ndarray:
        """1.0 on the answer's tokens, [N, L]."""
        return self.mask[:, 1:]

    def of(self, part) -> "Rows":
        """Returns those of these texts."""
        return Rows(self.tokens[part], self.mask[part])


def whole(tokeniser: Tokeniser, texts: Sequence[str]) -> list[list[int]]:
    """Returns begin, tokens and end of each text."""
    return [[tokeniser.begin, *tokeniser.encode(text), tokeniser.end] for text in texts]


def rows(tokeniser: Tokeniser, texts: Sequence[str], length: int) -> Rows:
    """Returns the texts as answers of at most `length` tokens: a longer one loses its end, as an answer does."""
    tokens = np.full((len(texts), 1 + length), tokeniser.pad, np.int32)
    for row, text in zip(tokens, whole(tokeniser, texts)):
        row[: len(text)] = text[: 1 + length]
    return Rows(tokens, (tokens != tokeniser.pad).astype(np.float32))


def texts_of(tokeniser: Tokeniser, answers: np.ndarray) -> list[str]:
    """Returns the texts of answers [N, L]; pad, begin and end say nothing."""
    return [tokeniser.decode(row) for row in np.asarray(answers).tolist()]
