"""Learning from pairs of answers of which one was preferred, without a reward model and without sampling.

    h = log pi(y_w|x) / rho(y_w|x) - log pi(y_l|x) / rho(y_l|x)

log pi(y|x) is the sum over the answer's tokens: the prompt's are not in it. DPO and IPO are losses of h.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from algos.core.config import require
from algos.core.optimize import adam, annealed, env_steps, gradient_step, permutations
from algos.core.types import Algorithm
from algos.rlhf.experience import draw_prompts, reader
from algos.rlhf.policy_optimisation import algorithm, initialise, require_text
from algos.rlhf.sampling import sample
from algos.rlhf.types import RANGES, Sequence
from envs import Env
from envs.text import Text, rewarded


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch."""

    batch_size: int = 64  # pairs


@struct.dataclass
class HParams:
    """Traced numbers: changing one compiles nothing."""

    learning_rate: float = 1e-5
    anneal: float = 1.0  # the share of the learning rate that is gone at total_steps
    total_steps: float = 1_000_000.0  # tokens of the budget: 2 * batch_size * length an update
    temperature: float = 1.0  # of every log-probability
    beta: float = 0.1
    max_grad_norm: float = 1.0  # 0.0: no clipping

    RANGES: ClassVar = RANGES


@struct.dataclass
class Pairs:
    """N pairs of answers to one prompt each."""

    chosen: Sequence  # [N, P + L]
    chosen_mask: jax.Array  # float32 [N, L], 1.0 on the answer's tokens
    rejected: Sequence
    rejected_mask: jax.Array


@struct.dataclass
class PairBatch:
    """What a loss on pairs may use and is not differentiated. Leading axis [minibatch]."""

    observation: Sequence  # [2 B, P + L]: the chosen texts, then the rejected
    mask: jax.Array  # float32 [2 B, L], 1.0 on the answers' tokens
    action: jax.Array  # int32 [2 B, L]
    reference: jax.Array  # [2 B], log rho(y|x)
    weight: jax.Array  # [B], what each pair counts in the loss


def log_ratios(params, apply, batch: PairBatch):
    """Returns (log pi(y|x) - log rho(y|x), log pi(y|x)) as rows chosen, rejected: each [2, B]."""
    log_prob = answer_log_prob(apply(params, batch.observation)[0], batch.action, batch.mask)
    return (log_prob - batch.reference).reshape(2, -1), log_prob.reshape(2, -1)


def answer_log_prob(policy, action, mask):
    """Returns log pi(y|x), the sum over the answer's tokens, [B]."""
    return jnp.sum(policy.log_prob(action), axis=1, where=mask > 0)


def metrics(log_ratio, log_prob, beta):
    """Returns what both losses tell. Both log-probabilities may fall while their difference grows: that is to be seen."""
    margin = beta * (log_ratio[0] - log_ratio[1])
    return {
        "margin": jnp.mean(margin),
        "accuracy": jnp.mean(margin > 0.0),
        "chosen_log_prob": jnp.mean(log_prob[0]),
        "rejected_log_prob": jnp.mean(log_prob[1]),
    }


def batch_of(text: Text, pairs: Pairs, temperature) -> PairBatch:
    """Returns the pairs as a loss sees them, read by the reference."""
    both = jax.tree.map(lambda *x: jnp.concatenate(x), pairs.chosen, pairs.rejected)
    mask = jnp.concatenate([pairs.chosen_mask, pairs.rejected_mask])
    action = both.tokens[:, -text.length :]
    reference, _ = reader(text.reference, text.length, temperature)(text.reference_params, both)
    number = len(mask) // 2
    weight = jnp.full(number, 1.0 / number)
    return PairBatch(both, mask, action, jax.lax.stop_gradient(answer_log_prob(reference, action, mask)), weight)


