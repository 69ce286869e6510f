"""What SmolLM2 makes of the texts that people judged: how fluent each is, its features, and a reward model of comparisons on
them; and one whose layers are trained too (`adapted.py`), summed with a linear model of words, from the texts of `train`. Prompts
are not read.

Texts of `train`, `validation` and `held_out` are read once, CHUNK at a time; a chunk lies on the disk when it is read, so that
a run that was killed goes on.
"""

import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.lab.recording import trees
from experiments.lab.recording.files import sha256
from experiments.lab.showing.screen import duration
from experiments.rlhf import adapted, dense, pairs, smollm2
from experiments.rlhf.adapted import Learned
from experiments.rlhf.corpus import SPLIT, Corpus
from experiments.rlhf.stages import judges
from experiments.rlhf.stages import stage as stages
from experiments.rlhf.stages.stage import Finished, Stage, made
from experiments.rlhf.stages.training import CHECKPOINT, Course, compiled, lane, train

READ, HEAD, ADAPTED, WORDS = "read.npz", "head.npz", "adapted.npz", "words.npz"
CHUNK, PAIRS, RIDGES, LOOKS = 512, 100_000, (3.0, 10.0, 30.0, 100.0), 4  # looks an epoch
SHARES = (0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)  # of words in the sum
SETTINGS = (*SPLIT, "smollm2_layers", "smollm2_epochs")
TRAINING = ("RANK", "LEARNING_RATE", "WARM", "EPSILON", "MAX_GRAD_NORM")


class Adapted(NamedTuple):
    """A reward model on trained layers."""

    head: dense.Head  # where it began: mean and deviation of the features are its
    learned: Learned


