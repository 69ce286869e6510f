"""Checkpoints of GPT-2 and of Llama (SmolLM, TinyLlama and their kin) as parameters of `transformer.py`.

Takes what lies in such a checkpoint's two files: `config.json` as a dictionary, and the tensors of `model.safetensors` by
their names, as NumPy arrays. Linear layers are [out, in] there and [in, out] here, but GPT-2's, which are [in, out] there
too. Queries, keys and values are one matrix here, and so are SwiGLU's gate and up. The heads for value and score are new.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from algos.rlhf import transformer

SETTINGS = {  # a field of transformer.Config: what config.json calls it
    "gpt2": {
        "vocabulary": "vocab_size", "width": "n_embd", "layers": "n_layer", "heads": "n_head", "longest": "n_positions",
        "norm_epsilon": "layer_norm_epsilon",
    },
    "llama": {
        "vocabulary": "vocab_size", "width": "hidden_size", "layers": "num_hidden_layers", "heads": "num_attention_heads",
        "hidden": "intermediate_size", "norm_epsilon": "rms_norm_eps",
    },
}  # fmt: skip
EXPECTED = {  # settings that these parts of a transformer have no other form of
    "gpt2": {"activation_function": "gelu_new", "scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False},
    "llama": {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False, "rope_scaling": None},
}
NO_WEIGHTS = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")  # constants that some checkpoints hold


def config(settings: Mapping[str, Any], never: tuple[int, ...] = ()) -> transformer.Config:
    """Returns the transformer that `config.json` describes. Raises ValueError for one of another kind, and
    for a setting that is missing."""
    kind = settings.get("model_type")
    if kind not in SETTINGS:
        raise ValueError(f"model_type {kind!r} is not read here, only {' and '.join(SETTINGS)}")
    for name, value in EXPECTED[kind].items():
        if settings.get(name, value) != value:
            raise ValueError(f"{name}={settings[name]!r} is not read here, only {value!r}")
    missing = [name for name in SETTINGS[kind].values() if name not in settings]
    if missing:
        raise ValueError(f"config.json of model_type {kind!r} lacks {', '.join(missing)}")
    fields = {field: settings[name] for field, name in SETTINGS[kind].items()}
    if kind == "gpt2":
        fields |= dict(hidden=settings.get("n_inner") or 0, mlp="gelu", norm="layer", positions="learned", bias=True)
    else:
        size = fields["width"] // fields["heads"]
        if settings.get("head_dim") not in (None, size):
            raise ValueError(f"head_dim={settings['head_dim']} is not read here, only hidden_size / heads = {size}")
        fields |= {"key_value_heads": settings.get("num_key_value_heads") or 0, "rotary_base": base(settings)}
    tied = settings.get("tie_word_embeddings", kind == "gpt2")
    return transformer.Config(**fields, tied=tied, never=never)


def base(settings: Mapping[str, Any]) -> float:
    """Returns the base of the rotary angles, which newer files keep among `rope_parameters`."""
    newer = settings.get("rope_parameters") or {}
    if newer.get("rope_type", "default") != "default":
        raise ValueError(f"rope_type={newer['rope_type']!r} is not read here, only 'default'")
    return float(newer.get("rope_theta", settings.get("rope_theta", 10_000.0)))


def params(key, settings: Mapping[str, Any], tensors: Mapping[str, np.ndarray]):
    """Returns the parameters, float32. `key` is for the heads that the checkpoint lacks. Raises ValueError for a tensor that
    is missing, left over or of another shape."""
    form = config(settings)
    rest = {name.removeprefix("transformer."): x for name, x in tensors.items() if not name.endswith(NO_WEIGHTS)}
    if form.tied:
        rest.pop("lm_head.weight", None)  # the embedding once more

    def take(name, transpose=False):
        if name not in rest:
            raise ValueError(f"the checkpoint has no tensor {name}")
        x = np.asarray(rest.pop(name), np.float32)
        return x.T if transpose else x

    found = (_gpt2 if settings["model_type"] == "gpt2" else _llama)(form, take)
    if rest:
        raise ValueError(f"the checkpoint has {len(rest)} tensors that its settings say nothing of: {min(rest)}, ...")
    _require_shapes(jax.eval_shape(transformer.make(form).init, key), found)
    small = transformer.make(replace(form, vocabulary=1, layers=1, hidden=1, never=())).init(key)
    return jax.tree.map(jnp.asarray, found | {head: small[head] for head in ("value", "score")})


def _gpt2(form, take):
    def linear(name):
        return {"kernel": take(f"{name}.weight"), "bias": take(f"{name}.bias")}

    def norm(name):
        return {"scale": take(f"{name}.weight"), "bias": take(f"{name}.bias")}

    found = {"embedding": take("wte.weight"), "positions": take("wpe.weight"), "norm": norm("ln_f")}
    for layer in range(form.layers):
        at = f"h.{layer}"
        found[f"attention_norm_{layer}"], found[f"mlp_norm_{layer}"] = norm(f"{at}.ln_1"), norm(f"{at}.ln_2")
        found[f"attention_{layer}"] = {
            "query_key_value": linear(f"{at}.attn.c_attn"), "out": linear(f"{at}.attn.c_proj"),
        }  # fmt: skip
        found[f"mlp_{layer}"] = {"up": linear(f"{at}.mlp.c_fc"), "down": linear(f"{at}.mlp.c_proj")}
    return found if form.tied else found | {"logits": {"kernel": take("lm_head.weight", transpose=True)}}


def _llama(form, take):
    def joined(at, *names):
        return {"kernel": np.concatenate([take(f"{at}.{name}.weight", transpose=True) for name in names], axis=1)}

    found = {"embedding": take("model.embed_tokens.weight"), "norm": {"scale": take("model.norm.weight")}}
    for layer in range(form.layers):
        at = f"model.layers.{layer}"
        found[f"attention_norm_{layer}"] = {"scale": take(f"{at}.input_layernorm.weight")}
        found[f"mlp_norm_{layer}"] = {"scale": take(f"{at}.post_attention_layernorm.weight")}
        found[f"attention_{layer}"] = {
            "query_key_value": joined(f"{at}.self_attn", "q_proj", "k_proj", "v_proj"),
            "out": joined(f"{at}.self_attn", "o_proj"),
        }
        found[f"mlp_{layer}"] = {
            "gate_up": joined(f"{at}.mlp", "gate_proj", "up_proj"), "down": joined(f"{at}.mlp", "down_proj"),
        }  # fmt: skip
    return found if form.tied else found | {"logits": {"kernel": take("lm_head.weight", transpose=True)}}


def _require_shapes(expected, found) -> None:
    for name, part in found.items():
        if isinstance(part, Mapping):
            _require_shapes(expected[name], part)
        elif part.shape != expected[name].shape:
            raise ValueError(f"{name} is {part.shape} in the checkpoint, and its settings say {expected[name].shape}")
