"""Collecting experience: prompts are drawn, answered, scored, and read again in one pass by the policy and by its reference.

    batch.reward_t = score [t is the last token] - beta k(log pi_t - log rho_t)      the second where the penalty is a reward

The old log-probabilities come from that pass and not from the sampler, so that the first minibatch's ratio is 1; what the
sampler's cache makes of them is measured. All are at one temperature.
"""

import jax
import jax.numpy as jnp

from algos.core.losses import mean
from algos.rlhf import kl
from algos.rlhf.averages import weights
from algos.rlhf.sampling import log_probs, sample
from algos.rlhf.types import Sequence, TextBatch
from envs.text import Text, rewarded


def reader(model, length: int, temperature):
    """Returns the network that losses see: (params, Sequence) -> (policy of the answer's tokens, value [B, L])."""

    def apply(params, sequence):
        return log_probs(model, params, sequence.tokens, sequence.mask, length, temperature)

    return apply


def draw_prompts(text: Text, key, num_prompts: int, group: int):
    """Returns prompts [num_prompts * group, P], each `group` times in a row; the first are the same however many."""
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(num_prompts))
    chosen = jax.vmap(lambda key: jax.random.randint(key, (), 0, len(text.prompts)))(keys)
    return jnp.repeat(jnp.asarray(text.prompts, jnp.int32)[chosen], group, axis=0)


def collect(text: Text, model, params, key, prompts, config, hparams):
    """Returns (batch [B, L], metrics) of one answer to each prompt [B, P]. Advantages are not in it yet."""
    answers = sample(
        model, params, key, prompts,
        length=text.length, end=text.end, pad=text.pad, temperature=hparams.temperature,
    )  # fmt: skip
    sequence, mask = Sequence(answers.tokens, answers.mask), answers.answer_mask
    action = answers.tokens[:, -text.length :]
    policy, value = reader(model, text.length, hparams.temperature)(params, sequence)
    reference, _ = reader(text.reference, text.length, hparams.temperature)(text.reference_params, sequence)
    log_prob, reference_log_prob, value = (
        jnp.where(mask > 0, x, 0.0) for x in (policy.log_prob(action), reference.log_prob(action), value)
    )
    ended = jnp.any((action == text.end) & (mask > 0), axis=1)
    score = scores(text, answers, ended, config, hparams)
    last = mask - jnp.pad(mask[:, 1:], ((0, 0), (0, 1)))
    reward = jnp.where(last > 0, score[:, None], 0.0)
    if config.place == "reward":
        reward = kl.in_reward(config.estimator, reward, log_prob - reference_log_prob, hparams.kl_coef, mask)
    batch = TextBatch(
        observation=sequence,
        action=action,
        policy=policy,
        log_prob=log_prob,
        value=value,
        reward=reward,
        next_observation=None,
        next_value=jnp.pad(value[:, 1:], ((0, 0), (0, 1))),
        terminated=last > 0,
        truncated=jnp.zeros_like(mask, bool),
        advantage=jnp.zeros_like(mask),
        value_target=jnp.zeros_like(mask),
        mask=mask,
        reference_log_prob=reference_log_prob,
        weight=weights(mask, "token"),
    )
    gap = jnp.max(jnp.where(mask > 0, jnp.abs(answers.log_prob - log_prob), 0.0))
    return batch, {**metrics(batch, reference, score, ended), "sampler_gap_max": gap}


def scores(text: Text, answers, ended, config, hparams):
    """Returns the rewards of answers, [B]; where an end is asked for and missing, hparams.missing_end_score stands instead."""
    score = rewarded(text, answers.tokens, answers.mask, answers.answer_mask)
    return jnp.where(ended, score, hparams.missing_end_score) if config.needs_end else score


def metrics(batch: TextBatch, reference, score, ended):
    """Returns what an update tells of its answers. Divergences are sums over an answer's tokens, averaged over answers."""
    lengths = jnp.sum(batch.mask, axis=1)
    whole = jnp.where(batch.mask > 0, batch.policy.kl(reference), 0.0)
    return {
        "score": jnp.mean(score),
        "kl": jnp.mean(jnp.sum(batch.log_prob - batch.reference_log_prob, axis=1)),  # of the tokens that were drawn
        "kl_exact": jnp.mean(jnp.sum(whole, axis=1)),  # over all tokens at each prefix: less noise, never negative
        "answer_entropy": mean(batch.policy.entropy(), batch.mask),
        "answer_length": jnp.mean(lengths),
        "end_rate": jnp.mean(ended.astype(jnp.float32)),
        "episode_count": jnp.float32(len(score)),
        "episode_return_sum": jnp.sum(score),
        "episode_length_sum": jnp.sum(lengths),
        "fault_count": jnp.sum(~jnp.isfinite(score), dtype=jnp.float32),
    }
