"""Human comparisons of two texts: what the reward model learns from; some of them as rows of tokens: what DPO and IPO do."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from algos.rlhf.preference import Pairs
from algos.rlhf.types import Sequence
from experiments.lab.recording import trees
from experiments.rlhf import encoding, pairs
from experiments.rlhf.corpus import SPLIT, Corpus
from experiments.rlhf.stages import supervised
from experiments.rlhf.stages.stage import Finished, Stage, made

TRAIN = "train.npz"
SETTINGS = (*SPLIT, "prompt", "length", "pairs", "preferences")


class Compared(NamedTuple):
    """The comparisons: texts by their number, and the rows of the texts of the first of them, after their prompts."""

    drawn: pairs.Pairs
    first: encoding.Rows
    second: encoding.Rows


def stage(folder: Path, corpus: Corpus, sizes, reference: Finished) -> Finished:
    """Returns the stage, made or found. Raises BadInput where the folder holds another."""
    settings = {name: getattr(sizes, name) for name in SETTINGS}
    inputs = {**corpus.inputs, "supervised": reference.mark}

    def make(own: Stage):
        drawn = corpus.opinions.compared(corpus.split.train, sizes.pairs, sizes.seed)
        rows = rows_of(corpus, sizes.length, reference)
        first, second = (rows.of(side[: sizes.preferences]) for side in (drawn.first, drawn.second))
        trees.write(own.folder / TRAIN, Compared(drawn._replace(ties=np.array(drawn.ties)), first, second))
        print(f"{own.name}: {len(drawn.label):,} pairs, {drawn.ties:.1%} of them ties", flush=True)
        return {"pairs": len(drawn.label), "ties": drawn.ties}

    return made(Stage(folder, settings, inputs), (TRAIN,), make)


def rows_of(corpus: Corpus, length: int, reference: Finished) -> encoding.Rows:
    """Returns all texts of the corpus after their prompts, cut as answers and prompts of the reference policy are."""
    pieces = supervised.load(reference.folder, reference.mark).tokeniser
    room = supervised.load_prompts(reference.folder, reference.mark).train.shape[1] - 1
    return encoding.rows(pieces, corpus.texts, length, encoding.prompts(pieces, corpus.prompts, room))


def load(folder: Path) -> Compared:
    """Returns the comparisons of a finished stage."""
    found = trees.arrays_of(folder / TRAIN)
    drawn = pairs.Pairs(*(found[f".drawn.{name}"] for name in pairs.Pairs._fields))
    rows = [encoding.Rows(*(found[f".{side}.{x}"] for x in encoding.Rows._fields)) for side in ("first", "second")]
    return Compared(drawn, *rows)


def preferred(compared: Compared) -> Pairs:
    """Returns those that are no ties, as DPO and IPO take them."""
    label = compared.drawn.label[: len(compared.first.tokens)]
    decided = label != 0.5
    first = (label == 1.0)[decided, None]
    both = [rows.of(decided) for rows in (compared.first, compared.second)]
    chosen = encoding.Rows(*(np.where(first, x, y) for x, y in zip(*both)))
    rejected = encoding.Rows(*(np.where(first, y, x) for x, y in zip(*both)))
    return Pairs(
        Sequence(chosen.tokens, chosen.mask), chosen.answer_mask,
        Sequence(rejected.tokens, rejected.mask), rejected.answer_mask,
    )  # fmt: skip
