"""A skeleton to copy to algos/: here the paper, here its number on arXiv.

    gradient of  E[log pi(a|s) A] - E[(V - G)^2 / 2]          here its equation

One step: a rollout in every environment, one gradient step on all of it. Nothing is here that could be left out; it is
A2C with a constant learning rate, and a test holds it to that bit for bit. docs/losses.md lists what a batch holds.
"""

from dataclasses import dataclass

import jax
from flax import struct

from algos.core import losses, on_policy
from algos.core.config import require
from algos.core.losses import mean
from algos.core.networks import actor_critic
from algos.core.optimize import adam, gradient_step
from algos.core.rollout import episode_metrics
from algos.core.types import Algorithm, Loss
from envs import Env, vectorize


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch."""

    num_envs: int = 8
    num_steps: int = 16
    hidden_sizes: tuple[int, ...] = (64, 64)
    normalize_observation: bool = False  # by running moments
    normalize_reward: bool = False  # by the running deviation of the discounted return


@struct.dataclass
class HParams:
    """Traced numbers: changing one compiles nothing. Every algorithm has `total_steps`, which an experiment sets."""

    learning_rate: float = 1e-3
    total_steps: float = 500_000.0  # environment steps, for schedules
    gamma: float = 0.99
    gae_lambda: float = 1.0
    max_grad_norm: float = 0.5  # 0.0: no clipping


def loss(params, apply, batch, hparams: HParams):
    """Returns the negative of what the equation goes up, a scalar, and metrics, which become curves."""
    policy, value = apply(params, batch.observation)
    policy_loss = losses.policy_gradient(policy.log_prob(batch.action), batch.advantage)
    value_loss = losses.squared(value - batch.value_target)
    return mean(policy_loss + value_loss, batch.mask), {"value_loss": mean(value_loss, batch.mask)}


def make(env: Env, config: Config = Config(), *, loss: Loss = loss, network=None) -> Algorithm:
    """Returns the algorithm on `env`. `network`: anything with flax's `init` and `apply` that gives (policy, value)."""
    require(config, "num_envs", "num_steps", "hidden_sizes")
    network = network or actor_critic(env, config.hidden_sizes)
    vector = vectorize(env, config.num_envs)

    def init(key, hparams):
        return on_policy.initialise(vector, network, adam(0.0, hparams.max_grad_norm), key, config)

    def step(state, hparams):
        key, key_rollout = jax.random.split(state.key)
        state, batch, episodes = on_policy.collect(
            vector, network.apply, state.params, state, key_rollout, config.num_steps,
            hparams.gamma, hparams.gae_lambda,
        )  # fmt: skip
        optimizer = adam(hparams.learning_rate, hparams.max_grad_norm)
        params, opt_state, metrics = gradient_step(
            optimizer, loss, state.params, state.opt_state, network.apply, batch, hparams
        )
        state = state.replace(params=params, opt_state=opt_state, key=key, update=state.update + 1)
        return state, {**metrics, **episode_metrics(episodes)}

    return on_policy.algorithm(init, step, network, steps_per_update=config.num_envs * config.num_steps)
