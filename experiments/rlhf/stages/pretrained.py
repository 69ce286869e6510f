"""What SmolLM2 makes of the texts that people judged: how fluent each is, its features, and a reward model of comparisons on
them. Prompts are not read.

Texts are read once, CHUNK at a time; a chunk lies on the disk when it is read, so that a run that was killed goes on.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.lab.recording import trees
from experiments.lab.recording.files import sha256
from experiments.lab.showing.screen import duration
from experiments.rlhf import dense, smollm2
from experiments.rlhf.corpus import Corpus
from experiments.rlhf.stages.stage import Finished, Stage, made

READ, HEAD = "read.npz", "head.npz"
CHUNK, PAIRS, RIDGES = 512, 100_000, (3.0, 10.0, 30.0, 100.0)
SETTINGS = ("seed", "held_out", "validation")


def stage(folder: Path, corpus: Corpus, sizes) -> Finished:
    """Returns the stage, made or found. Raises BadInput where the folder holds another, or SmolLM2 is not installed."""
    settings = {name: getattr(sizes, name) for name in SETTINGS}
    settings |= {"layers": list(smollm2.LAYERS), "suffix": smollm2.SUFFIX, "pairs": PAIRS}
    settings |= {"longest": smollm2.LONGEST, "ridges": list(RIDGES)}
    path = smollm2.file()
    inputs = {**corpus.inputs, "model": sha256(path)}
    return made(Stage(folder, settings, inputs), (READ, HEAD), lambda own: make(own, corpus, path))


def make(own: Stage, corpus: Corpus, path: Path) -> dict[str, Any]:
    """Writes the stage and returns its figures."""
    split, opinions = corpus.split, corpus.opinions
    found = read(own, corpus.texts, path)
    drawn = opinions.compared(split.train, PAIRS, own.settings["seed"])

    def accuracy(scores, part):
        return opinions.accuracy(part, scores[part])

    head, ridge = dense.best(found.features, drawn, RIDGES, lambda scores: accuracy(scores, split.validation))
    trees.write(own.folder / HEAD, head)
    scores = head.score(found.features)
    figures = {
        "pair_accuracy": accuracy(scores, split.held_out),
        "validation_pair_accuracy": accuracy(scores, split.validation),
        "ceiling": opinions.ceiling(split.held_out),
        "ridge": ridge,
        "nats_per_character": smollm2.nats_per_character(
            found.log_likelihood[split.held_out], found.characters[split.held_out]
        ),
    }
    print(f"{own.name}: {figures['pair_accuracy']:.1%} of held-out pairs as people have them", flush=True)
    return figures


def read(own: Stage, texts: tuple[str, ...], path: Path) -> smollm2.Read:
    """Returns what was read of all texts, and writes it; what lies in chunks of an interrupted run is not read again."""
    number, reads, began, here = -(-len(texts) // CHUNK), None, time.monotonic(), 0
    chunks = [own.folder / f"chunk-{place:04d}.npz" for place in range(number)]
    for place, chunk in enumerate(chunks):
        if chunk.exists():
            continue
        if reads is None:
            reads = smollm2.reading(smollm2.load(path))
        found = reads(texts[place * CHUNK : (place + 1) * CHUNK])
        trees.write(chunk, found._replace(features=found.features.astype(np.float16)))
        here += 1
        left = duration((time.monotonic() - began) / here * sum(not one.exists() for one in chunks))
        print(f"{own.name}: {(place + 1) / number:.0%} of the texts read, {left} left", flush=True)
    parts = [trees.arrays_of(chunk) for chunk in chunks]
    whole = smollm2.Read(*(np.concatenate([part[f".{name}"] for part in parts]) for name in smollm2.Read._fields))
    trees.write(own.folder / READ, whole)
    for chunk in chunks:
        chunk.unlink()
    return whole


def scorer(folder: Path) -> Callable[[Sequence[str]], list[float]]:
    """Returns the reward of texts, a number each, that a finished stage learned: a function for --reward."""
    learned = head(folder)
    return lambda texts: learned.score(smollm2.installed()(texts).features).tolist()


def head(folder: Path) -> dense.Head:
    """Returns the reward model that a finished stage made."""
    found = trees.arrays_of(folder / HEAD)
    return dense.Head(*(found[f".{name}"] for name in dense.Head._fields))
