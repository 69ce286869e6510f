"""The reference policy: a transformer that imitates texts, by maximum likelihood, until validation texts gain no more. It
begins from nothing, or as a pretrained model.

It reads the texts of the parts `train` and `gold`, and never what people said of them but for which answer they chose. Beside it stands what a Kneser-Ney model of the same
texts makes of the held-out ones.
"""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from algos.rlhf import byte_pairs, pretrained, sampling, supervised, tokeniser, transformer
from algos.rlhf.language_model import LanguageModel
from algos.rlhf.tokeniser import Tokeniser
from experiments.lab.machine import devices
from experiments.lab.recording import trees
from experiments.lab.recording.files import sha256, write_json, write_whole
from experiments.rlhf import encoding, gguf_file, kneser_ney, smollm2, text_metrics
from experiments.rlhf.corpus import SPLIT, Corpus
from experiments.rlhf.settings import SHAPE
from experiments.rlhf.stages.stage import Finished, Stage, made, read
from experiments.rlhf.stages.training import CHECKPOINT, Course, Parted, compiled, lane, train

PIECES, PARAMS, PROMPTS, ANSWERS = "tokeniser.model", "params.npz", "prompts.npz", "answers.npz"
FORM = "pretrained.json"  # what the model is made of again, where it began as a pretrained one
SETTINGS = (
    *SPLIT, *SHAPE, "prompt", "length", "row", "rows", "updates",
    "looks", "learning_rate", "warm_up", "reference_answers",
)  # fmt: skip
PATIENCE = 2  # looks
PARTS = 2  # of an update's rows, where these are even: a laptop's two cores
READ = 4_096  # tokens read at a time
JUDGED = 32  # prompts that answers are judged to, at most


class Reference(NamedTuple):
    """The reference policy, or what it begins as."""

    model: LanguageModel
    params: Any
    tokeniser: Tokeniser


class Prompts(NamedTuple):
    """Prompts as rows int32 [N, P]."""

    train: np.ndarray  # what policies are optimised on
    judged: np.ndarray  # held out: what they are judged on


def stage(folder: Path, corpus: Corpus, sizes, policy: str | None = None) -> Finished:
    """Returns the stage, made or found. policy: the pretrained model that it begins as. Raises BadInput where the folder holds
    another, Interrupted for a signal."""
    settings = {name: getattr(sizes, name) for name in SETTINGS} | {"parts": PARTS}  # bits depend on these
    inputs, outputs = corpus.inputs, (PIECES, PARAMS, PROMPTS, ANSWERS)
    if policy:
        settings = {name: value for name, value in settings.items() if name not in SHAPE} | {"policy": policy}
        inputs, outputs = {**inputs, "policy": sha256(smollm2.file())}, (*outputs, FORM)
    return made(Stage(folder, settings, inputs), outputs, lambda own: make(own, corpus, sizes))


def make(own: Stage, corpus: Corpus, sizes) -> dict[str, Any]:
    """Writes the stage and returns its figures."""
    learned = corpus.learned_from
    start = pretrained_start(own) if "policy" in own.settings else start_from_nothing(own, learned, sizes.vocabulary)
    model, pieces = start.model, start.tokeniser
    asked = prompts_of(pieces, corpus, sizes.prompt)
    trees.write(own.folder / PROMPTS, asked._asdict())
    room = asked.train.shape[1] - 1
    tokens, mask = supervised.pack(encoding.whole(pieces, learned, room), sizes.row, pieces.pad)
    rows = min(sizes.rows, len(tokens))
    config = supervised.Config(rows, PARTS if rows % PARTS == 0 else 1)
    training = supervised.make(model, tokens, mask, config)
    hparams = supervised.HParams(sizes.learning_rate, float(sizes.warm_up), float(sizes.updates))
    hparams = jax.tree.map(jnp.float32, hparams)
    validation, held_out = corpus.to_imitate(corpus.split.validation), corpus.to_imitate(corpus.split.held_out)
    longest = max(map(len, encoding.whole(pieces, validation + held_out, room)))
    bits = reader_of(model, pieces, max(sizes.row, longest), room)
    course = Course(
        begin=lambda *start: training.init(jax.random.key(sizes.seed), hparams, *start),
        step=in_parts(training, hparams, config.parts) if devices.on_cpu() else lambda state: training.step(state, hparams)[0],
        keep=lambda state: state.average,
        look=lambda params, _: bits(params, validation),
        updates=sizes.updates, looks=min(sizes.looks, sizes.updates), patience=PATIENCE, unit="validation bits a character",
        start=start.params,
    )  # fmt: skip
    found = train(own, course)
    trees.write(own.folder / PARAMS, found.best)
    answers = reference_answers(Reference(model, found.best, pieces), asked.judged, sizes)
    trees.write(own.folder / ANSWERS, answers._asdict())
    figures = {
        "bits_per_character": bits(found.best, held_out),
        "kneser_ney": kneser_ney_bits(*(encoding.cut(pieces, texts, room) for texts in (learned, held_out))),
        "updates": int(found.looks[-1, 0]),
        "looks": found.looks.tolist(),
        "tokens_per_second": round(training.tokens_per_update * float(found.looks[-1, 0]) / found.seconds, 1),
        "seconds": round(found.seconds, 1),
    }
    (own.folder / CHECKPOINT).unlink(missing_ok=True)
    told = f"{figures['bits_per_character']:.3f} bits a character of held-out texts"
    print(f"{own.name}: {told}; Kneser-Ney of the same texts {figures['kneser_ney']:.3f}", flush=True)
    return figures


