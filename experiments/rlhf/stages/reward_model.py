"""The reward model: Bradley and Terry's, of human comparisons. A text's score is the sum of two, each fitted to the same
comparisons by itself: a count of its n-grams of tokens, and the mean over its tokens of a head on the supervised model's
transformer. How much each counts is fitted on comparisons of validation sentences, neither less than nothing (Wolpert 1992,
"Stacked generalization").

Its accuracy is that of all pairs of held-out sentences, whole, and each cut as an answer is; beside it stand what a linear
model of words and pairs of words makes of the same comparisons and texts, and what whoever knows the other raters' means reaches.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from algos.rlhf import ngrams, reward_model
from algos.rlhf.language_model import LanguageModel
from algos.rlhf.ngrams import Ngrams
from algos.rlhf.reward_model import Comparisons, Mixture, RewardModel
from experiments.lab.recording import trees
from experiments.rlhf import counting, encoding, linear, pairs
from experiments.rlhf.corpus import SPLIT, Corpus
from experiments.rlhf.features import one_and_two_words
from experiments.rlhf.stages import comparisons, supervised
from experiments.rlhf.stages.stage import Finished, Stage, made, read
from experiments.rlhf.stages.supervised import Reference
from experiments.rlhf.stages.training import CHECKPOINT, Course, compiled, lane, train

LEARNED, LOOKS, RIDGE = "reward_model.npz", 4, 0.3
READ = 250  # texts read at a time
SAME = 1e-6  # of the largest score: scores that vary by less are one score, rounded
SETTINGS = (
    *SPLIT, "pairs", "reward_length", "reward_pairs", "pairs_per_update", "reward_learning_rate", "reward_dropout",
    "length",
)  # fmt: skip
LINEAR = ((one_and_two_words, 1.0),)


def stage(folder: Path, corpus: Corpus, sizes, reference: Finished, compared: Finished) -> Finished:
    """Returns the stage, made or found. Raises BadInput where the folder holds another, Interrupted for a signal."""
    settings = {name: getattr(sizes, name) for name in SETTINGS}
    settings |= {"ridges": [counting.RIDGE, RIDGE], "weighing": list(counting.WEIGHING), "ngrams": ngrams.LONGEST}
    inputs = {**corpus.inputs, "supervised": reference.mark, "comparisons": compared.mark}
    own = Stage(folder, settings, inputs)
    return made(own, (LEARNED,), lambda own: make(own, corpus, sizes, reference, compared))


def make(own: Stage, corpus: Corpus, sizes, reference: Finished, compared: Finished) -> dict[str, Any]:
    """Writes the stage and returns its figures."""
    begun, human = supervised.load(reference.folder, reference.mark), comparisons.load(compared.folder)
    whole, cut = (comparisons.rows_of(corpus, length, reference) for length in (sizes.reward_length, sizes.length))
    found = train(own, course_of(begun, human, whole, corpus, sizes)) if sizes.reward_pairs else None
    params = Mixture(found and found.best, counting.fit(whole, human.drawn, begun.tokeniser), np.ones(2, np.float32))
    validation, held_out = corpus.split.validation, corpus.split.held_out
    parts = scores_apart(begun.model, params, whole, np.concatenate([validation, held_out]))
    params = params.replace(share=shares(parts, corpus.opinions.compared(validation, sizes.pairs, sizes.seed)))
    of_answers = scorer(model_of(begun.model), params, cut.tokens.shape[1])
    raw = of_answers(params, answers_of_train(begun, reference, sizes))
    require_different(raw)
    trees.write(own.folder / LEARNED, reward_model.normalised(params, raw))
    scores, accuracy = params.share.astype(float) @ parts, corpus.opinions.accuracy
    figures = {
        "pair_accuracy": accuracy(held_out, scores[held_out]),
        "pair_accuracy_cut": accuracy(held_out, of_answers(params, cut.of(held_out))),
        "transformer": accuracy(held_out, parts[0, held_out]) if found else None,
        "ngrams": accuracy(held_out, parts[1, held_out]),
        "share": params.share.tolist(),
        "linear_bigram": linear_accuracy(corpus, human, corpus.texts),
        "linear_bigram_cut": linear_accuracy(corpus, human, encoding.texts_of(begun.tokeniser, cut.answers)),
        "ceiling": corpus.opinions.ceiling(held_out),
        "calibration": calibration(scores, corpus.opinions.compared(held_out, sizes.pairs, sizes.seed)),
        "seconds": round(found.seconds, 1) if found else 0.0,
    }
    (own.folder / CHECKPOINT).unlink(missing_ok=True)
    told = f"{figures['pair_accuracy']:.1%} of held-out pairs as people have them, a linear model {figures['linear_bigram']:.1%}"
    others = "" if figures["ceiling"] is None else f", the other raters' means {figures['ceiling']:.1%}"
    print(f"{own.name}: {told}{others}", flush=True)
    return figures


def require_different(scores: np.ndarray) -> None:
    """Raises ValueError where all answers of the reference have one score: a reward has nothing to be measured by."""
    if scores.std() <= SAME * np.abs(scores).max():
        raise ValueError(
            "the reward model gives every answer of the reference policy one score: in another folder, train the supervised "
            "stage for longer (--size updates=), or let answers be longer (--size length=)"
        )


def answers_of_train(begun: Reference, reference: Finished, sizes) -> encoding.Rows:
    """Returns answers of the reference to prompts that policies are optimised on: those of the stage where these are also
    what is judged, as the begin token alone is."""
    asked = supervised.load_prompts(reference.folder, reference.mark)
    if np.array_equal(asked.train, asked.judged):
        return supervised.load_answers(reference.folder)
    some = np.linspace(0, len(asked.train) - 1, min(len(asked.train), sizes.reference_answers)).astype(int)
    return supervised.reference_answers(begun, asked.train[some], sizes)


def course_of(begun: Reference, human: comparisons.Compared, rows: encoding.Rows, corpus: Corpus, sizes) -> Course:
    """Returns the training of the transformer's score, which begins as the supervised stage left it."""
    number, part = min(sizes.reward_pairs, len(human.drawn.label)), corpus.split.validation
    model, watched = reward_model.averaged(begun.model), rows.of(part)
    first, second = human.drawn.first[:number], human.drawn.second[:number]
    texts = (x[own] for own in (first, second) for x in (rows.tokens, rows.mask))
    learned = Comparisons(*texts, human.drawn.label[:number])
    drops = sizes.reward_dropout > 0.0
    training = reward_model.make(model, learned, reward_model.Config(min(sizes.pairs_per_update, number), drops))
    hparams = reward_model.HParams(sizes.reward_learning_rate, 1.0, sizes.reward_dropout)
    hparams = jax.tree.map(jnp.float32, hparams)
    scores = scorer(model, begun.params, rows.tokens.shape[1])
    return Course(
        begin=lambda start: training.init(jax.random.key(sizes.seed), hparams, start),
        step=lambda state: training.step(state, hparams)[0],
        keep=lambda state: state.params,
        look=lambda params, _: corpus.opinions.accuracy(part, scores(params, watched)),
        updates=training.updates, looks=min(LOOKS, training.updates), patience=0, unit="validation pair accuracy",
        start=begun.params,
    )  # fmt: skip


