"""Group relative policy optimisation (Shao et al. 2024, arXiv 2402.03300, eq. 3 and 4).

    L = mean_i (1 / |y_i|) sum_t [min(r_t A_i, clip(r_t, 1 - eps, 1 + eps) A_i) - beta k3_t],   A_i = (R_i - mean R) / sd R

over the G answers i to each prompt, r_t = pi / pi_old at a token, k3 = rho / pi - 1 - log(rho / pi) there. With k3 in the
loss it does not lead to rho exp(r / beta) but, at each prefix, to beta rho / (lambda - Q): `optimum.by_prefix` computes it, of the average "sum". The paper's mean over
an answer's tokens ends elsewhere, and is warned of.
The mean has the answer itself in it and the deviation divides, so that beta is in effect G / (G - 1) sd R times what it says.
With beta = 0 and one step a batch the loss is 0, its gradient is not. `average` "token" and "sum" are the averages of DAPO
(arXiv 2503.14476) and, up to a constant, Dr. GRPO (arXiv 2503.20783), whose advantage is `advantages.group_centred`.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
from flax import struct

from algos.core import losses
from algos.core.losses import mean
from algos.core.types import Algorithm, Loss
from algos.rlhf.advantages import group_normalised, require_group, targets_by
from algos.rlhf.averages import total
from algos.rlhf.policy_optimisation import optimise
from algos.rlhf.types import RANGES
from envs import Env


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch."""

    num_prompts: int = 8
    group: int = 8  # answers to each prompt, G
    num_epochs: int = 1
    num_minibatches: int = 1
    average: str = "answer"  # how the loss averages: answer, token, sum (`algos.rlhf.averages`)
    estimator: str = "k3"  # of the divergence from the reference: k1, k2, k3
    place: str = "loss"  # where it stands: reward, loss (each token's), answer_loss (each answer's)
    adaptive: bool = False  # its coefficient moves until the divergence is kl_target
    needs_end: bool = False  # an answer that does not end within its budget has the score missing_end_score


@struct.dataclass
class HParams:
    """Traced numbers: changing one compiles nothing."""

    learning_rate: float = 1e-5
    anneal: float = 1.0  # the share of the learning rate that is gone at total_steps
    total_steps: float = 1_000_000.0  # tokens of the budget: num_prompts * group * length an update
    temperature: float = 1.0  # of sampling, and of every log-probability
    kl_coef: float = 0.04  # beta; where it adapts, at the beginning
    kl_target: float = 6.0  # nats an answer, where it adapts
    kl_horizon: float = 10_000.0  # answers, likewise
    missing_end_score: float = -1.0  # where an end is needed
    clip: float = 0.2  # of a token's ratio
    max_grad_norm: float = 1.0  # 0.0: no clipping

    RANGES: ClassVar = RANGES


def loss(params, apply, batch, hparams: HParams):
    """Returns the clipped surrogate of every token, weighted, a scalar, and metrics; batch [B, L]."""
    policy, _ = apply(params, batch.observation)
    log_ratio = policy.log_prob(batch.action) - batch.log_prob
    ratio = jnp.exp(log_ratio)
    surrogate = losses.clipped_surrogate(ratio, batch.advantage, hparams.clip)
    metrics = {"kl": ratio - 1.0 - log_ratio, "clip_fraction": jnp.abs(ratio - 1.0) > hparams.clip}
    return total(surrogate, batch.weight), {name: mean(x, batch.mask) for name, x in metrics.items()}


def make(
    env: Env, config: Config = Config(), *, loss: Loss = loss, advantage=group_normalised, network=None
) -> Algorithm:
    """Returns GRPO on the language task `env`. advantage: one of `algos.rlhf.advantages`, or of the same form. network: a
    LanguageModel; None: the reference, where the policy then begins."""
    require_group(config.group, "grpo")

    return optimise(env, config, loss, network, targets_by(advantage, config.group), config.average, own=("k3", "loss"))
