"""What policies of a run gain in gold reward, and what the optimum of the same divergence gains."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from algos.rlhf import optimum
from algos.rlhf.sampling import log_probs, sample
from envs.text import rewarded
from experiments.lab.recording import policies
from experiments.lab.recording.manifest import read_experiment
from experiments.lab.recording.run_folder import OPTIMISATION
from experiments.rlhf import encoding, task, text_metrics
from experiments.rlhf.stages.training import compiled, lane


class Drawn(NamedTuple):
    """Answers, and what policy and reference make of them."""

    tokens: np.ndarray  # int32 [N, P + L]
    mask: np.ndarray
    log_policy: np.ndarray  # [N], sums over an answer's tokens
    log_reference: np.ndarray
    kl: np.ndarray  # [N], the sum over an answer's tokens of KL(pi || rho) at the text before it
    proxy: np.ndarray  # [N]


def of_run(out: Path, number: int) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Returns (a row for each policy and seed of the run, why others have none). Raises ValueError where there is none."""
    folder = out / OPTIMISATION
    experiment = read_experiment(folder)
    (only,) = experiment.tasks
    env, judging = only.make(), only.judge.settings
    who = task.load_judges(judging["judges"], judging["supervised"])
    draw, read = programs(env)
    base = draw(env.text.reference_params, number, 0)
    texts = encoding.texts_of(who.pieces, base.tokens[:, -env.text.length :])
    gold, distinct, rows, missing = who.gold.score(texts), text_metrics.distinct_2(texts), [], {}
    for contender in only.contenders:
        for seed in experiment.seeds:
            try:
                algorithm, state, _ = policies.trained(folder, only.environment, contender.name, seed)
            except ValueError as error:  # it diverged, or is not finished
                missing[f"{contender.name}, seed {seed}"] = str(error)
                continue
            if algorithm.answer_kl:
                continue  # it chooses among whole answers: what their probability is, nobody knows
            own = draw(state.params, number, 1 + seed)
            texts = encoding.texts_of(who.pieces, own.tokens[:, -env.text.length :])
            of_base = read(state.params, base)
            row = against_the_optimum(own, base, of_base, who.gold.score(texts), gold)
            row["distinct_2_share"] = text_metrics.distinct_2(texts) / distinct
            rows.append({"contender": contender.name, "seed": seed, **row})
    if missing and not rows:
        raise ValueError(next(iter(missing.values())))
    return rows, missing


def against_the_optimum(own: Drawn, base: Drawn, of_base: np.ndarray, own_gold, gold) -> dict[str, float]:
    """Returns what a policy gains by its own answers, and what the optimum of its divergence gains. of_base [N]: the policy's
    log-probabilities of the reference's answers."""
    reward, golds = np.concatenate([base.proxy, own.proxy]), np.concatenate([gold, own_gold])
    log_policy = np.concatenate([of_base, own.log_policy])
    weight = optimum.mixed_weight(np.concatenate([base.log_reference, own.log_reference]), log_policy, len(own.proxy))
    best, beta = optimum.tilted_to(reward, float(own.kl.mean()), weight)
    rho = np.exp(weight) / np.sum(np.exp(weight))  # the reference, as the same answers show it
    return {
        "kl": float(own.kl.mean()),
        "gold_gain": float(own_gold.mean() - rho @ golds),
        "proxy_gain": float(own.proxy.mean() - rho @ reward),
        "optimum_gold_gain": float(best.weight @ golds - rho @ golds),
        "optimum_proxy_gain": float(best.reward - rho @ reward),
        "optimum_kl": best.divergence,
        "beta": beta,
        "effective_samples": best.effective_samples,
    }


def programs(env) -> tuple[Callable[..., Drawn], Callable[..., np.ndarray]]:
    """Returns ((params, number, seed) -> answers drawn, (params, answers) -> their log-probabilities). Raises ValueError where
    there are several prompts."""
    text = env.text
    if len(text.prompts) > 1:
        raise ValueError("reach is for runs without prompts: the optimum is one of each prompt")
    device, many = lane(), encoding.at_once(text.vocabulary, text.length)
    limits = {"length": text.length, "end": text.end, "pad": text.pad}

    def drawn(params, reference_params, key):
        prompts = jnp.repeat(jnp.asarray(text.prompts), many, axis=0)
        found = sample(text.reference, params, key, prompts, **limits)
        policy, reference = (
            log_probs(text.reference, own, found.tokens, found.mask, text.length, 1.0)[0]
            for own in (params, reference_params)
        )
        action, real = found.tokens[:, -text.length :], found.answer_mask > 0
        sums = (
            jnp.sum(x, axis=1, where=real)
            for x in (policy.log_prob(action), reference.log_prob(action), policy.kl(reference))
        )
        return Drawn(found.tokens, found.mask, *sums, rewarded(text, found.tokens, found.mask, found.answer_mask))

    def reading(params, tokens, mask):
        policy, _ = log_probs(text.reference, params, tokens, mask, text.length, 1.0)
        answer = mask[:, -text.length :] > 0
        return jnp.sum(policy.log_prob(tokens[:, -text.length :]), axis=1, where=answer)

    reference = jax.device_put(text.reference_params, device)  # a constant would be compiled in
    draws = compiled(drawn, device, reference, reference, jax.random.key(0))
    row = np.zeros((many, text.prompts.shape[1] + text.length), np.int32)
    reads = compiled(reading, device, text.reference_params, row, row.astype(np.float32))

    def draw(params, number, seed):
        keys = (jax.random.fold_in(jax.random.key(seed), block) for block in range(-(-number // many)))
        params = jax.device_put(params, device)
        blocks = [jax.device_get(draws(params, reference, jax.device_put(key, device))) for key in keys]
        return Drawn(*(np.concatenate(x)[:number] for x in zip(*blocks)))

    def read(params, answers):
        filled = [np.pad(x, [(0, -len(x) % many), (0, 0)], mode="edge") for x in (answers.tokens, answers.mask)]
        blocks = (
            jax.device_put((params, *(x[at : at + many] for x in filled)), device)
            for at in range(0, len(filled[0]), many)
        )
        return np.concatenate([np.asarray(reads(*block), float) for block in blocks])[: len(answers.tokens)]

    return draw, read