class Sum(NamedTuple):
    """A sum of two scores, each over its deviation among validation texts."""

    share: float  # of the second
    deviations: tuple[float, float]

    def of(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Returns the sums, [N], of scores [N]."""
        return (1.0 - self.share) * first / self.deviations[0] + self.share * second / self.deviations[1]


def stage(folder: Path, corpus: Corpus, sizes) -> Finished:
    """Returns the stage, made or found. Raises BadInput where the folder holds another, or SmolLM2 is not installed."""
    settings = {name: getattr(sizes, name) for name in SETTINGS}
    settings |= {"layers": list(smollm2.LAYERS), "suffix": smollm2.SUFFIX, "pairs": PAIRS}
    settings |= {"longest": smollm2.LONGEST, "ridges": list(RIDGES), "shares": list(SHARES)}
    settings |= {name.lower(): getattr(adapted, name) for name in TRAINING}
    path = smollm2.file()
    inputs = {**corpus.inputs, "model": sha256(path)}
    outputs = (READ, HEAD, ADAPTED, WORDS) if sizes.smollm2_layers else (READ, HEAD)
    return made(Stage(folder, settings, inputs), outputs, lambda own: make(own, corpus, path))


def make(own: Stage, corpus: Corpus, path: Path) -> dict[str, Any]:
    """Writes the stage and returns its figures."""
    split, opinions = corpus.split, corpus.opinions
    used = np.sort(np.concatenate([split.train, split.validation, split.held_out]))  # what is gold's, nobody asks for
    found = read(own, tuple(corpus.of(used)), path)
    features = np.zeros((len(corpus.texts), found.features.shape[1]), np.float32)
    features[used], held_out = found.features, np.isin(used, split.held_out)
    drawn = opinions.compared(split.train, PAIRS, own.settings["seed"])

    def accuracy(scores, part):
        return opinions.accuracy(part, scores[part])

    head, ridge = dense.best(features, drawn, RIDGES, lambda scores: accuracy(scores, split.validation))
    trees.write(own.folder / HEAD, head)
    scores = head.score(features)
    figures = {
        "pair_accuracy": accuracy(scores, split.held_out),
        "validation_pair_accuracy": accuracy(scores, split.validation),
        "ceiling": opinions.ceiling(split.held_out),
        "ridge": ridge,
        "nats_per_character": smollm2.nats_per_character(found.log_likelihood[held_out], found.characters[held_out]),
    }
    told = f"{own.name}: {figures['pair_accuracy']:.1%} of held-out pairs as people have them"
    print(f"{told}, by a head on the model as it is", flush=True)
    if own.settings["smollm2_layers"]:
        figures |= {"frozen": {name: figures[name] for name in ("pair_accuracy", "validation_pair_accuracy", "ridge")}}
        figures |= adapt(own, corpus, path, features, drawn)
        layers = figures["layers"]["pair_accuracy"]
        print(f"{own.name}: {layers:.1%} with trained layers, {figures['pair_accuracy']:.1%} with words", flush=True)
    return figures


def read_before(path: Path) -> smollm2.Read:
    """Returns what was read, of a file."""
    found = trees.arrays_of(path)
    return smollm2.Read(*(found[f".{name}"] for name in smollm2.Read._fields))


def adapt(own: Stage, corpus: Corpus, path: Path, features: np.ndarray, drawn: pairs.Pairs) -> dict[str, Any]:
    """Trains layers, fits words, writes what was learned and returns its figures. Raises Interrupted for a signal, all saved."""
    split, opinions, settings, whole = corpus.split, corpus.opinions, own.settings, smollm2.loaded(path)
    features, reader = adapted.own_features(whole, features), adapted.lower(whole)
    reader = reader._replace(params=jax.device_put(reader.params, lane()))
    head, _ = dense.best(
        features, drawn, RIDGES, lambda scores: opinions.accuracy(split.validation, scores[split.validation])
    )
    block = np.zeros((smollm2.ROWS, smollm2.ROW), np.int32), np.zeros((smollm2.ROWS, smollm2.ROW), np.float32)
    begin = functools.partial(adapted.begin, reader, head, settings["smollm2_layers"], settings["seed"])
    learned = jax.eval_shape(begin).learned
    scores = adapted.scoring(reader, head, lambda program: compiled(program, lane(), learned, reader.params, *block))

    def accuracy(learned, part):
        return opinions.accuracy(part, scores(learned, corpus.of(part)))

    read = adapted.blocks(reader, corpus.texts, split.train, opinions, settings["smollm2_epochs"], settings["seed"])
    updates = len(read.tokens)
    course = Course(
        begin=begin, step=functools.partial(adapted.step, reader, head, updates), keep=lambda state: state.learned,
        look=lambda learned, _: accuracy(learned, split.validation), updates=updates,
        looks=min(LOOKS * settings["smollm2_epochs"], updates), patience=0, unit="validation pair accuracy",
        given=(reader.params, read),
    )  # fmt: skip
    found = train(own, course)
    trees.write(own.folder / ADAPTED, Adapted(head, found.best))
    words = opinions.judge(corpus.texts, split.train)
    judges.write_linear(own.folder / WORDS, words)
    (own.folder / CHECKPOINT).unlink(missing_ok=True)
    parts = {part: corpus.of(getattr(split, part)) for part in ("validation", "held_out")}
    said = {part: (scores(found.best, texts), words.score(texts)) for part, texts in parts.items()}
    return figures_of(opinions, split, said) | {"seconds": round(found.seconds, 1)}


def figures_of(opinions, split, said: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """Returns the figures of two scores of the texts of parts, and of the sum that orders validation pairs best."""

    def accuracies(scores):
        named = {"pair_accuracy": "held_out", "validation_pair_accuracy": "validation"}
        return {name: opinions.accuracy(getattr(split, part), scores(*said[part])) for name, part in named.items()}

    deviations = tuple(float(np.std(scores)) or 1.0 for scores in said["validation"])
    sums = [Sum(share, deviations) for share in SHARES]
    best = max(sums, key=lambda one: opinions.accuracy(split.validation, one.of(*said["validation"])))
    alone = {"layers": accuracies(lambda layers, _: layers), "words": accuracies(lambda _, words: words)}
    return accuracies(best.of) | alone | {"sum": best._asdict()}


def read(own: Stage, texts: tuple[str, ...], path: Path) -> smollm2.Read:
    """Returns what was read of the texts, and writes it; what an interrupted run has read is not read again."""
    if (own.folder / READ).exists():
        return read_before(own.folder / READ)
    number, reads, began, here = -(-len(texts) // CHUNK), None, time.monotonic(), 0
    chunks = [own.folder / f"chunk-{place:04d}.npz" for place in range(number)]
    for place, chunk in enumerate(chunks):
        if chunk.exists():
            continue
        if reads is None:
            reads = smollm2.reading(smollm2.loaded(path))
        found = reads(texts[place * CHUNK : (place + 1) * CHUNK])
        trees.write(chunk, found._replace(features=found.features.astype(np.float16)))
        here += 1
        left = duration((time.monotonic() - began) / here * sum(not one.exists() for one in chunks))
        print(f"{own.name}: {(place + 1) / number:.0%} of the texts read, {left} left", flush=True)
    whole = smollm2.Read(*map(np.concatenate, zip(*map(read_before, chunks))))
    trees.write(own.folder / READ, whole)
    for chunk in chunks:
        chunk.unlink()
    return whole


def scorer(folder: Path) -> Callable[[Sequence[str]], list[float]]:
    """Returns the reward of texts, a number each, that a finished stage learned: a function for --reward."""
    if not (folder / ADAPTED).exists():
        learned = head(folder)
        return lambda texts: learned.score(smollm2.installed()(texts).features).tolist()
    found = trees.arrays_of(folder / ADAPTED)
    began = dense.Head(*(found[f".head.{name}"] for name in dense.Head._fields))
    reader = adapted.lower(smollm2.loaded(smollm2.file()))
    begin = functools.partial(adapted.begin, reader, began, stages.read(folder)["settings"]["smollm2_layers"], 0)
    like = Adapted(began, jax.eval_shape(begin).learned)
    learned, scores = trees.read(folder / ADAPTED, like).learned, adapted.scoring(reader, began)
    words, summed = judges.read_linear(folder / WORDS), Sum(**stages.read(folder)["figures"]["sum"])
    return lambda texts: summed.of(scores(learned, texts), words.score(texts)).tolist()


def head(folder: Path) -> dense.Head:
    """Returns the reward model on the features, as a finished stage made it."""
    found = trees.arrays_of(folder / HEAD)
    return dense.Head(*(found[f".{name}"] for name in dense.Head._fields))