def scores_apart(model: LanguageModel, params: Mixture, rows: encoding.Rows, part: np.ndarray) -> np.ndarray:
    """Returns what the transformer (0 where there is none) and the n-grams each say of these rows, [2, N]; 0 of the others."""
    found, width, alone = np.zeros((2, len(rows.tokens))), rows.tokens.shape[1], params.replace(params=None)
    if params.params is not None:
        found[0, part] = scorer(reward_model.averaged(model), params.params, width)(params.params, rows.of(part))
    found[1, part] = scorer(reward_model.mixed(model), alone, width)(alone, rows.of(part))
    return found


def scorer(model: LanguageModel, params, width: int) -> Callable[[Any, encoding.Rows], np.ndarray]:
    """Returns (params, rows [N, width]) -> the raw scores that a model of such parameters has for them, float64 [N]."""
    device = lane()
    block = np.zeros((READ, width), np.int32), np.zeros((READ, width), np.float32)
    program = compiled(functools.partial(reward_model.score, model), device, params, *block)

    def scores(params, rows):
        params, number = jax.device_put(params, device), len(rows.tokens)
        filled = [np.pad(x, [(0, -number % READ), (0, 0)], mode="edge") for x in (rows.tokens, rows.mask)]
        blocks = (jax.device_put([x[at : at + READ] for x in filled], device) for at in range(0, number, READ))
        return np.concatenate([np.asarray(program(params, *block), float) for block in blocks])[:number]

    return scores


def shares(parts: np.ndarray, drawn: pairs.Pairs) -> np.ndarray:
    """Returns the weights, 0 or more, with which the sum of the two scores [2, N] foretells these pairs best, float32 [2]."""
    apart = (parts[:, drawn.first] - parts[:, drawn.second]).T

    def loss_and_gradient(share):
        margin = apart @ share
        nll = np.logaddexp(0.0, margin) - drawn.label * margin
        return nll.mean(), apart.T @ (expit(margin) - drawn.label) / len(margin)

    bounds = [(0.0, None if np.any(part) else 0.0) for part in parts]
    return minimize(loss_and_gradient, np.zeros(2), jac=True, bounds=bounds, method="L-BFGS-B").x.astype(np.float32)


def calibration(scores: np.ndarray, drawn: pairs.Pairs) -> list[list[float]]:
    """Returns (probability that was said, share that came, pairs) of the pairs by tenths of the probability. A tie is half of
    each, as it was when the probabilities were learned: without ties they would all seem too near a half."""
    said, label = expit(scores[drawn.first] - scores[drawn.second]), drawn.label
    tenth = np.minimum((said * 10).astype(int), 9)
    there = [tenth == number for number in range(10) if np.any(tenth == number)]
    return [[float(said[own].mean()), float(label[own].mean()), int(own.sum())] for own in there]


def linear_accuracy(corpus: Corpus, human: comparisons.Compared, texts) -> float:
    """Returns the accuracy of a linear model of words and pairs of words, of these forms of the texts, on held-out pairs."""
    model, part = linear.fit_preferences(texts, human.drawn, LINEAR, RIDGE), corpus.split.held_out
    return corpus.opinions.accuracy(part, model.score([texts[index] for index in part]))


def model_of(model: LanguageModel) -> LanguageModel:
    """Returns the reward model's model on the transformer of a supervised stage."""
    return reward_model.mixed(reward_model.averaged(model))


@functools.lru_cache(maxsize=4)
def load(folder: Path, mark: str, model: LanguageModel) -> RewardModel:
    """Returns the reward model that a finished stage made on the transformer."""
    arrays = trees.arrays_of(folder / LEARNED)
    counted = {name: arrays[f".params.ngrams.{name}"] for name in Ngrams.__dataclass_fields__}
    learns = read(folder)["settings"]["reward_pairs"] > 0
    params = jax.eval_shape(model.init, jax.random.key(0)) if learns else None
    number, share = jax.ShapeDtypeStruct((), jnp.float32), jax.ShapeDtypeStruct((2,), jnp.float32)
    like = RewardModel(Mixture(params, Ngrams(**counted), share), number, number)
    return jax.tree.map(jnp.asarray, trees.read(folder / LEARNED, like))
