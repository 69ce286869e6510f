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
from algos.rlhf.language_model import LanguageModel, Output

MLPS, NORMS, POSITIONS = ("swiglu", "gelu"), ("rms", "layer"), ("rotary", "learned")
FINEST = 256  # steps of a dropout rate: a byte of randomness for each unit


@dataclass(frozen=True)
class Config:
    """What changes a shape or a branch. The default is the small model of the chapter; GPT-2 and Llama are other values."""

    vocabulary: int
    width: int = 128
    layers: int = 3
    heads: int = 4
    key_value_heads: int = 0  # heads that share keys and values; 0: as many as heads
    hidden: int = 0  # units of the MLP; 0: 4 width, or for swiglu, which has three matrices, 8/3 width to a multiple of 8
    mlp: str = "swiglu"
    norm: str = "rms"
    positions: str = "rotary"
    longest: int = 0  # tokens that learned positions reach
    rotary_base: float = 10_000.0
    norm_epsilon: float = 1e-5
    bias: bool = False
    tied: bool = True  # the next token is read with the embedding


@struct.dataclass
class Memory:
    """Keys and values of the tokens so far, R = P + room columns, and where the next token goes."""

    keys: tuple[jax.Array, ...]  # a layer: [B, R, key-value heads, width / heads]
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
        return network.apply({"params": params}, tokens, positions(mask), visible(mask), dropout=dropout)[0]

    def start(params, tokens, mask, room: int):
        seen = network.apply({"params": params}, tokens, positions(mask), visible(mask), last=True)
        output, keys, values = seen
        keys, values, mask = jax.tree.map(lambda x: _with_room(x, room), (keys, values, mask))
        return Memory(keys, values, mask, jnp.int32(tokens.shape[1])), _last(output)

    def step(params, memory: Memory, token):
        position = jnp.sum(memory.mask, axis=1, keepdims=True).astype(jnp.int32)
        mask = lax.dynamic_update_slice_in_dim(memory.mask, jnp.ones_like(memory.mask[:, :1]), memory.column, axis=1)
        sees = (mask > 0.0)[:, None, :]
        output, keys, values = network.apply({"params": params}, token[:, None], position, sees, memory=memory)
        return Memory(keys, values, mask, memory.column + 1), _last(output)

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
    if (config.positions == "learned") != (config.longest > 0):
        raise ValueError("`longest` is for positions='learned', which need it")


def positions(mask: jax.Array) -> jax.Array:
    """Returns each token's place in its own text, int32 [B, T]: cumsum(mask) - 1 where the row has one text."""
    place = jnp.cumsum(mask > 0.0, axis=1, dtype=jnp.int32) - 1
    so_far = lax.cummax(mask, axis=1)
    begins = so_far > jnp.pad(so_far, ((0, 0), (1, 0)))[:, :-1]
    return jnp.maximum(place - lax.cummax(jnp.where(begins, place, 0), axis=1), 0)


def visible(mask: jax.Array) -> jax.Array:
    """Returns whether a token sees another, bool [B, T, T]: real, of the same text, not after it."""
    same = (mask[:, :, None] == mask[:, None, :]) & (mask > 0.0)[:, None, :]
    return same & jnp.tril(jnp.ones((mask.shape[1],) * 2, bool))


def _with_room(x: jax.Array, room: int) -> jax.Array:
    return jnp.pad(x, [(0, 0), (0, room)] + [(0, 0)] * (x.ndim - 2))


def _last(output: Output) -> Output:
    return jax.tree.map(lambda x: x[:, -1], output)


class Transformer(nn.Module):
    """(tokens [B, S], place [B, S], sees [B, S, R]) -> (Output [B, S, ...], keys, values), R = S or the memory's columns."""

    config: Config

    @nn.compact
    def __call__(self, tokens, place, sees, *, memory: Memory | None = None, last: bool = False, dropout=None):
        config = self.config
        embedding = self.param("embedding", nn.initializers.normal(0.02), (config.vocabulary, config.width))
        x = embedding[tokens]
        if config.positions == "learned":
            x = x + self.param("positions", nn.initializers.normal(0.02), (config.longest, config.width))[place]
        x, dropout = _dropped(x, dropout)
        keys, values = [], []
        for layer in range(config.layers):
            past = memory and (memory.keys[layer], memory.values[layer], memory.column)
            attended, (key, value) = Attention(config, name=f"attention_{layer}")(
                _norm(config, f"attention_norm_{layer}")(x), place, sees, past
            )
            attended, dropout = _dropped(attended, dropout)
            x = x + attended
            mixed, dropout = _dropped(Mlp(config, name=f"mlp_{layer}")(_norm(config, f"mlp_norm_{layer}")(x)), dropout)
            x = x + mixed
            keys, values = [*keys, key], [*values, value]
        x = _norm(config, "norm")(x[:, -1:] if last else x)
        return self._heads(x, embedding), tuple(keys), tuple(values)

    def _heads(self, x, embedding) -> Output:
        config = self.config
        if config.tied:
            logits = x @ embedding.T
        else:
            logits = nn.Dense(config.vocabulary, use_bias=False, kernel_init=_scaled(1.0), name="logits")(x)
        value = nn.Dense(1, kernel_init=nn.initializers.zeros, name="value")(x)
        deviation = (config.width + 1) ** -0.5
        score = nn.Dense(1, kernel_init=nn.initializers.normal(deviation), name="score")(x)
        return Output(logits, value[..., 0], score[..., 0])


