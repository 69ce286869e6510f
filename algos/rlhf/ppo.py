"""Proximal policy optimisation of a language policy (Ziegler et al. 2019, arXiv 1909.08593; Schulman et al. 2017, arXiv
1707.06347).

    reward_t = score [t is the last token] - beta (log pi(a_t|s_t) - log rho(a_t|s_t))

The loss is `algos.ppo.loss` and the advantage `algos.core.returns.gae`: nothing of PPO is written anew for language. A token
is an action, its state the text before it. gamma = 1: a discount would not lead to rho exp(r / beta).
"""

from dataclasses import dataclass
from typing import ClassVar

from flax import struct

from algos.core.types import Algorithm, Loss
from algos.ppo import loss
from algos.rlhf.advantages import gae, targets_by
from algos.rlhf.policy_optimisation import optimise
from algos.rlhf.types import RANGES
from algos.rlhf.whitening import scaled
from envs import Env


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch."""

    num_prompts: int = 64
    group: int = 1  # answers to each prompt
    num_epochs: int = 4
    num_minibatches: int = 1
    estimator: str = "k1"  # of the divergence from the reference: k1, k2, k3
    place: str = "reward"  # where it stands: reward, loss (each token's), answer_loss (each answer's)
    adaptive: bool = False  # its coefficient moves until the divergence is kl_target
    needs_end: bool = False  # an answer that does not end within its budget has the score missing_end_score
    whiten_reward: bool = False  # divide by the batch's deviation
    whiten_advantage: bool = True  # likewise


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
    gamma: float = 1.0
    gae_lambda: float = 0.95
    clip: float = 0.2
    value_clip: float = 0.2  # 0.0: the plain squared error
    value_coef: float = 0.1
    entropy_coef: float = 0.0
    max_grad_norm: float = 1.0  # 0.0: no clipping

    RANGES: ClassVar = RANGES


def make(env: Env, config: Config = Config(), *, loss: Loss = loss, advantage=gae, network=None) -> Algorithm:
    """Returns PPO on the language task `env`. advantage: one of `algos.rlhf.advantages`, or of the same form. network: a
    LanguageModel; None: the reference, where the policy then begins."""
    by_advantage = targets_by(advantage, config.group)

    def targets(batch, hparams):
        if config.whiten_reward:
            batch = batch.replace(reward=scaled(batch.reward, batch.mask))
        batch = by_advantage(batch, hparams)
        return batch.replace(advantage=scaled(batch.advantage, batch.mask)) if config.whiten_advantage else batch

    return optimise(env, config, loss, network, targets, "token")
