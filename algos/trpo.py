"""Trust region policy optimisation (Schulman et al. 2015, arXiv 1502.05477).

    maximise  L(theta) = E[pi(a|s) / pi_old(a|s) A]   subject to  E[KL(pi_old || pi)] <= delta

One step: a rollout; the direction x with (F + lambda I) x = grad L by conjugate gradients; the full step
sqrt(2 delta / x^T (F + lambda I) x) x; a line search back from it until the constraint holds and L is no worse; then the
value function is fitted, on parameters of its own. Without the line search this is the natural policy gradient
(Kakade 2001), its step normalised to the trust region.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax.flatten_util import ravel_pytree

from algos.core import losses, on_policy
from algos.core.config import require, require_steps, require_two
from algos.core.curvature import PRODUCTS, Search, fisher_vector_product, line_search, mean_kl, trust_region_step
from algos.core.losses import mean
from algos.core.networks import actor_critic
from algos.core.normalize import Normalizer
from algos.core.optimize import adam, gradient_step, minibatch_epochs
from algos.core.rollout import episode_metrics
from algos.core.types import Algorithm, Loss, Params
from envs import Env, VectorState, vectorize


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch."""

    num_envs: int = 8
    num_steps: int = 128
    cg_iterations: int = 10
    line_search: bool = True  # False: the natural policy gradient
    backtracks: int = 10
    backtrack_factor: float = 0.8
    fisher_form: str = "gauss-newton"  # or "kl-hessian"
    fisher_stride: int = 1  # the Fisher matrix is that of every k-th state
    value_epochs: int = 10
    value_minibatches: int = 8
    hidden_sizes: tuple[int, ...] = (64, 64)
    normalize_advantage: bool = True
    normalize_observation: bool = False  # by running moments
    normalize_reward: bool = False  # by the running deviation of the discounted return


@struct.dataclass
class HParams:
    """Traced numbers: changing one compiles nothing."""

    max_kl: float = 0.01  # delta, in nats
    damping: float = 0.1  # lambda
    total_steps: float = 500_000.0  # environment steps; an experiment sets its budget here
    gamma: float = 0.99
    gae_lambda: float = 0.95
    value_learning_rate: float = 1e-3
    max_grad_norm: float = 0.0  # of the value function; 0.0: no clipping


@struct.dataclass
class TrainState:
    """All that a run carries from one update to the next."""

    params: Params  # of the policy
    opt_state: Any  # of the value function
    environment: VectorState
    normalizer: Normalizer
    key: jax.Array
    update: jax.Array  # int32, updates made so far
    value_params: Params  # the same network's, used for its value alone: fitting it can never move the policy
    plans: jax.Array | None = None  # [I, A], what was played of a game that is known; None: none is


def loss(params, apply, batch, hparams: HParams):
    """The surrogate, negated: -E[r A]. At the old policy its gradient is the policy gradient."""
    policy, _ = apply(params, batch.observation)
    ratio = jnp.exp(policy.log_prob(batch.action) - batch.log_prob)
    return mean(-ratio * batch.advantage, batch.mask), {"entropy": mean(policy.entropy(), batch.mask)}


def value_loss(params, apply, batch, hparams):
    """Returns the value's own loss, a scalar, and no metrics."""
    _, value = apply(params, batch.observation)
    return mean(losses.squared(value - batch.value_target), batch.mask), {}


