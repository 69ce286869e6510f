"""The decoder-only transformer (Vaswani et al. 2017, arXiv 1706.03762), with its parts as language models have them now.

    x = x + attention(norm(x)),   x = x + mlp(norm(x)),   attention = softmax(q k^T / sqrt(d_head)) v

over the tokens before and the token itself. Rotary positions (arXiv 2104.09864), RMS norm before each part (1910.07467),
SwiGLU (2002.05202), grouped-query heads (2305.13245); GPT-2's parts where a checkpoint needs them: learned positions, layer
norm, GELU, biases. Heads for the next token, for a value (0 at first) and for a reward model's score (Stiennon et al. 2020:
deviation 1 / sqrt(width + 1)).

`mask` is 1.0 on real tokens and 0.0 on padding. Several texts packed into one row are told apart by numbering them 1, 2,
3, ... in the mask: a token sees its own text alone, and positions start anew.
"""

from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from algos.core.config import require
from algos.rlhf.attention import attention, heads_first, positions, rotated, rotations, visible
from algos.rlhf.language_model import LanguageModel, Output

MLPS, NORMS, POSITIONS = ("swiglu", "gelu"), ("rms", "layer"), ("rotary", "learned")
FINEST = 256  # steps of a dropout rate: a byte of randomness for each unit
IMPOSSIBLE = -1e9  # a logit: a probability of 0, and no infinities to subtract


@dataclass(frozen=True)
class Config:
    """What changes a shape or a branch. The default is the small model of the chapter; GPT-2 and Llama are other values."""

    vocabulary: int
    width: int = 128
    layers: int = 3
    heads: int = 4
    key_value_heads: int = 0  # heads that share keys and values; 0: as many as heads
    hidden: int = (
        0  # units of the MLP; 0: 4 width, or for swiglu, which has three matrices, 8/3 width to a multiple of 8
    )
    mlp: str = "swiglu"
    norm: str = "rms"
    positions: str = "rotary"
    longest: int = 0  # tokens that learned positions reach
    rotary_base: float = 10_000.0
    norm_epsilon: float = 1e-5
    bias: bool = False
    tied: bool = True  # the next token is read with the embedding
    never: tuple[int, ...] = ()  # tokens that no text goes on with, pad and begin say: their probability is 0


@struct.dataclass
class Memory:
    """Keys and values of the tokens so far, R = P + room columns, and where the next token goes."""

    keys: tuple[jax.Array, ...]  # a layer: [B, key-value heads, R, width / heads]
    values: tuple[jax.Array, ...]
    mask: jax.Array  # float32 [B, R]
    column: jax.Array  # int32


def make(config: Config) -> LanguageModel:
    """Returns the transformer. `apply` takes `dropout=(key, rate)` too, for supervised training; without it there is none."""
    _check(config)
    network = Transformer(config)

    def init(key):
        nothing = jnp.zeros((1, 1), jnp.int32)
        return network.init(key, nothing, nothing, jnp.ones((1, 1, 1), bool))["params"]

    def apply(params, tokens, mask, dropout=None):
        _require_reach(config, tokens.shape[1])
        return network.apply({"params": params}, tokens, positions(mask), visible(mask), dropout=dropout)[0]

    def start(params, tokens, mask, room: int):
        _require_reach(config, tokens.shape[1] + room)
        output, keys, values = network.apply({"params": params}, tokens, positions(mask), visible(mask), last=True)
        keys, values = jax.tree.map(lambda x: jnp.pad(x, [(0, 0), (0, 0), (0, room), (0, 0)]), (keys, values))
        mask = jnp.pad(mask, [(0, 0), (0, room)])
        return Memory(keys, values, mask, jnp.int32(tokens.shape[1])), output

    def step(params, memory: Memory, token):
        position = jnp.sum(memory.mask, axis=1, keepdims=True).astype(jnp.int32)
        mask = lax.dynamic_update_slice_in_dim(memory.mask, jnp.ones_like(memory.mask[:, :1]), memory.column, axis=1)
        sees = (mask > 0.0)[:, None, :]
        output, keys, values = network.apply(
            {"params": params}, token[:, None], position, sees, memory=memory, last=True
        )
        return Memory(keys, values, mask, memory.column + 1), output

    return LanguageModel(init, apply, start, step, config.vocabulary)