def labelled(text: Text, key, num_pairs: int, temperature=1.0) -> Pairs:
    """Returns pairs of the reference's answers, preferred as Bradley and Terry (1952) have it: y_1 with probability
    sigmoid(r(y_1) - r(y_2))."""
    key_prompts, key_sample, key_label = jax.random.split(key, 3)
    answers = sample(
        text.reference, text.reference_params, key_sample, draw_prompts(text, key_prompts, num_pairs, 2),
        length=text.length, end=text.end, pad=text.pad, temperature=temperature,
    )  # fmt: skip
    reward = rewarded(text, answers.tokens, answers.mask, answers.answer_mask).reshape(-1, 2)
    second = jax.random.uniform(key_label, (num_pairs,)) >= jax.nn.sigmoid(reward[:, 0] - reward[:, 1])
    better = 2 * jnp.arange(num_pairs) + second
    worse = 2 * jnp.arange(num_pairs) + ~second
    tokens, mask, answer_mask = answers.tokens, answers.mask, answers.answer_mask
    return Pairs(
        Sequence(tokens[better], mask[better]), answer_mask[better],
        Sequence(tokens[worse], mask[worse]), answer_mask[worse],
    )  # fmt: skip


def optimise(env: Env, config, loss, network, pairs: Pairs | None) -> Algorithm:
    """Returns the algorithm: a step is one gradient step on `batch_size` pairs. Every epoch has its own order and meets each
    pair once, but for those that fill no batch. Budgets count the tokens that a pair may have, as answers' do."""
    model, text = require_text(env, network), env.text
    pairs = text.preferences if pairs is None else pairs
    if pairs is None:
        raise ValueError(f"{env.name} has no preferences to learn from: give pairs, or a Text with `preferences`")
    number = _check(config, text, pairs)
    per_epoch = number // config.batch_size
    steps_per_update = 2 * config.batch_size * text.length

    def init(key, hparams):
        return initialise(text, model, network, adam(0.0, hparams.max_grad_norm), key, hparams)

    def step(state, hparams):
        key_epoch = jax.random.fold_in(state.environment, state.update // per_epoch)
        order = permutations(key_epoch, 1, number)[0]
        place = state.update % per_epoch * config.batch_size
        index = jax.lax.dynamic_slice(order, (place,), (config.batch_size,))
        batch = batch_of(text, jax.tree.map(lambda x: jnp.asarray(x)[index], pairs), hparams.temperature)
        taken = env_steps(state.update, steps_per_update)
        learning_rate = annealed(hparams.learning_rate, hparams.anneal, taken, hparams.total_steps)
        params, opt_state, metrics = gradient_step(
            adam(learning_rate, hparams.max_grad_norm), loss, state.params, state.opt_state,
            reader(model, text.length, hparams.temperature), batch, hparams,
        )  # fmt: skip
        state = state.replace(
            params=params, opt_state=opt_state, update=state.update + 1,
            temperature=jnp.asarray(hparams.temperature, jnp.float32),
        )  # fmt: skip
        return state, {**metrics, **NO_EPISODES}

    return algorithm(text, model, init, step, steps_per_update)


NO_EPISODES = dict.fromkeys(("episode_count", "episode_return_sum", "episode_length_sum", "fault_count"), 0.0)


def _check(config, text: Text, pairs: Pairs) -> int:
    """Returns how many pairs there are. Raises ValueError, one line, for what cannot be."""
    require(config, "batch_size")
    number, width = jnp.shape(pairs.chosen.tokens)
    expected = jnp.shape(text.prompts)[1] + text.length
    if width != expected or jnp.shape(pairs.rejected.tokens) != (number, width):
        raise ValueError(f"pairs are texts of {expected} tokens, prompt and answer, not {width}")
    if jnp.shape(pairs.chosen_mask) != (number, text.length) or jnp.shape(pairs.rejected_mask) != (number, text.length):
        raise ValueError(f"the masks of pairs are of their answers, [{number}, {text.length}]")
    if config.batch_size > number:
        raise ValueError(f"batch_size={config.batch_size} is more than there are pairs, {number}")
    return number
