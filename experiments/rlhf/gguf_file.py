"""A GGUF file of a Llama-shaped model, as `algos/rlhf/pretrained.py` takes a checkpoint: settings and tensors by the names
they have in `model.safetensors`, and the tokeniser. Needs the package gguf.

What llama.cpp stores otherwise: quantised blocks, which become float32, and the rows of queries and keys, where the two
halves of a rotary pair lie side by side (a_0 b_0 a_1 b_1 ...) and not one half after the other (a_0 a_1 ... b_0 b_1 ...).
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from algos.rlhf.byte_pairs import byte_level
from algos.rlhf.tokeniser import Tokeniser
from experiments.lab.commands.cli import BadInput

NAMES = {  # in the file: in a checkpoint
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip
SETTINGS = {  # in config.json: in the file
    "hidden_size": "embedding_length", "num_hidden_layers": "block_count", "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count", "num_key_value_heads": "attention.head_count_kv",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon", "rope_theta": "rope.freq_base",
}  # fmt: skip
DIGITS_APART = {"gpt-2": False, "smollm": True}  # ways of cutting a text into words that are read here
CONTROL, UNUSED = 3, 5  # kinds of pieces that are no text
FIRST = "<|endoftext|>"  # what stands between documents in pretraining, and so before a text


class Checkpoint(NamedTuple):
    """What a file holds."""

    settings: dict[str, Any]  # as in config.json
    tensors: dict[str, np.ndarray]  # float32
    tokeniser: Tokeniser
    never: tuple[int, ...]  # tokens that no text goes on with: all that are no text, but the end


def read(path: Path) -> Checkpoint:
    """Returns the model in the file. Raises BadInput, in one line, for a file that is none or of another kind."""
    if importlib.util.find_spec("gguf") is None:
        raise BadInput("reading a GGUF file needs a package that is not installed: pip install gguf")
    import gguf

    try:
        file = gguf.GGUFReader(path)
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from None

    def said(name: str, *default):
        if name in file.fields:
            return file.fields[name].contents()
        if default:
            return default[0]
        raise BadInput(f"{path} does not say {name}")

    if said("general.architecture") != "llama":
        raise BadInput(f"{path} holds a model of the kind {said('general.architecture')}: only llama is read here")
    settings = {name: said(f"llama.{own}") for name, own in SETTINGS.items()}
    settings |= {"model_type": "llama", "vocab_size": len(said("tokenizer.ggml.tokens"))}
    stored = {x.name: gguf.quants.dequantize(x.data, x.tensor_type) for x in file.tensors}
    settings["tie_word_embeddings"] = "output.weight" not in stored
    special, pieces = special_of(said), tokeniser(said, path)
    never = tuple(number for number in special if number != pieces.end)
    return Checkpoint(settings, tensors(stored, settings), pieces, never)


def tensors(stored: dict[str, np.ndarray], settings: dict[str, Any]) -> dict[str, np.ndarray]:
    """Returns the tensors by the names of a checkpoint, rows of queries and keys in its order."""
    found = {}
    for name, x in stored.items():
        *layer, own, kind = name.split(".")
        if own not in NAMES:
            raise BadInput(f"tensor {name} of the file is not read here")
        if own in ("attn_q", "attn_k"):
            x = halves_apart(x, settings["num_attention_heads" if own == "attn_q" else "num_key_value_heads"])
        prefix = f"model.layers.{layer[1]}." if layer else ""
        found[f"{prefix}{NAMES[own]}.{kind}"] = x
    return found


def halves_apart(x: np.ndarray, heads: int) -> np.ndarray:
    """Returns the rows a_0 b_0 a_1 b_1 ... of each head of [heads * size, inputs] as a_0 a_1 ... b_0 b_1 ..."""
    return x.reshape(heads, -1, 2, x.shape[1]).swapaxes(1, 2).reshape(x.shape)


def tokeniser(said: Callable, path: Path) -> Tokeniser:
    """Returns the file's tokeniser. Its begin is what stands between documents, its pad a token of no text."""
    kind, pieces = said("tokenizer.ggml.pre", "gpt-2"), said("tokenizer.ggml.tokens")
    if said("tokenizer.ggml.model") != "gpt2" or kind not in DIGITS_APART:
        raise BadInput(f"{path} has a tokeniser that is not read here: only {' and '.join(DIGITS_APART)} are")
    end, special = said("tokenizer.ggml.eos_token_id"), special_of(said)
    begin = pieces.index(FIRST) if FIRST in pieces else said("tokenizer.ggml.bos_token_id")
    pad = next((number for number in special if number not in (begin, end)), end)
    return byte_level(
        pieces, said("tokenizer.ggml.merges"), begin=begin, end=end, pad=pad, special=special,
        digits_apart=DIGITS_APART[kind],
    )  # fmt: skip


def special_of(said: Callable) -> list[int]:
    """Returns the tokens that are no text."""
    return [number for number, kind in enumerate(said("tokenizer.ggml.token_type")) if kind in (CONTROL, UNUSED)]
