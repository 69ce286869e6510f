"""REINFORCE (Williams 1992): the Monte Carlo policy gradient, with or without a learned baseline.

    gradient of  E[sum_t log pi(a_t|s_t) (G_t - b(s_t))],   G_t = r_t + gamma G_{t+1}

One step: every environment begins a new episode and runs for a fixed number of steps, resetting as it goes; then one
gradient step. Nothing is bootstrapped, so an episode counts only if it is whole, and which ones count must not depend
on how long they turn out: those that began early enough to end inside the rollout whatever happens. Taking every
episode that happens to end in time would prefer short ones.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from algos.core import losses, on_policy
from algos.core.config import require, require_two
from algos.core.losses import mean
from algos.core.networks import actor_critic
from algos.core.optimize import adam, annealed, env_steps, gradient_step
from algos.core.returns import reward_to_go
from algos.core.rollout import episode_metrics
from algos.core.types import Algorithm, Loss
from envs import Env, vectorize


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch."""

    num_envs: int = 4
    num_steps: int | None = None  # None: twice the environment's time limit; never less than the limit
    hidden_sizes: tuple[int, ...] = (64, 64)
    baseline: bool = True  # subtract a learned V(s); without it the weight is the return itself
    normalize_advantage: bool = True
    normalize_observation: bool = False  # by running moments
    normalize_reward: bool = False  # by the running deviation of the discounted return


@struct.dataclass
class HParams:
    """Traced numbers: changing one compiles nothing."""

    learning_rate: float = 2e-3
    anneal: float = 1.0  # the share of the learning rate that is gone at total_steps
    total_steps: float = 500_000.0  # environment steps; an experiment sets its budget here
    gamma: float = 0.99
    value_coef: float = 0.5
    entropy_coef: float = 0.0
    max_grad_norm: float = 0.5  # 0.0: no clipping


def loss(params, apply, batch, hparams: HParams):
    """Returns the loss at the top of this file, a scalar under the mask, and metrics; batch [T, B]."""
    policy, value = apply(params, batch.observation)
    policy_loss = losses.policy_gradient(policy.log_prob(batch.action), batch.advantage)
    value_loss = losses.squared(value - batch.value_target)
    entropy = policy.entropy()
    total = policy_loss + hparams.value_coef * value_loss - hparams.entropy_coef * entropy
    return mean(total, batch.mask), {"value_loss": mean(value_loss, batch.mask), "entropy": mean(entropy, batch.mask)}


def unselected(ended: jax.Array, max_steps: int) -> jax.Array:
    """Returns 1.0 at the steps of episodes that began `max_steps` or more before the rollout's end, [T, B]."""
    num_steps = ended.shape[0]
    step = jnp.broadcast_to(jnp.arange(num_steps)[:, None], ended.shape)
    begins = jnp.concatenate([jnp.ones_like(ended[:1]), ended[:-1]])
    began = lax.cummax(jnp.where(begins, step, 0), axis=0)
    return (began + max_steps <= num_steps).astype(jnp.float32)


def make(env: Env, config: Config = Config(), *, loss: Loss = loss, network=None) -> Algorithm:
    """Returns REINFORCE on `env`. `network`: anything with flax's `init` and `apply` that gives (policy, value)."""
    num_steps = _num_steps(env, config)
    network = network or actor_critic(env, config.hidden_sizes)
    vector = vectorize(env, config.num_envs)
    steps_per_update = config.num_envs * num_steps
    require_two(config, env, steps_per_update * (env.agents or 1))

    def init(key, hparams):
        return on_policy.initialise(vector, network, adam(0.0, hparams.max_grad_norm), key, config)

    def step(state, hparams):
        key, key_rollout, key_reset = jax.random.split(state.key, 3)
        state, batch, episodes = on_policy.collect(
            vector, network.apply, state.params, state, key_rollout, num_steps, hparams.gamma, 1.0
        )
        whole = episodes.ended if env.agents else batch.terminated | batch.truncated
        whole = unselected(whole, env.max_steps)
        batch = _monte_carlo(env, batch, whole, config, hparams.gamma)
        taken = env_steps(state.update, steps_per_update)
        learning_rate = annealed(hparams.learning_rate, hparams.anneal, taken, hparams.total_steps)
        optimizer = adam(learning_rate, hparams.max_grad_norm)
        params, opt_state, metrics = gradient_step(
            optimizer, loss, state.params, state.opt_state, network.apply, batch, hparams
        )
        state = state.replace(
            params=params, opt_state=opt_state, environment=vector.reset(key_reset), key=key, update=state.update + 1
        )
        return state, {**metrics, **episode_metrics(episodes, whole), "used_fraction": jnp.mean(batch.mask)}

    return on_policy.algorithm(init, step, network, steps_per_update)


def _monte_carlo(env: Env, batch, whole, config: Config, gamma):
    """Returns the batch with Monte Carlo targets and advantages, and the mask of the episodes that count: `whole` [T, B]."""
    returns = reward_to_go(batch.reward, batch.terminated, batch.truncated, gamma, batch.acting, batch.live)
    mask = whole if env.agents is None else jnp.repeat(whole, env.agents, axis=1) * batch.acting
    advantage = returns - batch.value if config.baseline else returns
    batch = batch.replace(advantage=advantage, value_target=returns, mask=mask)
    return on_policy.normalize_advantage(env, batch) if config.normalize_advantage else batch


def _num_steps(env: Env, config: Config) -> int:
    require(config, "num_envs", "hidden_sizes")
    if config.num_steps is None:
        return 2 * env.max_steps
    require(config, "num_steps")
    if config.num_steps < env.max_steps:
        raise ValueError(f"num_steps={config.num_steps} must be {env.name}'s time limit {env.max_steps} or more")
    return config.num_steps