def _check(config: Config) -> None:
    require(config, "vocabulary", "width", "layers", "heads")
    for name, known in (("mlp", MLPS), ("norm", NORMS), ("positions", POSITIONS)):
        if getattr(config, name) not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(config, name)!r}")
    if config.width % (4 * config.heads):
        raise ValueError(f"width={config.width} must be a multiple of 4 * heads = {4 * config.heads}")
    if config.heads % (config.key_value_heads or config.heads):
        raise ValueError(f"key_value_heads={config.key_value_heads} must divide heads={config.heads}")
    if any(not 0 <= token < config.vocabulary for token in config.never):
        raise ValueError(f"never={config.never} must be tokens, 0 to {config.vocabulary - 1}")
    if (config.positions == "learned") != (config.longest > 0):
        raise ValueError("`longest` is for positions='learned', which need it")


def _require_reach(config: Config, columns: int) -> None:
    """Raises ValueError for rows of more columns than learned positions reach: beyond them, the last would serve for all."""
    if config.positions == "learned" and columns > config.longest:
        raise ValueError(
            f"rows of {columns} tokens are longer than the learned positions reach, longest={config.longest}"
        )


class Transformer(nn.Module):
    """(tokens [B, S], place [B, S], sees [B, S, R]) -> (Output [B, S, ...], keys, values), R = S or the memory's columns.

    Inside, x is [B S, width]: products of matrices are half as fast again on a CPU as those of [B, S, width].
    """

    config: Config

    @nn.compact
    def __call__(self, tokens, place, sees, *, memory: Memory | None = None, last: bool = False, dropout=None):
        config = self.config
        embedding = self.param("embedding", nn.initializers.normal(0.02), (config.vocabulary, config.width))
        x = embedding[tokens.reshape(-1)]
        turns = None
        if config.positions == "learned":
            table = self.param("positions", nn.initializers.normal(0.02), (config.longest, config.width))
            x = x + table[place.reshape(-1)]
        else:
            turns = rotations(place, config.width // config.heads, config.rotary_base)
        x, dropout = _dropped(x, dropout)
        keys, values = [], []
        for layer in range(config.layers):
            past = memory and (memory.keys[layer], memory.values[layer], memory.column)
            normed = _norm(config, f"attention_norm_{layer}")(x)
            attended, key, value = Attention(config, name=f"attention_{layer}")(normed, turns, sees, past)
            attended, dropout = _dropped(attended, dropout)
            x = x + attended
            mixed, dropout = _dropped(Mlp(config, name=f"mlp_{layer}")(_norm(config, f"mlp_norm_{layer}")(x)), dropout)
            x = x + mixed
            keys, values = [*keys, key], [*values, value]
        x = _norm(config, "norm")(x.reshape(*tokens.shape, -1)[:, -1] if last else x)
        return self._heads(x, embedding, tokens.shape[:1] if last else tokens.shape), tuple(keys), tuple(values)

    def _heads(self, x, embedding, shape) -> Output:
        width = self.config.width
        if self.config.tied:
            # Behind a barrier the transposed matrix is one of its own, and the gradient's product the faster of two forms.
            logits = product(x, lax.optimization_barrier(embedding.T))
        else:
            logits = Linear(self.config.vocabulary, name="logits")(x)
        if self.config.never:
            logits = logits.at[:, jnp.array(self.config.never)].set(IMPOSSIBLE)
        value = Linear(1, bias=True, deviation=0.0, name="value")(x)
        score = Linear(1, bias=True, deviation=(width + 1) ** -0.5, name="score")(x)
        return Output(logits.reshape(*shape, -1), value.reshape(shape), score.reshape(shape))


class Attention(nn.Module):
    """(x [B S, width], turns, sees [B, S, R], past) -> (what is read [B S, width], keys, values [B, heads, R, size]).

    One product gives queries, keys and values. `past`: the layer's (keys, values, column), where the new ones are written.
    """

    config: Config

    @nn.compact
    def __call__(self, x, turns, sees, past):
        config = self.config
        shared, size = config.key_value_heads or config.heads, config.width // config.heads
        joint = Linear((config.heads + 2 * shared) * size, config.bias, name="query_key_value")(x)
        joint = joint.reshape(*sees.shape[:2], -1, size)
        turned, value = joint[:, :, : config.heads + shared], joint[:, :, config.heads + shared :]
        if turns is not None:
            turned = rotated(turned, turns)
        query, key, value = turned[:, :, : config.heads], heads_first(turned[:, :, config.heads :]), heads_first(value)
        if past is not None:
            key, value = (lax.dynamic_update_slice_in_dim(old, new, past[2], 2) for old, new in zip(past, (key, value)))
        read = attention(query, key, value, sees).reshape(x.shape)
        return Linear(config.width, config.bias, _residual(config, config.width), name="out")(read), key, value


class Mlp(nn.Module):
    """(x [N, width]) -> [N, width]: W2 gelu(W1 x), or W2 (silu(Wg x) * W1 x) with Wg and W1 in one product."""

    config: Config

    @nn.compact
    def __call__(self, x):
        config, width = self.config, self.config.width
        if config.mlp == "swiglu":
            hidden = config.hidden or -(-width // 3) * 8
            gate, up = jnp.split(Linear(2 * hidden, config.bias, name="gate_up")(x), 2, axis=-1)
            x = nn.silu(gate) * up
        else:
            hidden = config.hidden or 4 * width
            x = nn.gelu(Linear(hidden, config.bias, name="up")(x), approximate=True)
        return Linear(width, config.bias, _residual(config, hidden), name="down")(x)


class Linear(nn.Module):
    """(x [N, inputs]) -> x W + b, [N, size]. W is normal at first, of the given deviation or 1 / sqrt(inputs); b is 0.

    Where the parameters hold an adapter (`adapters.py`), x A B is added.
    """

    size: int
    bias: bool = False
    deviation: float | None = None

    @nn.compact
    def __call__(self, x):
        inputs = x.shape[-1]
        deviation = inputs**-0.5 if self.deviation is None else self.deviation
        y = product(x, self.param("kernel", nn.initializers.normal(deviation), (inputs, self.size)))
        if self.has_variable("params", "narrow"):
            y = y + product(product(x, self.get_variable("params", "narrow")), self.get_variable("params", "wide"))
        return y + self.param("bias", nn.initializers.zeros, (self.size,)) if self.bias else y


def product(x: jax.Array, matrix: jax.Array) -> jax.Array:
    """Returns x W, in the type that W is kept in, its sums in that of x. The barrier, which the gradient passes too, keeps
    XLA from computing what enters a product inside it: a layer's gradient then takes two thirds of the time on a CPU."""
    return lax.optimization_barrier(jnp.matmul(x.astype(matrix.dtype), matrix, preferred_element_type=x.dtype))


def _residual(config: Config, inputs: int) -> float:
    """Returns the deviation that keeps the sum of all parts at one size: 1 / sqrt(2 layers) of the others' (GPT-2)."""
    return (2 * config.layers * inputs) ** -0.5


def _norm(config: Config, name: str) -> nn.Module:
    kind = nn.RMSNorm if config.norm == "rms" else nn.LayerNorm
    return kind(epsilon=config.norm_epsilon, name=name)


def _dropped(x: jax.Array, dropout):
    """Returns (x with units dropped, what is left for the next). `dropout`: (key, rate) or None. The rate is rounded to 1/256,
    and what would be 1 to 255/256.

    Four units share a random word: the words are most of what dropout costs.
    """
    if dropout is None:
        return x, None
    key, rate = dropout
    key, key_here = jax.random.split(key)
    words = jax.random.bits(key_here, (*x.shape[:-1], x.shape[-1] // 4), jnp.uint32)
    noise = lax.bitcast_convert_type(words, jnp.uint8).reshape(x.shape)
    dropped = jnp.minimum(jnp.round(rate * FINEST), FINEST - 1)
    return jnp.where(noise < dropped.astype(jnp.uint8), 0.0, x * (FINEST / (FINEST - dropped))), (key, rate)