def in_parts(training: supervised.Training, hparams: supervised.HParams, parts: int) -> Parted:
    """Returns the training's update, in parts."""
    return Parted(
        parts,
        reads=lambda state: state.replace(average=None, opt_state=None),
        part=lambda state, number: training.part(state, hparams, number),
        join=lambda state, found: training.join(state, hparams, found)[0],
    )


def start_from_nothing(own: Stage, learned: list[tuple[str, str]], vocabulary: int) -> Reference:
    """Returns a transformer whose parameters are still to be drawn, None, with a tokeniser learned from the texts."""
    path = own.folder / PIECES
    alone = [text for both in learned for text in both if text]
    pieces = tokeniser.learned(path.read_bytes()) if path.exists() else tokeniser.learn(alone, vocabulary)
    write_whole(path, pieces.model)
    return Reference(model_from_nothing(own.settings), None, pieces)


def pretrained_start(own: Stage) -> Reference:
    """Returns the pretrained model with its own tokeniser."""
    found = gguf_file.read(smollm2.file())
    write_whole(own.folder / PIECES, found.tokeniser.model)
    write_json(own.folder / FORM, {"settings": found.settings, "never": found.never})
    params = pretrained.params(jax.random.key(0), found.settings, found.tensors)
    return Reference(model_of(own.folder, own.settings), params, found.tokeniser)


def model_of(folder: Path, settings: dict[str, Any]) -> LanguageModel:
    """Returns the transformer of a stage of these settings. What no text goes on with has no probability."""
    if "policy" not in settings:
        return model_from_nothing(settings)
    found = json.loads((folder / FORM).read_bytes())
    return transformer.make(pretrained.config(found["settings"], tuple(found["never"])))


def model_from_nothing(settings: dict[str, Any]) -> LanguageModel:
    """Returns the transformer of these settings where it is no pretrained one."""
    shape = {name: settings[name] for name in SHAPE}
    never = (tokeniser.PAD, tokeniser.BEGIN, tokeniser.UNKNOWN)
    return transformer.make(transformer.Config(**shape, never=never))


def prompts_of(pieces: Tokeniser, corpus: Corpus, most: int) -> Prompts:
    """Returns the different prompts of the train part and, as far as they are judged, of what is held out, cut to so many
    tokens; the begin token alone where texts have none. Raises ValueError where all of the second become some of the first."""
    train, held_out = (
        sorted({corpus.prompts[index] for index in part}) for part in (corpus.split.train, corpus.split.held_out)
    )
    room = min(most, max(len(pieces.encode(text)) if text else 0 for text in train + held_out))
    optimised = np.unique(encoding.prompts(pieces, train, room), axis=0)
    known, whole = set(map(tuple, optimised)), set(train)  # where prompts are few, parts share them as they are
    left = [
        text for text, row in zip(held_out, encoding.prompts(pieces, held_out, room))
        if text in whole or tuple(row) not in known
    ]  # fmt: skip
    if len(left) < len(held_out):
        told = f"{len(held_out) - len(left)} of {len(held_out)} held-out prompts are those of train in their last {room} tokens"
        if not left:
            raise ValueError(f"{told}: take --size prompt={2 * max(room, 1)} or more")
        print(f"{told} and are left out: take --size prompt={2 * max(room, 1)} or more", flush=True)
    if len(left) > JUDGED:
        left = [left[place] for place in np.linspace(0, len(left) - 1, JUDGED).astype(int)]
    return Prompts(optimised, np.unique(encoding.prompts(pieces, left, room), axis=0))


