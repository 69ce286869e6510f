"""Texts as the rows of tokens that models read: begin, a prompt, the answer's tokens, end; cut where an answer's budget ends."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from algos.rlhf.tokeniser import Tokeniser

BLOCK, LOGITS = 512, 2**27  # the most answers that are drawn at a time, and the most logits that they have


class Rows(NamedTuple):
    """N texts as answers to their prompts."""

    tokens: np.ndarray  # int32 [N, P + L], pad before the begin token and after the end
    mask: np.ndarray  # float32 [N, P + L], 1.0 on real tokens
    answer_mask: np.ndarray  # float32 [N, L], of the answer

    @property
    def answers(self) -> np.ndarray:
        """The answers' tokens, int32 [N, L]."""
        return self.tokens[:, -self.answer_mask.shape[1] :]

    def of(self, part) -> "Rows":
        """Returns the rows of a part."""
        return Rows(*(x[part] for x in self))


def whole(tokeniser: Tokeniser, texts: Iterable[tuple[str, str]], room: int | None = None) -> list[list[int]]:
    """Returns begin, the tokens of prompt and answer, and end of each (prompt, answer). room: the tokens that a prompt keeps,
    its last, as `prompts` cuts it; None: all."""
    return [
        [tokeniser.begin, *_encoded(tokeniser, prompt, room), *_answer(tokeniser, bool(prompt), text), tokeniser.end]
        for prompt, text in texts
    ]


def cut(tokeniser: Tokeniser, texts: Iterable[tuple[str, str]], room: int) -> list[tuple[str, str]]:
    """Returns each (prompt, answer) with what the prompt keeps of itself."""
    return [(tokeniser.decode(_encoded(tokeniser, prompt, room)), text) for prompt, text in texts]


def prompts(tokeniser: Tokeniser, texts: Sequence[str], room: int) -> np.ndarray:
    """Returns the prompts as rows int32 [N, 1 + room], padded on the left; a longer one loses its beginning."""
    found = np.full((len(texts), 1 + room), tokeniser.pad, np.int32)
    for row, text in zip(found, texts):
        own = [tokeniser.begin, *_encoded(tokeniser, text, room)]
        row[-len(own) :] = own
    return found


def rows(tokeniser: Tokeniser, texts: Sequence[str], length: int, asked: np.ndarray | None = None) -> Rows:
    """Returns the texts as answers of at most `length` tokens: a longer one loses its end, as an answer does.
    asked: their prompts [N, P]; None: the begin token alone."""
    asked = prompts(tokeniser, [""] * len(texts), 0) if asked is None else asked
    answers = np.full((len(texts), length), tokeniser.pad, np.int32)
    prompted = np.sum(asked != tokeniser.pad, axis=1) > 1  # by more than the begin token
    for row, text, after in zip(answers, texts, prompted):
        own = [*_answer(tokeniser, after, text), tokeniser.end][:length]
        row[: len(own)] = own
    tokens = np.concatenate([asked, answers], axis=1)
    return Rows(tokens, (tokens != tokeniser.pad).astype(np.float32), (answers != tokeniser.pad).astype(np.float32))


def at_once(vocabulary: int, length: int) -> int:
    """Returns how many answers of so many tokens are drawn at a time."""
    return max(1, min(BLOCK, LOGITS // (vocabulary * length)))


def texts_of(tokeniser: Tokeniser, answers: np.ndarray) -> list[str]:
    """Returns the texts of answers [N, L]; pad, begin and end say nothing, nor what stands between a prompt and its answer."""
    return [tokeniser.decode(row).removeprefix(tokeniser.between) for row in np.asarray(answers).tolist()]


def joined(prompt: str, text: str) -> str:
    """Returns prompt and answer as one text."""
    return f"{prompt} {text}" if prompt else text


def _answer(tokeniser: Tokeniser, prompted: bool, text: str) -> list[int]:
    return tokeniser.encode((tokeniser.between if prompted else "") + text)


def _encoded(tokeniser: Tokeniser, prompt: str, room: int | None) -> list[int]:
    tokens = tokeniser.encode(prompt) if prompt else []
    return tokens if room is None else tokens[max(len(tokens) - room, 0) :]
