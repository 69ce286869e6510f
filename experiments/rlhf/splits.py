"""Parts of a text collection that share no sentence.

A sentence's place is decided by a hash of its letters and digits: sentences that differ in case, spaces or punctuation
alone lie in one part, and the order of the file does not matter. Pairs are drawn inside a part, never split themselves:
else the reward model is tested on sentences that it has seen in other pairs.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

HELD_OUT, VALIDATION, GOLD = 1_000, 500, 0.5


class Split(NamedTuple):
    """Indices of sentences, in file order."""

    train: np.ndarray  # what the policy and the reward model learn from
    validation: np.ndarray  # what says when to stop learning from it
    gold: np.ndarray  # what the gold judge and the measure of fluency learn from; whose ratings training never sees
    held_out: np.ndarray  # what is reported


def split(
    texts: Sequence[str], seed: int = 0, held_out: int = HELD_OUT, validation: int = VALIDATION, gold: float = GOLD
) -> Split:
    """Returns a split: so many different sentences held out, that share of the others for gold, and of what is left so
    many for validation. Raises ValueError where none is left to train."""
    sames: dict[str, list[int]] = {}
    for index, text in enumerate(texts):
        sames.setdefault(sameness(text), []).append(index)
    if min(held_out, validation) < 1 or not 0.0 < gold < 1.0:
        raise ValueError(
            f"each part of a split has a sentence or more, not held_out={held_out}, validation={validation}, gold={gold}"
        )
    num_gold = round(gold * max(len(sames) - held_out, 0))
    ends = np.cumsum([held_out, num_gold, validation])
    if not num_gold or len(sames) <= ends[-1]:
        parts = f"hold out {held_out}, give {num_gold} to gold, stop by {validation} and train on the rest"
        raise ValueError(f"{len(sames)} different sentences are too few to {parts}")
    ranked = sorted(sames, key=lambda same: hashlib.sha256(f"{seed}\n{same}".encode()).digest())
    parts = [ranked[: ends[0]], ranked[ends[0] : ends[1]], ranked[ends[1] : ends[2]], ranked[ends[2] :]]
    indices = [np.array(sorted(index for same in part for index in sames[same])) for part in parts]
    return Split(held_out=indices[0], gold=indices[1], validation=indices[2], train=indices[3])


def sameness(text: str) -> str:
    """Returns what two sentences share that count as one: letters and digits, in one case; all of it where it has none."""
    return "".join(filter(str.isalnum, text.casefold())) or text
