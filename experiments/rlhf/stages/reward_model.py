"""The reward model: Bradley and Terry's, of human comparisons, on the supervised model's transformer. A text's score is the
mean of the head over its tokens.

Its accuracy is that of all pairs of held-out sentences, each cut as an answer is; beside it stand what a linear model of words
and pairs of words makes of the same comparisons, of the texts whole and cut, and what no judge can surpass.
"""

import functools
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from algos.rlhf import reward_model
from algos.rlhf.language_model import LanguageModel
from algos.rlhf.reward_model import RewardModel
from experiments.lab.recording import trees
from experiments.rlhf import encoding, linear, pairs
from experiments.rlhf.corpus import Corpus
from experiments.rlhf.features import one_and_two_words
from experiments.rlhf.stages import comparisons, supervised
from experiments.rlhf.stages.stage import Finished, Stage, made
from experiments.rlhf.stages.supervised import Reference
from experiments.rlhf.stages.training import CHECKPOINT, Course, compiled, lane, train

LEARNED, LOOKS, RIDGE = "reward_model.npz", 4, 0.3
READ = 250  # texts read at a time
SETTINGS = ("seed", "pairs", "pairs_per_update", "reward_learning_rate", "held_out", "validation", "length")
LINEAR = ((one_and_two_words, 1.0),)


def stage(folder: Path, corpus: Corpus, sizes, reference: Finished, compared: Finished) -> Finished:
    """Returns the stage, made or found. Raises BadInput where the folder holds another, Interrupted for a signal."""
    settings = {name: getattr(sizes, name) for name in SETTINGS}
    inputs = {**corpus.inputs, "supervised": reference.mark, "comparisons": compared.mark}
    own = Stage(folder, settings, inputs)
    return made(own, (LEARNED,), lambda own: make(own, corpus, sizes, reference, compared))


def make(own: Stage, corpus: Corpus, sizes, reference: Finished, compared: Finished) -> dict[str, Any]:
    """Writes the stage and returns its figures."""
    begun, human = supervised.load(reference.folder, reference.mark), comparisons.load(compared.folder)
    begun = begun._replace(model=reward_model.averaged(begun.model))
    config = reward_model.Config(pairs=min(sizes.pairs_per_update, len(human.drawn.label)))
    training = reward_model.make(begun.model, comparisons.for_reward_model(human), config)
    hparams = reward_model.HParams(
        learning_rate=jnp.float32(sizes.reward_learning_rate), max_grad_norm=jnp.float32(1.0)
    )
    start = jax.tree.map(jnp.asarray, begun.params)
    judged = judged_by(begun, corpus, comparisons.rows_of(corpus, sizes.length, reference))
    course = Course(
        begin=lambda: training.init(jax.random.key(sizes.seed), hparams, start),
        step=lambda state: training.step(state, hparams)[0],
        keep=lambda state: state.params,
        look=lambda params, _: judged.accuracy(params, corpus.split.validation),
        updates=training.updates, looks=min(LOOKS, training.updates), patience=0, unit="validation pair accuracy",
    )  # fmt: skip
    found = train(own, course)
    raw = judged.scores(found.best, supervised.load_answers(reference.folder))
    learned = RewardModel(found.best, np.float32(raw.mean()), np.float32(raw.std()))
    trees.write(own.folder / LEARNED, learned)
    held_out = corpus.split.held_out
    figures = {
        "pair_accuracy": judged.accuracy(found.best, held_out),
        "linear_bigram": linear_accuracy(corpus, human, corpus.texts),
        "linear_bigram_cut": linear_accuracy(corpus, human, judged.cut),
        "ceiling": corpus.opinions.ceiling(held_out),
        "calibration": judged.calibration(found.best, corpus.opinions.compared(held_out, sizes.pairs, sizes.seed)),
        "seconds": round(found.seconds, 1),
    }
    (own.folder / CHECKPOINT).unlink(missing_ok=True)
    told = f"{figures['pair_accuracy']:.1%} of held-out pairs as people have them, a linear model {figures['linear_bigram']:.1%}"
    most = "" if figures["ceiling"] is None else f", at most {figures['ceiling']:.1%}"
    print(f"{own.name}: {told}{most}", flush=True)
    return figures


class Judged(NamedTuple):
    """The corpus's texts, cut as answers are, and what a reward model makes of them."""

    corpus: Corpus
    rows: encoding.Rows
    cut: list[str]
    device: Any
    program: Any  # (params, tokens [READ, P + L], mask) -> raw scores

    def scores(self, params, rows: encoding.Rows) -> np.ndarray:
        """Returns the raw scores of rows, float64 [N]."""
        params, number = jax.device_put(params, self.device), len(rows.tokens)
        filled = [np.pad(x, [(0, -number % READ), (0, 0)], mode="edge") for x in (rows.tokens, rows.mask)]
        blocks = (jax.device_put([x[at : at + READ] for x in filled], self.device) for at in range(0, number, READ))
        return np.concatenate([np.asarray(self.program(params, *block), float) for block in blocks])[:number]

    def of(self, params, part: np.ndarray) -> np.ndarray:
        """Returns the raw scores of texts, float64 [N]."""
        return self.scores(params, self.rows.of(part))

    def accuracy(self, params, part: np.ndarray) -> float:
        """Returns the share of the part's pairs that are ordered as people had them."""
        return self.corpus.opinions.accuracy(part, self.of(params, part))

    def calibration(self, params, drawn: pairs.Pairs) -> list[list[float]]:
        """Returns (probability that was said, share that came, pairs) of the pairs by tenths of the probability."""
        decided = drawn.label != 0.5
        first, second, label = drawn.first[decided], drawn.second[decided], drawn.label[decided]
        said = 1.0 / (1.0 + np.exp(self.of(params, second) - self.of(params, first)))
        tenth = np.minimum((said * 10).astype(int), 9)
        there = [tenth == number for number in range(10) if np.any(tenth == number)]
        return [[float(said[own].mean()), float(label[own].mean()), int(own.sum())] for own in there]


def judged_by(reference: Reference, corpus: Corpus, rows: encoding.Rows) -> Judged:
    """Returns how reward models on the reference's transformer judge the corpus's texts, given their rows."""
    device, width = lane(), rows.tokens.shape[1]
    block = np.zeros((READ, width), np.int32), np.zeros((READ, width), np.float32)
    score = functools.partial(reward_model.score, reference.model)
    program = compiled(score, device, jax.eval_shape(reference.model.init, jax.random.key(0)), *block)
    return Judged(corpus, rows, encoding.texts_of(reference.tokeniser, rows.answers), device, program)


def linear_accuracy(corpus: Corpus, human: comparisons.Compared, texts) -> float:
    """Returns the accuracy of a linear model of words and pairs of words, of these forms of the texts, on held-out pairs."""
    model, part = linear.fit_preferences(texts, human.drawn, LINEAR, RIDGE), corpus.split.held_out
    return corpus.opinions.accuracy(part, model.score([texts[index] for index in part]))


@functools.lru_cache(maxsize=4)
def load(folder: Path, mark: str, model: LanguageModel) -> RewardModel:
    """Returns the reward model that a finished stage made on the transformer."""
    params = jax.eval_shape(model.init, jax.random.key(0))
    number = jax.ShapeDtypeStruct((), jnp.float32)
    return jax.tree.map(jnp.asarray, trees.read(folder / LEARNED, RewardModel(params, number, number)))
