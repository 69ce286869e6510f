"""Who judges what policies write: the gold judge and the measure of fluency, both of texts of which training never sees what
people said. (The texts themselves the supervised stage reads.)
"""

import numpy as np

from experiments.lab.recording import trees
from experiments.rlhf import features, gold, kneser_ney
from experiments.rlhf.corpus import SPLIT, Corpus
from experiments.rlhf.linear import Kind, Linear
from experiments.rlhf.opinions import RIDGE
from experiments.rlhf.stages.stage import Finished, Stage, made

GOLD, FLUENCY = "gold.npz", "fluency.npz"


def stage(folder, corpus: Corpus, sizes) -> Finished:
    """Returns the stage, made or found. Raises BadInput where the folder holds another."""
    settings = {name: getattr(sizes, name) for name in SPLIT}
    settings |= {"features": [[kind.__name__, share] for kind, share in gold.FEATURES], "ridges": [gold.RIDGE, RIDGE]}
    settings |= {"weighing": list(gold.WEIGHING), "order": kneser_ney.ORDER}

    def make(own: Stage):
        split, said = corpus.split, corpus.opinions
        judge = said.judge(corpus.texts, split.gold)
        write_linear(own.folder / GOLD, judge)
        write_kneser_ney(own.folder / FLUENCY, kneser_ney.fit([text for _, text in corpus.to_imitate(split.gold)]))
        agreement = said.agreement(split.held_out, judge.score(corpus.of(split.held_out)))
        print(f"{own.name}: the gold judge orders {agreement['pair_accuracy']:.1%} of pairs as people do", flush=True)
        return {**agreement, "unit": said.unit}

    return made(Stage(folder, settings, corpus.inputs), (GOLD, FLUENCY), make)


def write_linear(path, model: Linear) -> None:
    """Writes a linear model of texts."""
    tree = {"b": np.array(model.b), "w": model.w}
    for number, kind in enumerate(model.kinds):
        names = "\n".join(kind.places).encode()
        tree[f"{number}"] = {
            "name": np.array(kind.features.__name__), "share": np.array(kind.share), "weights": kind.weights,
            "features": np.frombuffer(names, np.uint8),
        }  # fmt: skip
    trees.write(path, tree)


def read_linear(path) -> Linear:
    """Returns what `write_linear` wrote. Raises ValueError for a file that cannot be read."""
    found, kinds = trees.arrays_of(path), []
    while f"['{len(kinds)}']['name']" in found:
        own = {name: found[f"['{len(kinds)}']['{name}']"] for name in ("name", "share", "weights", "features")}
        places = {feature: place for place, feature in enumerate(own["features"].tobytes().decode().split("\n"))}
        kinds.append(Kind(getattr(features, str(own["name"])), float(own["share"]), places, own["weights"]))
    return Linear(tuple(kinds), found["['w']"], float(found["['b']"]))


def write_kneser_ney(path, model: kneser_ney.KneserNey) -> None:
    """Writes a Kneser-Ney model."""
    trees.write(path, {"characters": model.characters, "levels": [level._asdict() for level in model.levels]})


def read_kneser_ney(path) -> kneser_ney.KneserNey:
    """Returns what `write_kneser_ney` wrote. Raises ValueError for a file that cannot be read."""
    found, levels = trees.arrays_of(path), []
    while f"['levels'][{len(levels)}]['grams']" in found:
        levels.append(
            kneser_ney.Level(*(found[f"['levels'][{len(levels)}]['{name}']"] for name in kneser_ney.Level._fields))
        )
    return kneser_ney.KneserNey(found["['characters']"], tuple(levels))
