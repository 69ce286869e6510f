"""Magnetic mirror descent (Sokota et al. 2023, arXiv 2206.05825), in self-play: every player learns by the same loss at once.

    pi_{t+1} = argmax_pi  E_{a ~ pi}[q(I, a)] - alpha KL(pi || rho) - KL(pi || pi_t) / eta         (equation 10 there)

With the magnet rho uniform, the fixed point for a temperature alpha is the logit quantal response equilibrium,

    pi(a|I) ~ rho(a|I) exp(q(I, a) / alpha),    q: what a earns from I on, everyone going on by pi

and it is approached by the policy itself, not only by its average. One step is PPO's, with a rollout's advantages for q and this
divergence in place of the clipped ratio; alpha falls from `temperature` to `temperature_end`, by as much of itself in every step.
arXiv 2502.08938 found this, and PPO with much entropy, not beaten by deep fictitious play, double oracle and CFR.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from flax import struct

from algos import ppo
from algos.core import losses
from algos.core.config import DIVISOR
from algos.core.losses import mean
from algos.core.optimize import geometric, scheduled
from algos.core.types import Algorithm, Loss
from envs import Env


@dataclass(frozen=True)
class Config(ppo.Config):
    """PPO's. Advantages stay in units of the payoff, which the temperature is in."""

    num_envs: int = 256
    num_steps: int = 16
    num_epochs: int = 2
    hidden_sizes: tuple[int, ...] = (64, 64)
    normalize_advantage: bool = False


@struct.dataclass
class HParams:
    """Traced numbers: changing one compiles nothing."""

    learning_rate: float = 1e-3
    anneal: float = 1.0  # the share of the learning rate that is gone at total_steps
    total_steps: float = 500_000.0  # environment steps; an experiment sets its budget here
    gamma: float = 1.0
    gae_lambda: float = 0.95
    temperature: float = 0.2  # alpha at the beginning, in units of the payoff
    temperature_end: float = 0.02  # at total_steps
    stepsize: float = 1.0  # eta
    value_coef: float = 0.5
    max_grad_norm: float = 0.5  # 0.0: no clipping
    RANGES = {"temperature": DIVISOR, "temperature_end": DIVISOR, "stepsize": DIVISOR}


def loss(params, apply, batch, hparams: HParams):
    """Returns the loss at the top of this file, a scalar, and metrics; batch [T, B] or [minibatch]."""
    policy, value = apply(params, batch.observation)
    ratio = jnp.exp(policy.log_prob(batch.action) - batch.log_prob)
    entropy, kl = policy.entropy(), policy.kl(batch.policy)
    value_loss = losses.squared(value - batch.value_target)
    total = (
        kl / hparams.stepsize - ratio * batch.advantage - hparams.temperature * entropy
    )  # KL(pi || uniform) = log A - H
    metrics = {"value_loss": value_loss, "entropy": entropy, "kl": kl}
    total = total + hparams.value_coef * value_loss
    return mean(total, batch.mask), {name: mean(x, batch.mask) for name, x in metrics.items()}


def make(env: Env, config: Config = Config(), *, loss: Loss = loss, network=None) -> Algorithm:
    """Returns MMD on `env`. `network`: anything with flax's `init` and `apply` that gives (policy, value)."""
    return scheduled(ppo.make(env, config, loss=loss, network=network), "temperature", geometric)
