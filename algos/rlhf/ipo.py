"""Identity preference optimisation (Azar et al. 2023, arXiv 2310.12036, eq. 17).

    L = E (h - 1 / (2 beta))^2,   h = log pi(y_w|x) / rho(y_w|x) - log pi(y_l|x) / rho(y_l|x)

Its optimum is rho exp(p / beta), p(y) the probability that y is preferred to an answer drawn as the pairs' are: where one is
always preferred it does not drift off as DPO does.
"""

from dataclasses import dataclass
from typing import ClassVar

from flax import struct

from algos.core.types import Algorithm
from algos.rlhf import preference
from algos.rlhf.averages import total
from algos.rlhf.types import RANGES
from envs import Env


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


def loss(params, apply, batch: preference.PairBatch, hparams: HParams):
    log_ratio, log_prob = preference.log_ratios(params, apply, batch)
    each = (log_ratio[0] - log_ratio[1] - 0.5 / hparams.beta) ** 2
    return total(each, batch.weight), preference.metrics(log_ratio, log_prob, hparams.beta)


def make(
    env: Env, config: Config = Config(), *, pairs: preference.Pairs | None = None, loss=loss, network=None
) -> Algorithm:
    """Returns IPO on the language task `env` and pairs of answers to its prompts; None: `env.text.preferences`.
    network: a LanguageModel; None: the reference, where the policy then begins."""
    return preference.optimise(env, config, loss, network, pairs)
