"""REINFORCE leave-one-out (Kool et al. 2019; Ahmadian et al. 2024, arXiv 2402.14740, eq. 6): an answer is one action.

    gradient of  (1 / k) sum_i log pi(y_i|x) (R_i - mean_{j != i} R_j),   R = score - beta (log pi(y|x) - log rho(y|x))

log pi(y|x) is the sum over the answer's tokens; the divergence is in R before the others' mean is taken from it, and carries
no gradient. Where a batch serves several steps, log pi gives way to the ratio to the policy that answered, clipped as PPO's.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
from flax import struct

from algos.core import losses
from algos.core.types import Algorithm, Loss
from algos.rlhf.advantages import leave_one_out, require_group, targets_by
from algos.rlhf.averages import total
from algos.rlhf.policy_optimisation import optimise
from algos.rlhf.types import RANGES
from envs import Env


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch."""

    num_prompts: int = 16
    group: int = 4  # answers to each prompt, k
    num_epochs: int = 1
    num_minibatches: int = 1
    estimator: str = "k1"  # of the divergence from the reference: k1, k2, k3
    place: str = "reward"  # where it stands: reward, loss (each token's), answer_loss (each answer's)
    adaptive: bool = False  # its coefficient moves until the divergence is kl_target
    needs_end: bool = False  # an answer that does not end within its budget has the score missing_end_score


@struct.dataclass
class HParams:
    """Traced numbers: changing one compiles nothing."""

    learning_rate: float = 1e-5
    anneal: float = 1.0  # the share of the learning rate that is gone at total_steps
    total_steps: float = 1_000_000.0  # tokens of the budget: num_prompts * group * length an update
    temperature: float = 1.0  # of sampling, and of every log-probability
    kl_coef: float = 0.05  # beta; where it adapts, at the beginning
    kl_target: float = 6.0  # nats an answer, where it adapts
    kl_horizon: float = 10_000.0  # answers, likewise
    missing_end_score: float = -1.0  # where an end is needed
    clip: float = 0.2  # of an answer's ratio
    max_grad_norm: float = 1.0  # 0.0: no clipping

    RANGES: ClassVar = RANGES


def loss(params, apply, batch, hparams: HParams):
    """Returns the clipped surrogate of whole answers, a scalar, and metrics; batch [B, L]."""
    policy, _ = apply(params, batch.observation)
    log_ratio = jnp.sum(policy.log_prob(batch.action) - batch.log_prob, axis=1, where=batch.mask > 0)
    ratio = jnp.exp(log_ratio)
    surrogate = losses.clipped_surrogate(ratio, batch.advantage[:, 0], hparams.clip)
    of_answer = batch.weight[:, 0]  # the first token is always there, and has the weight of each of the answer's
    metrics = {"kl": jnp.mean(ratio - 1.0 - log_ratio), "clip_fraction": jnp.mean(jnp.abs(ratio - 1.0) > hparams.clip)}
    return total(surrogate, of_answer), metrics


def make(env: Env, config: Config = Config(), *, loss: Loss = loss, advantage=leave_one_out, network=None) -> Algorithm:
    """Returns RLOO on the language task `env`. advantage: one of `algos.rlhf.advantages`, or of the same form. network: a
    LanguageModel; None: the reference, where the policy then begins."""
    require_group(config.group, "rloo")

    return optimise(env, config, loss, network, targets_by(advantage, config.group), "sum")