class Attention(nn.Module):
    """(x [B, S, width], place, sees [B, S, R], past) -> (what is read [B, S, width], (keys, values) [B, R, heads, width of one]).

    One product gives queries, keys and values. `past`: the layer's (keys, values, column), where the new ones are written.
    """

    config: Config

    @nn.compact
    def __call__(self, x, place, sees, past):
        config = self.config
        shared, size = config.key_value_heads or config.heads, config.width // config.heads
        joint = _dense(config, (config.heads + 2 * shared) * size, 1.0, "query_key_value")(x)
        joint = joint.reshape(*x.shape[:2], -1, size)
        query, key, value = jnp.split(joint, (config.heads, config.heads + shared), axis=2)
        if config.positions == "rotary":
            query, key = rotated(query, place, config.rotary_base), rotated(key, place, config.rotary_base)
        if past is not None:
            key, value = (lax.dynamic_update_slice_in_dim(old, new, past[2], 1) for old, new in zip(past, (key, value)))
        read = attention(query, key, value, sees).reshape(*x.shape[:2], config.width)
        return _dense(config, config.width, _residual_gain(config), "out")(read), (key, value)


def attention(query: jax.Array, key: jax.Array, value: jax.Array, sees: jax.Array) -> jax.Array:
    """Returns softmax(q k^T / sqrt(d)) v over what is seen, [B, S, N, d], of q [B, S, N, d], k and v [B, R, K, d].

    Query heads n K / N .. share key n. As batched products over [B, K]: 1.6 times as fast, forth and back, on a CPU as
    `jax.nn.dot_product_attention`, which the tests hold it against. A row that sees nothing reads the mean of all.
    """
    batch, length, heads, size = query.shape
    shared = key.shape[2]
    query = query.reshape(batch, length, shared, heads // shared, size).transpose(0, 2, 3, 1, 4)
    key, value = key.transpose(0, 2, 1, 3)[:, :, None], value.transpose(0, 2, 1, 3)[:, :, None]
    weight = jnp.where(sees[:, None, None], query @ key.swapaxes(-1, -2) * size**-0.5, jnp.finfo(query.dtype).min)
    read = jax.nn.softmax(weight) @ value
    return read.transpose(0, 3, 1, 2, 4).reshape(query.shape[0], length, heads, size)


def rotated(x: jax.Array, place: jax.Array, base: float) -> jax.Array:
    """Returns x [B, S, N, d] with each pair (x_i, x_{i + d/2}) turned by the angle place * base^(-2 i / d)."""
    half = x.shape[-1] // 2
    angle = place[..., None, None] * base ** (-jnp.arange(half) / half)
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    first, second = x[..., :half], x[..., half:]
    return jnp.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1)


class Mlp(nn.Module):
    """(x [..., width]) -> [..., width]: W2 gelu(W1 x), or W2 (silu(Wg x) * W1 x) with Wg and W1 in one product."""

    config: Config

    @nn.compact
    def __call__(self, x):
        config = self.config
        if config.mlp == "swiglu":
            hidden = config.hidden or -(-config.width // 3) * 8
            gate, up = jnp.split(_dense(config, 2 * hidden, 1.0, "gate_up")(x), 2, axis=-1)
            x = nn.silu(gate) * up
        else:
            x = nn.gelu(_dense(config, config.hidden or 4 * config.width, 1.0, "up")(x), approximate=True)
        return _dense(config, config.width, _residual_gain(config), "down")(x)


def _dense(config: Config, size: int, gain: float, name: str) -> nn.Dense:
    return nn.Dense(size, use_bias=config.bias, kernel_init=_scaled(gain), name=name)


def _norm(config: Config, name: str) -> nn.Module:
    kind = nn.RMSNorm if config.norm == "rms" else nn.LayerNorm
    return kind(epsilon=config.norm_epsilon, name=name)


def _scaled(gain: float):
    """Returns the initialiser N(0, gain^2 / inputs)."""
    return nn.initializers.variance_scaling(gain**2, "fan_in", "normal")


def _residual_gain(config: Config) -> float:
    """Returns what keeps the sum of all parts at one size, 1 / sqrt(2 layers) (GPT-2)."""
    return (2 * config.layers) ** -0.5


def _dropped(x: jax.Array, dropout):
    """Returns (x with units dropped, what is left for the next). `dropout`: (key, rate) or None. The rate is rounded to 1/256.

    Four units share a random word: the words are most of what dropout costs.
    """
    if dropout is None:
        return x, None
    key, rate = dropout
    key, key_here = jax.random.split(key)
    words = jax.random.bits(key_here, (*x.shape[:-1], x.shape[-1] // 4), jnp.uint32)
    noise = lax.bitcast_convert_type(words, jnp.uint8).reshape(x.shape)
    dropped = jnp.round(rate * FINEST)
    return jnp.where(noise < dropped.astype(jnp.uint8), 0.0, x * (FINEST / (FINEST - dropped))), (key, rate)
