"""Advantage actor-critic (Mnih et al. 2016, arXiv 1602.01783) that takes several gradient steps on each rollout.

    gradient of  E[log pi(a|s) A] - c_v E[(V - G)^2 / 2] + c_e E[H(pi)]

One step: a short rollout in every environment, `num_passes` gradient steps on all of it. With gae_lambda = 1 the advantage is
the paper's: the n-step return to the rollout's end, less the value; below 1 it is generalised (arXiv 1506.02438).
"""

from dataclasses import dataclass

import jax
from flax import struct
from jax import lax

from algos.core import losses, on_policy
from algos.core.config import require, require_steps, require_two
from algos.core.losses import mean
from algos.core.networks import actor_critic
from algos.core.optimize import adam, annealed, env_steps, gradient_step
from algos.core.rollout import episode_metrics
from algos.core.types import Algorithm, Loss
from envs import Env, vectorize


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch."""

    num_envs: int = 8
    num_steps: int = 16
    num_passes: int = 2  # gradient steps on each rollout
    hidden_sizes: tuple[int, ...] = (64, 64)
    normalize_advantage: bool = False
    normalize_observation: bool = False  # by running moments
    normalize_reward: bool = False  # by the running deviation of the discounted return


@struct.dataclass
class HParams:
    """Traced numbers: changing one compiles nothing."""

    learning_rate: float = 1e-3
    anneal: float = 1.0  # the share of the learning rate that is gone at total_steps
    total_steps: float = 500_000.0  # environment steps; an experiment sets its budget here
    gamma: float = 0.99
    gae_lambda: float = 1.0
    value_coef: float = 0.5
    entropy_coef: float = 0.0
    max_grad_norm: float = 0.5  # 0.0: no clipping


def loss(params, apply, batch, hparams: HParams):
    """Returns the loss at the top of this file, a scalar, and metrics; batch [T, B]."""
    policy, value = apply(params, batch.observation)
    policy_loss = losses.policy_gradient(policy.log_prob(batch.action), batch.advantage)
    value_loss = losses.squared(value - batch.value_target)
    entropy = policy.entropy()
    total = policy_loss + hparams.value_coef * value_loss - hparams.entropy_coef * entropy
    return mean(total, batch.mask), {"value_loss": mean(value_loss, batch.mask), "entropy": mean(entropy, batch.mask)}


def make(env: Env, config: Config = Config(), *, loss: Loss = loss, network=None) -> Algorithm:
    """Returns A2C on `env`. `network`: anything with flax's `init` and `apply` that gives (policy, value)."""
    require(config, "num_envs", "num_steps", "num_passes", "hidden_sizes")
    require_steps(env, config.num_steps)
    require_two(config, env, config.num_envs * config.num_steps * (env.agents or 1))
    network = network or actor_critic(env, config.hidden_sizes)
    vector = vectorize(env, config.num_envs)
    steps_per_update = config.num_envs * config.num_steps

    def init(key, hparams):
        return on_policy.initialise(vector, network, adam(0.0, hparams.max_grad_norm, network=network), key, config)

    def step(state, hparams):
        key, key_rollout = jax.random.split(state.key)
        state, batch, episodes = on_policy.collect(
            vector, network.apply, state.params, state, key_rollout, config.num_steps,
            hparams.gamma, hparams.gae_lambda,
        )  # fmt: skip
        explained = losses.explained_variance(batch.value, batch.value_target, batch.mask)
        if config.normalize_advantage:
            batch = on_policy.normalize_advantage(env, batch)
        taken = env_steps(state.update, steps_per_update)
        learning_rate = annealed(hparams.learning_rate, hparams.anneal, taken, hparams.total_steps)
        optimizer = adam(learning_rate, hparams.max_grad_norm, network=network)

        def once_more(carry, _):
            params, opt_state, metrics = gradient_step(optimizer, loss, *carry, network.apply, batch, hparams)
            return (params, opt_state), metrics

        (params, opt_state), metrics = lax.scan(once_more, (state.params, state.opt_state), length=config.num_passes)
        metrics = jax.tree.map(lambda x: x[-1], metrics)  # of the last pass
        state = state.replace(params=params, opt_state=opt_state, key=key, update=state.update + 1)
        return state, {**metrics, **episode_metrics(episodes), "explained_variance": explained}

    return on_policy.algorithm(init, step, network, steps_per_update)
