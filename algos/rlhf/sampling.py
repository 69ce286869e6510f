"""Answers drawn from a language model, and the probabilities of answers that were.

    a_t ~ softmax(logits(prompt, a_1 .. a_t-1) / temperature)     until the end token or the budget of L tokens

One scan with the model's memory. The end token is an action like the others: its log-probability counts, and what would
follow it is pad, with mask 0. Whoever trains on answers divides by the same temperature, in `log_probs`.

Row i draws with fold_in(key, i): its randomness depends on no other row and not on how many there are. Its answer is then
as equal as the model's sums are: on a CPU the same bits among two rows or more, whichever its neighbours, as the tests see; a
row quite alone is another form of matrix product, equal to rounding (1e-5), so that its tokens are the same unless two are
within that of a tie.
"""

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from algos.core.distributions import Categorical
from algos.rlhf.language_model import LanguageModel


@struct.dataclass
class Answers:
    """B answers of up to L tokens, each after its prompt of P columns."""

    tokens: jax.Array  # int32 [B, P + L], pad after the end
    mask: jax.Array  # float32 [B, P + L], 1.0 on real tokens
    answer_mask: jax.Array  # float32 [B, L], 1.0 up to the end token, itself included
    log_prob: jax.Array  # float32 [B, L], of the tokens at the temperature; 0 where the mask is 0
    value: jax.Array  # float32 [B, L], V of what stood before the token; 0 where the mask is 0


def sample(model: LanguageModel, params, key, prompts, *, length: int, end: int, pad: int, temperature=1.0) -> Answers:
    """Returns an answer to each prompt [B, P], which are padded on the left.

    At temperature 0 the most probable token is taken each time, and log-probabilities are those of temperature 1.
    """
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(len(prompts)))
    prompt_mask = (prompts != pad).astype(jnp.float32)
    memory, output = model.start(params, prompts, prompt_mask, length - 1)
    first = _draw(output, keys, 0, temperature, jnp.ones(len(prompts), bool), pad)

    def go_on(carry, place):
        memory, (token, real, _, _) = carry
        memory, output = model.step(params, memory, token)
        drawn = _draw(output, keys, place, temperature, real & (token != end), pad)
        return (memory, drawn), drawn

    _, rest = lax.scan(go_on, (memory, first), jnp.arange(1, length))
    columns = jax.tree.map(lambda one, others: jnp.concatenate([one[None], others]).T, first, rest)
    tokens, real, log_prob, value = columns
    mask = jnp.concatenate([prompt_mask, real.astype(jnp.float32)], axis=1)
    return Answers(jnp.concatenate([prompts, tokens], axis=1), mask, real.astype(jnp.float32), log_prob, value)


def _draw(output, keys, place, temperature, real, pad):
    """Returns (token, real, log-probability, value), each [B], of the answers' token at `place`; pad and 0 where not real."""
    noise = jax.vmap(lambda key: jax.random.gumbel(jax.random.fold_in(key, place), output.logits.shape[1:]))(keys)
    policy = tempered(output.logits, jnp.where(temperature > 0.0, temperature, 1.0))
    token = first_greatest(policy.logits + jnp.where(temperature > 0.0, noise, 0.0))
    log_prob, value = (jnp.where(real, x, 0.0) for x in (policy.log_prob(token), output.value))
    return jnp.where(real, token, pad), real, log_prob, value


def first_greatest(x):
    """Returns the index of the greatest along the last axis, the first among equals, int32. `jnp.argmax` is one reduction of
    value and index together, into which XLA draws what makes x: on a CPU the noise then takes four times as long."""
    greatest, last = jnp.max(x, axis=-1, keepdims=True), x.shape[-1] - 1
    return jnp.min(jnp.where(x == greatest, jnp.arange(last + 1), last), axis=-1)


def log_probs(model: LanguageModel, params, tokens, mask, length: int, temperature=1.0):
    """Returns (policy of the answers' tokens, Categorical [B, L, V], and the value before each [B, L]), from one full pass."""
    output = model.apply(params, tokens, mask)
    before = slice(tokens.shape[1] - length - 1, -1)  # what is said at a token is of the next one
    return tempered(output.logits[:, before], temperature), output.value[:, before]


def tempered(logits: jax.Array, temperature) -> Categorical:
    """Returns softmax(logits / temperature)."""
    return Categorical(logits / temperature)
