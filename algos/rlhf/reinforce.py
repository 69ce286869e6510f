"""REINFORCE with a learned baseline, for a language policy (Williams 1992; Sutton and Barto 2018, section 13.4).

    gradient of  E[sum_t log pi(a_t|s_t) (G_t - V(s_t))] - c_v E[sum_t (V(s_t) - G_t)^2 / 2]

G_t is the reward that is still to come, undiscounted. One gradient step on every batch: sums over an answer's tokens, the
mean over answers.
"""

from dataclasses import dataclass
from typing import ClassVar

from flax import struct

from algos.core import losses
from algos.core.types import Algorithm, Loss
from algos.rlhf.advantages import baseline, targets_by
from algos.rlhf.averages import total
from algos.rlhf.policy_optimisation import optimise
from algos.rlhf.types import RANGES
from envs import Env


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch."""

    num_prompts: int = 64
    group: int = 1  # answers to each prompt
    num_epochs: int = 1  # the gradient is that of the policy that answered: with more it is no longer its own
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
    value_coef: float = 0.1
    max_grad_norm: float = 1.0  # 0.0: no clipping

    RANGES: ClassVar = RANGES


def loss(params, apply, batch, hparams: HParams):
    """Returns the policy gradient's loss with that of the value, a scalar, and metrics; batch [B, L]."""
    policy, value = apply(params, batch.observation)
    policy_loss = total(losses.policy_gradient(policy.log_prob(batch.action), batch.advantage), batch.weight)
    value_loss = total(losses.squared(value - batch.value_target), batch.weight)
    return policy_loss + hparams.value_coef * value_loss, {"value_loss": value_loss}


def make(env: Env, config: Config = Config(), *, loss: Loss = loss, advantage=baseline, network=None) -> Algorithm:
    """Returns REINFORCE on the language task `env`. advantage: one of `algos.rlhf.advantages`, or of the same form. network: a
    LanguageModel; None: the reference, where the policy then begins."""
    return optimise(env, config, loss, network, targets_by(advantage, config.group), "sum")
