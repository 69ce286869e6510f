"""Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347).

    L(theta) = E[min(r A, clip(r, 1 - eps, 1 + eps) A)] - c_v E[(V - G)^2 / 2] + c_e E[H(pi)],  r = pi(a|s) / pi_old(a|s)

One step: a rollout, generalised advantages, then several epochs of minibatch steps up L.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import struct

from algos.core import losses, on_policy
from algos.core.config import require, require_steps, require_two
from algos.core.losses import mean
from algos.core.networks import actor_critic
from algos.core.optimize import adam, annealed, env_steps, gradient_step, minibatch_epochs
from algos.core.rollout import episode_metrics
from algos.core.types import Algorithm, Loss
from envs import Env, vectorize


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch."""

    num_envs: int = 4
    num_steps: int = 128
    num_epochs: int = 4
    num_minibatches: int = 4
    hidden_sizes: tuple[int, ...] = (64, 64)
    normalize_advantage: bool = True  # in each minibatch
    normalize_observation: bool = False  # by running moments
    normalize_reward: bool = False  # by the running deviation of the discounted return


@struct.dataclass
class HParams:
    """Traced numbers: changing one compiles nothing."""

    learning_rate: float = 2.5e-4
    anneal: float = 1.0  # the share of the learning rate that is gone at total_steps
    total_steps: float = 500_000.0  # environment steps; an experiment sets its budget here
    gamma: float = 0.99
    gae_lambda: float = 0.95
    clip: float = 0.2
    value_clip: float = 0.0  # 0.0: the plain squared error
    value_coef: float = 0.5
    entropy_coef: float = 0.01
    max_grad_norm: float = 0.5  # 0.0: no clipping


def loss(params, apply, batch, hparams: HParams):
    """Returns the negative of L at the top of this file, a scalar, and metrics; batch [minibatch]."""
    policy, value = apply(params, batch.observation)
    log_ratio = policy.log_prob(batch.action) - batch.log_prob
    ratio = jnp.exp(log_ratio)
    surrogate = losses.clipped_surrogate(ratio, batch.advantage, hparams.clip)
    value_loss = losses.clipped_value_loss(value, batch.value, batch.value_target, hparams.value_clip)
    entropy = policy.entropy()
    total = surrogate + hparams.value_coef * value_loss - hparams.entropy_coef * entropy
    metrics = {
        "value_loss": value_loss,
        "entropy": entropy,
        "kl": ratio - 1.0 - log_ratio,  # unbiased for KL(old || new) and never negative
        "clip_fraction": jnp.abs(ratio - 1.0) > hparams.clip,
    }
    return mean(total, batch.mask), {name: mean(x, batch.mask) for name, x in metrics.items()}


def make(env: Env, config: Config = Config(), *, loss: Loss = loss, network=None) -> Algorithm:
    """Returns PPO on `env`. `network`: anything with flax's `init` and `apply` that gives (policy, value)."""
    _check(env, config)
    network = network or actor_critic(env, config.hidden_sizes)
    vector = vectorize(env, config.num_envs)
    steps_per_update = config.num_envs * config.num_steps

    def init(key, hparams):
        return on_policy.initialise(vector, network, adam(0.0, hparams.max_grad_norm, network=network), key, config)

    def step(state, hparams):
        key, key_rollout, key_shuffle = jax.random.split(state.key, 3)
        state, batch, episodes = on_policy.collect(
            vector, network.apply, state.params, state, key_rollout, config.num_steps,
            hparams.gamma, hparams.gae_lambda,
        )  # fmt: skip
        explained = losses.explained_variance(batch.value, batch.value_target, batch.mask)
        params, opt_state, metrics = improve(env, config, loss, network, state, batch, key_shuffle, hparams)
        state = state.replace(params=params, opt_state=opt_state, key=key, update=state.update + 1)
        return state, {**metrics, **episode_metrics(episodes), "explained_variance": explained}

    return on_policy.algorithm(init, step, network, steps_per_update)


def improve(env: Env, config: Config, loss: Loss, network, state, batch, key, hparams):
    """Returns (params, opt_state, metrics) after the epochs of minibatch steps on a rollout's batch [T, B]."""
    taken = env_steps(state.update, config.num_envs * config.num_steps)
    learning_rate = annealed(hparams.learning_rate, hparams.anneal, taken, hparams.total_steps)
    optimizer = adam(learning_rate, hparams.max_grad_norm, network=network)

    def update(carry, minibatch):
        if config.normalize_advantage:
            minibatch = on_policy.normalize_advantage(env, minibatch)
        params, opt_state, metrics = gradient_step(optimizer, loss, *carry, network.apply, minibatch, hparams)
        return (params, opt_state), metrics

    samples = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)
    (params, opt_state), metrics = minibatch_epochs(
        update, (state.params, state.opt_state), samples, key, config.num_epochs, config.num_minibatches
    )
    return params, opt_state, metrics


def _check(env: Env, config: Config) -> None:
    require(config, "num_envs", "num_steps", "num_epochs", "num_minibatches", "hidden_sizes")
    require_steps(env, config.num_steps)
    samples = config.num_envs * config.num_steps * (env.agents or 1)
    if samples % config.num_minibatches:
        times = "num_envs * num_steps" if env.agents is None else "num_envs * num_steps * agents"
        raise ValueError(f"num_minibatches={config.num_minibatches} must divide {times} = {samples}")
    require_two(config, env, samples // config.num_minibatches)
