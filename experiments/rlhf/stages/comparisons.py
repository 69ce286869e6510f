"""Human comparisons of two sentences: what the reward model learns from; some of them as rows of tokens: what DPO and IPO do."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from algos.rlhf.preference import Pairs
from algos.rlhf.types import Sequence
from experiments.lab.recording import trees
from experiments.rlhf import encoding, pairs
from experiments.rlhf.corpus import Corpus
from experiments.rlhf.stages import supervised
from experiments.rlhf.stages.stage import Finished, Stage, made

TRAIN = "train.npz"
SETTINGS = ("seed", "held_out", "validation", "length", "pairs", "preferences")


class Compared(NamedTuple):
    """The comparisons, and the rows of the sentences of the first of them, cut where answers are."""

    drawn: pairs.Pairs
    first: encoding.Rows
    second: encoding.Rows


def stage(folder: Path, corpus: Corpus, sizes, reference: Finished) -> Finished:
    """Returns the stage, made or found. Raises BadInput where the folder holds another."""
    settings = {name: getattr(sizes, name) for name in SETTINGS}
    inputs = {**corpus.inputs, "supervised": reference.mark}

    def make(own: Stage):
        drawn = draw(corpus, corpus.split.train, sizes.pairs, sizes.seed)
        pieces = supervised.load(reference.folder, reference.mark).tokeniser
        some = [side[: sizes.preferences] for side in (drawn.first, drawn.second)]
        rows = [encoding.rows(pieces, corpus.texts(part), sizes.length) for part in some]
        trees.write(own.folder / TRAIN, Compared(drawn._replace(ties=np.array(drawn.ties)), *rows))
        print(f"{own.name}: {sizes.pairs:,} pairs, {drawn.ties:.1%} of them ties", flush=True)
        return {"ties": drawn.ties}

    return made(Stage(folder, settings, inputs), (TRAIN,), make)


def draw(corpus: Corpus, part: np.ndarray, number: int, seed: int) -> pairs.Pairs:
    """Returns so many comparisons of sentences of the part, ties among them."""
    return pairs.draw(corpus.rated.ratings, part, number, seed)


def load(folder: Path) -> Compared:
    """Returns the comparisons of a finished stage."""
    found = trees.arrays_of(folder / TRAIN)
    drawn = pairs.Pairs(*(found[f".drawn.{name}"] for name in pairs.Pairs._fields))
    rows = [encoding.Rows(found[f".{side}.tokens"], found[f".{side}.mask"]) for side in ("first", "second")]
    return Compared(drawn, *rows)


def preferred(compared: Compared) -> Pairs:
    """Returns those that are no ties, as DPO and IPO take them."""
    label = compared.drawn.label[: len(compared.first.tokens)]
    decided = label != 0.5
    first = (label == 1.0)[decided, None]
    both = [encoding.Rows(rows.tokens[decided], rows.mask[decided]) for rows in (compared.first, compared.second)]
    chosen = encoding.Rows(*(np.where(first, x, y) for x, y in zip(*both)))
    rejected = encoding.Rows(*(np.where(first, y, x) for x, y in zip(*both)))
    return Pairs(Sequence(*chosen), chosen.answer_mask, Sequence(*rejected), rejected.answer_mask)
