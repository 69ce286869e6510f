"""A small GGUF file of a Llama-shaped model, and a forward pass in NumPy that reads the file's own tensors, by llama.cpp's own
conventions."""

import numpy as np
from scipy.special import log_softmax

from algos.rlhf import byte_pairs

WIDTH, HIDDEN, HEADS, SHARED, DEPTH, BASE, EPSILON = 32, 64, 4, 2, 2, 500.0, 1e-5
MERGES = ["Ġ t", "h e", "Ġt he"]
PIECES = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *byte_pairs.SPELLING, "Ġt", "he", "Ġthe"]


def write(path, deviation=1.0):
    """Writes the file, quantised in part, and returns its path. Needs gguf. deviation: of what tokens are embedded as, and so
    of logits."""
    import gguf

    rng, writer = np.random.default_rng(0), gguf.GGUFWriter(path, "llama")
    writer.add_block_count(DEPTH)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(SHARED)
    writer.add_layer_norm_rms_eps(EPSILON)
    writer.add_rope_freq_base(BASE)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(PIECES)
    writer.add_token_merges(MERGES)
    writer.add_token_types([3] * 3 + [1] * (len(PIECES) - 3))
    writer.add_eos_token_id(2)
    narrow, size = WIDTH * SHARED // HEADS, 2.0 * WIDTH**-0.5
    shapes = {"attn_q": (WIDTH, WIDTH), "attn_k": (narrow, WIDTH), "attn_v": (narrow, WIDTH),
              "attn_output": (WIDTH, WIDTH), "ffn_gate": (HIDDEN, WIDTH), "ffn_up": (HIDDEN, WIDTH),
              "ffn_down": (WIDTH, HIDDEN)}  # fmt: skip
    writer.add_tensor("token_embd.weight", rng.normal(scale=deviation, size=(len(PIECES), WIDTH)).astype(np.float32))
    writer.add_tensor("output_norm.weight", rng.uniform(0.5, 2.0, WIDTH).astype(np.float32))
    for layer in range(DEPTH):
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", rng.uniform(0.5, 2.0, WIDTH).astype(np.float32))
        for name, shape in shapes.items():
            x = size * rng.normal(size=shape).astype(np.float32)
            kind = gguf.GGMLQuantizationType.Q4_1 if name.startswith("ffn") else gguf.GGMLQuantizationType.F32
            stored = gguf.quants.quantize(x, kind)
            writer.add_tensor(f"blk.{layer}.{name}.weight", stored, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def stored(path):
    """Returns the file's tensors by its own names, in its own order of rows."""
    import gguf

    return {x.name: gguf.quants.dequantize(x.data, x.tensor_type).astype(float) for x in gguf.GGUFReader(path).tensors}


def read_alone(tensors, ids, heads, shared, base, epsilon=EPSILON):
    """Returns (logits [T, V], each layer's normed input [T, width]) of one text: rotary pairs are neighbours, 2i and 2i + 1."""

    def norm(x, name):
        return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + epsilon) * tensors[f"{name}.weight"]

    def turned(x):
        size = x.shape[-1]
        angle = np.arange(len(x))[:, None, None] * base ** (-np.arange(0, size, 2) / size)
        even, odd = x[..., ::2], x[..., 1::2]
        both = even * np.cos(angle) - odd * np.sin(angle), even * np.sin(angle) + odd * np.cos(angle)
        return np.stack(both, axis=-1).reshape(x.shape)

    x, normed = tensors["token_embd.weight"][ids], []
    depth = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blk"))
    for layer in range(depth):
        w = {name.split(".")[2]: tensor for name, tensor in tensors.items() if name.startswith(f"blk.{layer}.")}
        h = norm(x, f"blk.{layer}.attn_norm")
        normed.append(h)
        q, k, v = (
            (h @ w[f"attn_{name}"].T).reshape(len(ids), number, -1)
            for name, number in (("q", heads), ("k", shared), ("v", shared))
        )
        q, k, read = turned(q), turned(k), np.zeros_like(q)
        for head in range(heads):
            own = head // (heads // shared)
            weight = q[:, head] @ k[:, own].T / np.sqrt(q.shape[-1])
            weight = np.exp(log_softmax(np.where(np.tri(len(ids), dtype=bool), weight, -np.inf), axis=1))
            read[:, head] = weight @ v[:, own]
        x = x + read.reshape(len(ids), -1) @ w["attn_output"].T
        h = norm(x, f"blk.{layer}.ffn_norm")
        gate, up = h @ w["ffn_gate"].T, h @ w["ffn_up"].T
        x = x + (gate / (1.0 + np.exp(-gate)) * up) @ w["ffn_down"].T
    return norm(x, "output_norm") @ tensors["token_embd.weight"].T, normed