def make(env: Env, config: Config = Config(), *, loss: Loss = loss, network=None) -> Algorithm:
    """Returns TRPO on `env`. `network`: anything with flax's `init` and `apply` that gives (policy, value).

    `loss` is the surrogate to minimise; the value function has its own.
    """
    _check(env, config)
    network = network or actor_critic(env, config.hidden_sizes)
    vector = vectorize(env, config.num_envs)
    steps_per_update = config.num_envs * config.num_steps

    def apply_both(params, observation):
        policy_params, value_params = params
        return network.apply(policy_params, observation)[0], network.apply(value_params, observation)[1]

    def init(key, hparams):
        state = on_policy.initialise(vector, network, adam(0.0, hparams.max_grad_norm), key, config)
        return TrainState(**vars(state), value_params=state.params)

    def step(state, hparams):
        key, key_rollout, key_value = jax.random.split(state.key, 3)
        state, batch, episodes = on_policy.collect(
            vector, apply_both, (state.params, state.value_params), state, key_rollout, config.num_steps,
            hparams.gamma, hparams.gae_lambda,
        )  # fmt: skip
        explained = losses.explained_variance(batch.value, batch.value_target, batch.mask)
        samples = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)
        if config.normalize_advantage:
            samples = on_policy.normalize_advantage(env, samples)
        params, metrics = improve_policy(loss, network.apply, state.params, samples, hparams, config)

        optimizer = adam(hparams.value_learning_rate, hparams.max_grad_norm)

        def fit(carry, minibatch):
            value_params, opt_state, fitted = gradient_step(
                optimizer, value_loss, *carry, network.apply, minibatch, hparams
            )
            return (value_params, opt_state), {"value_loss": fitted["loss"]}

        (value_params, opt_state), fitted = minibatch_epochs(
            fit,
            (state.value_params, state.opt_state),
            samples,
            key_value,
            config.value_epochs,
            config.value_minibatches,
        )
        state = state.replace(
            params=params, value_params=value_params, opt_state=opt_state, key=key, update=state.update + 1
        )
        return state, {**metrics, **fitted, **episode_metrics(episodes), "explained_variance": explained}

    return on_policy.algorithm(init, step, network, steps_per_update, lambda state: state.value_params)


def improve_policy(loss, apply, params, batch, hparams, config: Config):
    """Returns (parameters, metrics) after one trust-region step on the batch [N, ...]."""
    old, unravel = ravel_pytree(params)
    (old_loss, loss_metrics), gradient = jax.value_and_grad(loss, has_aux=True)(params, apply, batch, hparams)
    gradient = -ravel_pytree(gradient)[0]

    def policy_at(observation):
        return lambda flat: apply(unravel(flat), observation)[0]

    some_states = policy_at(batch.observation[:: config.fisher_stride])
    mask = None if batch.agent is None else batch.mask  # of agents not all rows count
    some_mask = None if mask is None else mask[:: config.fisher_stride]

    def damped_fisher(vector):
        product = fisher_vector_product(some_states, old, vector, config.fisher_form, some_mask)
        return product + hparams.damping * vector

    full_step, residual = trust_region_step(gradient, damped_fisher, hparams.max_kl, config.cg_iterations)

    def outcome(flat):
        new_loss, _ = loss(unravel(flat), apply, batch, hparams)
        return old_loss - new_loss, mean_kl(policy_at(batch.observation), old, flat, mask)

    def acceptable(flat):
        improvement, kl = outcome(flat)
        return (improvement >= 0.0) & (kl <= hparams.max_kl)

    if config.line_search:
        search = line_search(acceptable, old, full_step, config.backtrack_factor, config.backtracks)
    else:
        search = Search(old + full_step, jnp.ones(()), jnp.int32(0))
    improvement, kl = outcome(search.params)
    metrics = {
        **loss_metrics,
        "loss": old_loss,
        "surrogate_improvement": improvement,
        "kl": kl,
        "kl_max": kl,
        "accepted_fraction": search.fraction,
        "backtracks": search.backtracks.astype(jnp.float32),
        "cg_residual": residual,
        "gradient_norm": jnp.linalg.norm(gradient),
    }
    return unravel(search.params), metrics


def _check(env: Env, config: Config) -> None:
    sizes = (
        "num_envs",
        "num_steps",
        "cg_iterations",
        "backtracks",
        "fisher_stride",
        "value_epochs",
        "value_minibatches",
    )
    require(config, *sizes, "hidden_sizes")
    if not 0.0 < config.backtrack_factor < 1.0:
        raise ValueError(f"backtrack_factor must be between 0 and 1, not {config.backtrack_factor}")
    if config.fisher_form not in PRODUCTS:
        raise ValueError(f"fisher_form must be one of {', '.join(PRODUCTS)}, not {config.fisher_form!r}")
    require_steps(env, config.num_steps)
    samples = config.num_envs * config.num_steps * (env.agents or 1)
    if samples % config.value_minibatches:
        times = "num_envs * num_steps" if env.agents is None else "num_envs * num_steps * agents"
        raise ValueError(f"value_minibatches={config.value_minibatches} must divide {times} = {samples}")
    require_two(config, env, samples)
