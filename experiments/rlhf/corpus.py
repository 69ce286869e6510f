"""The texts of a run: rated sentences in parts that share none, and sentences more that nobody rated."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.lab.recording.files import sha256
from experiments.rlhf.reading import HUMAN_SENTIMENT, Rated, read_ratings, read_sentences
from experiments.rlhf.settings import Sizes
from experiments.rlhf.splits import Split, split


class Corpus(NamedTuple):
    """What every stage reads from."""

    rated: Rated
    split: Split
    more: tuple[str, ...]  # sentences without ratings, that the supervised stage learns from too
    inputs: dict[str, str]  # the files, by SHA-256

    def texts(self, part: np.ndarray) -> list[str]:
        """Returns the sentences of a part."""
        return [self.rated.texts[index] for index in part]

    @property
    def to_imitate(self) -> list[str]:
        """What the supervised stage learns from: the texts, never the ratings, of train and gold, and those without any."""
        return [*self.texts(np.concatenate([self.split.train, self.split.gold])), *self.more]


def read(sizes: Sizes, ratings: Path | None = None, more: Path | None = None) -> Corpus:
    """Returns the texts of the files. ratings: None for those of the package. Raises ValueError, in one line, that names
    the line of a file which cannot be used."""
    path = HUMAN_SENTIMENT if ratings is None else ratings
    rated = read_ratings(path)
    single = next((index for index, own in enumerate(rated.ratings) if len(own) < 2), None)
    if single is not None:
        raise ValueError(
            f"{path}:{single + 2}: ratings: one rater alone; what raters agree on takes two or more a sentence"
        )
    parts = split(rated.texts, sizes.seed, sizes.held_out, sizes.validation)
    inputs = {"ratings": sha256(path)} | ({} if more is None else {"texts": sha256(more)})
    return Corpus(rated, parts, () if more is None else read_sentences(more), inputs)
