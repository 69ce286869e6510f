"""Checkpoints under their real names, read and run, against a forward pass in NumPy that is written from the papers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load, save

from algos.rlhf import pretrained, transformer

LLAMA = {
    "model_type": "llama", "vocab_size": 13, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 24, "rms_norm_eps": 1e-5, "rope_theta": 500.0, "hidden_act": "silu",
    "tie_word_embeddings": False, "attention_bias": False, "rope_scaling": None,
}  # fmt: skip
GPT2 = {
    "model_type": "gpt2", "vocab_size": 13, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 9, "n_inner": None,
    "layer_norm_epsilon": 1e-5, "activation_function": "gelu_new",
}  # fmt: skip
TOKENS = np.array([3, 1, 4, 1, 5, 9, 2])


def drawn(shapes):
    """Returns the tensors after their way through a safetensors file."""
    random = np.random.default_rng(0)
    scaled = {name: random.normal(size=shape) * (0.4 if len(shape) > 1 else 1.0) for name, shape in shapes.items()}
    return load(save({name: x.astype(np.float32) for name, x in scaled.items()}))


def llama_tensors():
    shapes = {"model.embed_tokens.weight": (13, 16), "model.norm.weight": (16,), "lm_head.weight": (13, 16)}
    for i in range(2):
        at = f"model.layers.{i}"
        shapes |= {
            f"{at}.input_layernorm.weight": (16,), f"{at}.post_attention_layernorm.weight": (16,),
            f"{at}.self_attn.q_proj.weight": (16, 16), f"{at}.self_attn.k_proj.weight": (8, 16),
            f"{at}.self_attn.v_proj.weight": (8, 16), f"{at}.self_attn.o_proj.weight": (16, 16),
            f"{at}.mlp.gate_proj.weight": (24, 16), f"{at}.mlp.up_proj.weight": (24, 16),
            f"{at}.mlp.down_proj.weight": (16, 24),
        }  # fmt: skip
    return drawn(shapes)


def gpt2_tensors(prefix=""):
    shapes = {"wte.weight": (13, 16), "wpe.weight": (9, 16), "ln_f.weight": (16,), "ln_f.bias": (16,)}
    for i in range(2):
        for norm in ("ln_1", "ln_2"):
            shapes |= {f"h.{i}.{norm}.weight": (16,), f"h.{i}.{norm}.bias": (16,)}
        for name, into, out in (
            ("attn.c_attn", 16, 48),
            ("attn.c_proj", 16, 16),
            ("mlp.c_fc", 16, 64),
            ("mlp.c_proj", 64, 16),
        ):
            shapes |= {f"h.{i}.{name}.weight": (into, out), f"h.{i}.{name}.bias": (out,)}
        shapes[f"h.{i}.attn.bias"] = (1, 1, 9, 9)
    return {prefix + name: x for name, x in drawn(shapes).items()}


def softmax(x):
    weight = np.exp(x - x.max())
    return weight / weight.sum()


def attended(query, key, value):
    """Returns what every token reads of those up to it, [T, d], by a loop; one head."""
    rows = [softmax(key[: t + 1] @ query[t] / np.sqrt(len(query[t]))) @ value[: t + 1] for t in range(len(query))]
    return np.array(rows)


def llama(w, tokens):
    """Returns logits [T, V] of Llama, one head and one token at a time."""

    def norm(x, weight):
        return np.array([row / np.sqrt(np.mean(row**2) + 1e-5) * weight for row in x])

    def turn(x):  # Llama's pairs are (i, i + d / 2)
        turned = np.zeros_like(x)
        for t, row in enumerate(x):
            for i in range(2):
                angle = t * 500.0 ** (-i / 2)
                turned[t, i] = row[i] * np.cos(angle) - row[i + 2] * np.sin(angle)
                turned[t, i + 2] = row[i + 2] * np.cos(angle) + row[i] * np.sin(angle)
        return turned

    x = w["model.embed_tokens.weight"][tokens].astype(np.float64)
    for i in range(2):
        at = f"model.layers.{i}"
        y = norm(x, w[f"{at}.input_layernorm.weight"])
        q, k, v = (y @ w[f"{at}.self_attn.{name}_proj.weight"].T for name in "qkv")
        heads = []
        for head in range(4):
            mine, shared = slice(4 * head, 4 * head + 4), slice(4 * (head // 2), 4 * (head // 2) + 4)
            heads.append(attended(turn(q[:, mine]), turn(k[:, shared]), v[:, shared]))
        x = x + np.concatenate(heads, axis=1) @ w[f"{at}.self_attn.o_proj.weight"].T
        y = norm(x, w[f"{at}.post_attention_layernorm.weight"])
        gate, up = y @ w[f"{at}.mlp.gate_proj.weight"].T, y @ w[f"{at}.mlp.up_proj.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ w[f"{at}.mlp.down_proj.weight"].T
    return norm(x, w["model.norm.weight"]) @ w["lm_head.weight"].T


def gpt2(w, tokens):
    """Returns logits [T, V] of GPT-2, one head at a time."""

    def norm(x, name):
        centred = x - x.mean(axis=1, keepdims=True)
        return centred / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(x, name):
        return x @ w[f"{name}.weight"] + w[f"{name}.bias"]

    x = w["wte.weight"][tokens].astype(np.float64) + w["wpe.weight"][: len(tokens)]
    for i in range(2):
        joint = linear(norm(x, f"h.{i}.ln_1"), f"h.{i}.attn.c_attn")
        heads = [attended(*(joint[:, 16 * part + 4 * head :][:, :4] for part in range(3))) for head in range(4)]
        x = x + linear(np.concatenate(heads, axis=1), f"h.{i}.attn.c_proj")
        y = linear(norm(x, f"h.{i}.ln_2"), f"h.{i}.mlp.c_fc")
        y = 0.5 * y * (1 + np.tanh(np.sqrt(2 / np.pi) * (y + 0.044715 * y**3)))
        x = x + linear(y, f"h.{i}.mlp.c_proj")
    return norm(x, "ln_f") @ w["wte.weight"].T


def logits(settings, tensors):
    params = pretrained.params(jax.random.key(0), settings, tensors)
    model = transformer.make(pretrained.config(settings))
    return jax.jit(model.apply)(params, jnp.asarray(TOKENS)[None], jnp.ones((1, len(TOKENS)))).logits[0]


def test_a_llama_checkpoint_gives_the_logits_of_its_architecture():
    tensors = llama_tensors()
    np.testing.assert_allclose(logits(LLAMA, tensors), llama(tensors, TOKENS), atol=2e-5)


def test_a_tied_llama_checkpoint_reads_with_its_embedding():
    tensors = llama_tensors()
    tied = {name: x for name, x in tensors.items() if name != "lm_head.weight"}
    expected = llama(tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"]}, TOKENS)
    np.testing.assert_allclose(logits(LLAMA | {"tie_word_embeddings": True}, tied), expected, atol=2e-5)


@pytest.mark.parametrize("prefix", ["", "transformer."])
def test_a_gpt2_checkpoint_gives_the_logits_of_its_architecture(prefix):
    np.testing.assert_allclose(logits(GPT2, gpt2_tensors(prefix)), gpt2(gpt2_tensors(), TOKENS), atol=2e-5)


def test_the_new_heads_are_0_and_random():
    params = pretrained.params(jax.random.key(0), LLAMA, llama_tensors())
    drawn = transformer.make(pretrained.config(LLAMA)).init(jax.random.key(0))
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, drawn)
    for head in ("value", "score"):
        np.testing.assert_array_equal(params[head]["kernel"], drawn[head]["kernel"])


@pytest.mark.parametrize(
    "settings, change, message",
    [
        ({"model_type": "mamba"}, {}, "model_type 'mamba'"),
        ({"rope_scaling": {"factor": 8.0}}, {}, "rope_scaling"),
        ({"rope_parameters": {"rope_type": "llama3"}}, {}, "rope_type='llama3'"),
        ({"attention_bias": True}, {}, "attention_bias=True"),
        ({"head_dim": 8}, {}, "head_dim=8"),
        ({"num_hidden_layers": 3}, {}, "no tensor model.layers.2.input_layernorm.weight"),
        ({"num_hidden_layers": 1}, {}, "9 tensors"),
        ({}, {"model.norm.weight": np.ones(8, np.float32)}, "scale is .8,. in the checkpoint"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_in_one_line(settings, change, message):
    with pytest.raises(ValueError, match=message) as error:
        pretrained.params(jax.random.key(0), LLAMA | settings, llama_tensors() | change)
    assert "\n" not in str(error.value)


def test_a_setting_that_is_missing_is_named():
    with pytest.raises(ValueError, match="^config.json of model_type 'llama' lacks hidden_size, rms_norm_eps$"):
        pretrained.config({name: x for name, x in LLAMA.items() if name not in ("hidden_size", "rms_norm_eps")})


def test_the_base_of_the_angles_is_read_where_newer_files_keep_it():
    newer = {name: x for name, x in LLAMA.items() if name != "rope_theta"} | {"rope_parameters": {"rope_theta": 500.0}}
    assert pretrained.config(newer) == pretrained.config(LLAMA)
