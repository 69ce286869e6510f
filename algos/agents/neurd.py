"""Neural replicator dynamics (NeuRD: Hennes et al. 2020, arXiv 1906.00190), in self-play.

    theta <- theta + eta sum_a grad_theta y(I, a) f(a),   f(a) = q(I, a) - v(I) - alpha (log pi(a|I) + H(pi)),   pi = softmax(y)

In a table y(a) itself moves by eta f(a), which is the replicator equation d pi(a) / dt = pi(a) (q(a) - v) in steps of eta, and
hedging. A policy gradient moves it by pi(a) times that: who has given an action up takes it up again too late. alpha, which falls
to `temperature_end`, is a price on log pi; where it stays the fixed point is the logit quantal response equilibrium, as with MMD.

Of a rollout the action that was taken stands for all of them, its f divided by its probability. Logits are taken less their mean over
legal actions, and beyond +-threshold nothing moves them further out, so that no probability, and none of these weights, is without
a bound. One step is PPO's in all but the loss, by default with one epoch; Adam rescales the eta of each parameter.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from flax import struct
from jax import lax

from algos import ppo
from algos.core import losses
from algos.core.config import AMOUNT, BOUND, require_discrete
from algos.core.losses import mean
from algos.core.optimize import linear, scheduled
from algos.core.types import Algorithm, Loss
from envs import Env


@dataclass(frozen=True)
class Config(ppo.Config):
    """PPO's. Advantages stay in units of the payoff, which the temperature is in."""

    num_envs: int = 128
    num_steps: int = 16
    num_epochs: int = 1
    num_minibatches: int = 1
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
    temperature: float = 0.2  # alpha at the beginning, in units of the payoff; 0.0: the replicator equation alone
    temperature_end: float = 0.02  # at total_steps, where it comes in a straight line
    threshold: float = 2.0  # of a logit less the mean of the legal ones; 0.0: none
    value_coef: float = 0.5
    max_grad_norm: float = 0.5  # 0.0: no clipping
    RANGES = {"temperature": AMOUNT, "temperature_end": AMOUNT, "threshold": BOUND}


def loss(params, apply, batch, hparams: HParams):
    """Returns the loss whose gradient is that at the top of this file, negated, a scalar, and metrics; batch [minibatch]."""
    policy, value = apply(params, batch.observation)
    logit = centred_logit(policy.logits, batch.action)
    worth = batch.advantage - hparams.temperature * (batch.log_prob + batch.policy.entropy())
    force = worth * jnp.exp(-batch.log_prob)
    limit = losses.off_at_zero(hparams.threshold)
    free = jnp.where(force > 0.0, logit < limit, logit > -limit)
    value_loss = losses.squared(value - batch.value_target)
    total = hparams.value_coef * value_loss - logit * lax.stop_gradient(jnp.where(free, force, 0.0))
    return mean(total, batch.mask), {
        "value_loss": mean(value_loss, batch.mask),
        "entropy": mean(policy.entropy(), batch.mask),
    }


def centred_logit(logits, action):
    """Returns an action's logit less the mean of those of legal actions, [...]; -inf among logits [..., A] are not legal."""
    legal = logits > -jnp.inf
    finite = jnp.where(legal, logits, 0.0)
    return losses.action_value(finite, action) - jnp.sum(finite, axis=-1) / jnp.sum(legal, axis=-1)


def make(env: Env, config: Config = Config(), *, loss: Loss = loss, network=None) -> Algorithm:
    """Returns NeuRD on `env`. `network`: as PPO takes it. Raises ValueError for continuous actions, and as PPO does."""
    require_discrete(env, "neurd")
    return scheduled(ppo.make(env, config, loss=loss, network=network), "temperature", linear)