def reader_of(
    model: LanguageModel, pieces: Tokeniser, row: int, room: int
) -> Callable[[Any, list[tuple[str, str]]], float]:
    """Returns (params, texts) -> bits a character of (prompt, text) as they are read, ends included: of a prompt its last
    `room` tokens. One longer than the row is too long."""
    device, read = lane(), max(1, READ // row)

    def total(params, tokens, mask):
        loss, counts = supervised.nll(model.apply(params, tokens, mask).logits, tokens, mask)
        return jnp.sum(loss * counts)

    block = np.zeros((read, row), np.int32), np.zeros((read, row), np.float32)
    program = compiled(total, device, jax.eval_shape(model.init, jax.random.key(0)), *block)

    def bits(params, texts):
        params = jax.device_put(params, device)
        packed = supervised.pack(encoding.whole(pieces, texts, room), row, pieces.pad)
        tokens, mask = (np.pad(x, [(0, -len(x) % read), (0, 0)]) for x in packed)
        blocks = (slice(at, at + read) for at in range(0, len(tokens), read))
        nats = [float(program(params, *jax.device_put((tokens[own], mask[own]), device))) for own in blocks]
        read_of = encoding.cut(pieces, texts, room)
        return supervised.bits_per_character(sum(nats), sum(len(encoding.joined(*both)) for both in read_of))

    return bits


def kneser_ney_bits(learned: list[tuple[str, str]], held_out: list[tuple[str, str]]) -> float:
    """Returns what a Kneser-Ney model of the texts makes of the held-out ones."""
    known, unseen = ([encoding.joined(*both) for both in texts] for texts in (learned, held_out))
    return text_metrics.bits_per_character(kneser_ney.fit(known), unseen)


def reference_answers(reference: Reference, asked: np.ndarray, sizes) -> encoding.Rows:
    """Returns answers of the reference policy to prompts [J, P], as rows: one to each, then the next to each, and so on."""
    device, pieces = lane(), reference.tokeniser
    block = min(encoding.at_once(reference.model.vocabulary, sizes.length), sizes.reference_answers)

    def draw(params, number):
        key = jax.random.fold_in(jax.random.key(sizes.seed), number)
        prompts = jnp.asarray(asked)[(number * block + jnp.arange(block)) % len(asked)]
        found = sampling.sample(
            reference.model, params, key, prompts, length=sizes.length, end=pieces.end, pad=pieces.pad
        )
        return encoding.Rows(found.tokens, found.mask, found.answer_mask)

    params = jax.device_put(reference.params, device)
    program = compiled(draw, device, params, jnp.int32(0))
    numbers = range(-(-sizes.reference_answers // block))
    drawn = [jax.device_get(program(params, jax.device_put(np.int32(number), device))) for number in numbers]
    return encoding.Rows(*(np.concatenate(x)[: sizes.reference_answers] for x in zip(*drawn)))


@functools.lru_cache(maxsize=4)
def load(folder: Path, mark: str) -> Reference:
    """Returns the reference policy that a finished stage made. The mark keeps one stage's from another's in memory."""
    settings = read(folder)["settings"]
    model = model_of(folder, settings)
    params = trees.read(folder / PARAMS, jax.eval_shape(model.init, jax.random.key(0)))
    pieces = (byte_pairs if "policy" in settings else tokeniser).learned((folder / PIECES).read_bytes())
    return Reference(model, jax.tree.map(jnp.asarray, params), pieces)


def load_answers(folder: Path) -> encoding.Rows:
    """Returns the reference's answers that the stage drew."""
    found = trees.arrays_of(folder / ANSWERS)
    return encoding.Rows(*(found[f"['{name}']"] for name in encoding.Rows._fields))


@functools.lru_cache(maxsize=4)
def load_prompts(folder: Path, mark: str) -> Prompts:
    """Returns the prompts of a finished stage."""
    found = trees.arrays_of(folder / PROMPTS)
    return Prompts(*(found[f"['{name}']"] for name in Prompts._fields))
