"""Best of n: of n answers to a prompt, the one that is rewarded most (Stiennon et al. 2020, arXiv 2009.01325, section 4.3).

Nothing is trained: a step draws answers and tells what the best are worth. What the choice costs in divergence is known
exactly where answers can be listed (`optimum.best_of_n_mass`); elsewhere log n - (n - 1) / n bounds it from above.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from algos.core.config import require
from algos.core.types import Algorithm
from algos.rlhf.experience import draw_prompts
from algos.rlhf.optimum import best_of_n_bound
from algos.rlhf.policy_optimisation import algorithm, initialise, require_text
from algos.rlhf.sampling import sample
from algos.rlhf.types import RANGES, TextState
from envs import Env
from envs.text import Text, rewarded


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch."""

    num_prompts: int = 16
    n: int = 4


@struct.dataclass
class HParams:
    """Traced numbers: changing one compiles nothing."""

    temperature: float = 1.0
    total_steps: float = 1_000_000.0  # as every method has it, tokens of the budget; nothing here depends on it

    RANGES: ClassVar = RANGES


def choose(score, n: int):
    """Returns the index of the best answer of every n in a row, [B] of scores [B * n]; the first among equals."""
    groups = score.reshape(-1, n)
    return jnp.arange(len(groups)) * n + jnp.argmax(groups, axis=1)


def draw(text: Text, model, params, key, prompts, n: int, temperature):
    """Returns (the best answers, their scores [B], all scores [B * n]) of n to each of the prompts [B, P]."""
    answers = sample(
        model, params, key, jnp.repeat(prompts, n, axis=0),
        length=text.length, end=text.end, pad=text.pad, temperature=temperature,
    )  # fmt: skip
    score = rewarded(text, answers.tokens, answers.mask, answers.answer_mask)
    best = choose(score, n)
    return jax.tree.map(lambda x: x[best], answers), score[best], score


def make(env: Env, config: Config = Config(), *, network=None) -> Algorithm:
    """Returns best of n on the language task `env`. It answers with the best; it acts, token by token, as the policy
    that it chooses from. network: a LanguageModel; None: the reference."""
    require(config, "num_prompts", "n")
    model, text = require_text(env, network), env.text
    steps_per_update = config.num_prompts * config.n * text.length

    def init(key, hparams):
        return initialise(text, model, network, None, key, hparams)

    def step(state: TextState, hparams):
        key, key_sample = jax.random.split(state.key)
        key_environment, key_prompts = jax.random.split(state.environment)
        prompts = draw_prompts(text, key_prompts, config.num_prompts, 1)
        best, score, every = draw(text, model, state.params, key_sample, prompts, config.n, hparams.temperature)
        lengths = jnp.sum(best.answer_mask, axis=1)
        metrics = {
            "score": jnp.mean(score),
            "reference_score": jnp.mean(every),
            "kl_bound": jnp.float32(best_of_n_bound(config.n)),
            "answer_length": jnp.mean(lengths),
            "end_rate": jnp.mean(
                jnp.any((best.tokens[:, -text.length :] == text.end) & (best.answer_mask > 0), axis=1)
            ),
            "episode_count": jnp.float32(len(score)),
            "episode_return_sum": jnp.sum(score),
            "episode_length_sum": jnp.sum(lengths),
            "fault_count": jnp.sum(~jnp.isfinite(every), dtype=jnp.float32),
        }
        return state.replace(environment=key_environment, key=key, update=state.update + 1), metrics

    def answer(state, key, prompts):
        return draw(text, model, state.params, key, prompts, config.n, state.temperature)[0]

    acting = algorithm(text, model, init, step, steps_per_update)
    return acting._replace(answer=answer, answer_kl=best_of_n_bound(config.n))
