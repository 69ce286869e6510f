"""PGQL: policy gradient and Q-learning on one policy (O'Donoghue, Munos, Kavukcuoglu and Mnih 2017, arXiv 1611.01626).

    Q~(s, a) = alpha (log pi(a|s) + H(pi(.|s))) + V(s),   alpha the entropy coefficient      (section 3)
    policy:  (1 - eta) E[(Q^pi - Q~) grad log pi] + eta E[(T*Q~ - Q~) grad log pi]           (section 4)
    value:   (1 - eta) E[(Q^pi - Q~) grad V]      + eta E[(T*Q~ - Q~) grad V]

Where the entropy-regularised policy gradient is zero, pi(a|s) is proportional to exp(Q^pi(s, a) / alpha) and Q~ is
Q^pi. So the policy and the value are an estimate of action values, and Q-learning may refine it. The first expectation
is over fresh experience, the second over replayed. eta = 0 is A2C; eta = 1 is Q-learning, whose fixed point is Q~ = Q*.

One step: a short rollout in every environment, all of it also stored; one gradient step on the rollout and on a sample
of what is stored. The buffer is filled in `init`, so nothing is conditional.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from algos import a2c
from algos.core import losses, normalize, on_policy, replay
from algos.core.config import require, require_buffer, require_discrete, require_simultaneous
from algos.core.losses import mean
from algos.core.networks import actor_critic
from algos.core.normalize import Normalizer
from algos.core.optimize import adam, annealed, env_steps, gradient_step
from algos.core.returns import td_target
from algos.core.rollout import episode_metrics, rollout
from algos.core.types import Algorithm, Batch, Loss, Params, ReplayBatch
from envs import Env, VectorState, vectorize


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch."""

    num_envs: int = 8
    num_steps: int = 16  # in every environment, before the update
    batch_size: int = 128  # replayed transitions an update
    buffer_size: int = 10_000  # transitions
    warmup_steps: int = 1_000  # environment steps of the first policy, before the first update
    hidden_sizes: tuple[int, ...] = (64, 64)


@struct.dataclass
class HParams:
    """Traced numbers: changing one compiles nothing."""

    learning_rate: float = 1e-3
    anneal: float = 1.0  # the share of the learning rate that is gone at total_steps
    total_steps: float = 500_000.0  # environment steps; an experiment sets its budget here
    gamma: float = 0.99
    gae_lambda: float = 1.0
    eta: float = 0.5  # the share of Q-learning in the update: 0.0 is the policy gradient alone, 1.0 Q-learning alone
    entropy_coef: float = 0.1  # alpha, in units of the return: differences of Q~ are alpha times those of log pi
    value_coef: float = 0.5  # how far the value moves, next to the policy, by either part
    max_grad_norm: float = 0.5  # 0.0: no clipping


@struct.dataclass
class Experience:
    """What the buffer stores of a step."""

    observation: jax.Array
    action: jax.Array
    reward: jax.Array
    next_observation: jax.Array  # reached, before any reset
    terminated: jax.Array
    live: jax.Array | None = None  # bool, False where the agent was gone and earned nothing; None: there is one


@struct.dataclass
class Batches:
    """What the loss learns from: its `batch`."""

    fresh: Batch  # [T, B, ...], the rollout of the policy that is differentiated
    replayed: ReplayBatch  # [batch_size, ...] of older policies; its target_params are those before the update


@struct.dataclass
class TrainState:
    """All that a run carries from one update to the next."""

    params: Params
    opt_state: Any
    environment: VectorState
    normalizer: Normalizer  # normalises nothing: moments that move on would no longer fit what is stored
    replay: replay.Replay
    key: jax.Array
    update: jax.Array  # int32, updates made so far


def loss(params, apply, batch, hparams: HParams):
    """Returns the scalar whose negative gradient is the update at the top of this file, and metrics.

    A2C's loss has the gradient -E[(Q^pi - Q~) (grad log pi + c_v grad V)]: its bonus alpha H stands for the part
    alpha (log pi + H) of Q~, because grad H = -E_{a ~ pi}[(log pi + H) grad log pi], and needs no sample of the action.
    """
    gradient_loss, metrics = a2c.loss(params, apply, batch.fresh, hparams)
    q_loss, q_metrics = q_learning(params, apply, batch.replayed, hparams)
    return (1.0 - hparams.eta) * gradient_loss + hparams.eta * q_loss, {**metrics, **q_metrics}


def q_learning(params, apply, batch, hparams):
    """Returns the loss with gradient -E[(T*Q~ - Q~) (grad log pi + c_v grad V)], and metrics.

    T*Q~ is sampled as r + gamma (1 - terminated) max_a' Q~(s', a'). The residual is a weight and carries no gradient.
    """
    policy, value = apply(params, batch.observation)
    next_q = action_values(*apply(batch.target_params, batch.next_observation), hparams.entropy_coef)
    target = td_target(batch.reward, batch.terminated, jnp.max(next_q, axis=-1), batch.discount)
    q = losses.action_value(action_values(policy, value, hparams.entropy_coef), batch.action)
    residual = lax.stop_gradient(target - q)
    policy_loss = losses.policy_gradient(policy.log_prob(batch.action), residual)
    value_loss = losses.squared(value - lax.stop_gradient(value + residual))
    total = policy_loss + hparams.value_coef * value_loss
    return mean(total, batch.mask), {"bellman_residual": mean(jnp.abs(residual), batch.mask), "q": mean(q, batch.mask)}


def action_values(policy, value, alpha):
    """Returns Q~(s, a) = alpha (log pi(a|s) + H(pi(.|s))) + V(s) of every action, [..., A]; E_{a ~ pi} Q~ = V."""
    return alpha * (policy.log_probs() + policy.entropy()[..., None]) + value[..., None]


def make(env: Env, config: Config = Config(), *, loss: Loss = loss, network=None) -> Algorithm:
    """Returns PGQL on `env`. `network`: gives (policy, value); `loss`: its batch is a `Batches`.

    Raises ValueError for an environment with continuous actions and for settings that cannot be.
    """
    _check(env, config)
    network = network or actor_critic(env, config.hidden_sizes)
    vector = vectorize(env, config.num_envs)
    steps_per_update = config.num_envs * config.num_steps
    warmup = -(-config.warmup_steps // config.num_envs)  # steps of every environment
    steps_in_init = warmup * config.num_envs

    def init(key, hparams):
        key_environment, key_params, key_train = jax.random.split(key, 3)
        key_warmup, key_train = jax.random.split(key_train)
        environment = vector.reset(key_environment)
        params = network.init(key_params, environment.observation)
        environment, transitions, _ = rollout(vector, network.apply, params, environment, key_warmup, warmup)
        return TrainState(
            params=params,
            opt_state=adam(0.0, hparams.max_grad_norm).init(params),
            environment=environment,
            normalizer=normalize.start(vector, observation=False, reward=False),
            replay=replay.start(_experience(env, transitions), config.buffer_size),
            key=key_train,
            update=jnp.int32(0),
        )

    def step(state, hparams):
        key, key_rollout, key_sample = jax.random.split(state.key, 3)
        state, fresh, episodes = on_policy.collect(
            vector, network.apply, state.params, state, key_rollout, config.num_steps,
            hparams.gamma, hparams.gae_lambda,
        )  # fmt: skip
        memory = replay.add(state.replay, _experience(env, fresh))
        sample = replay.sample(memory, key_sample, (config.batch_size,))
        ones = jnp.ones_like(sample.reward)
        replayed = replay.batch(sample, ones, discount=hparams.gamma * ones, target_params=state.params)

        taken = env_steps(state.update, steps_per_update, steps_in_init)
        learning_rate = annealed(hparams.learning_rate, hparams.anneal, taken, hparams.total_steps)
        optimizer = adam(learning_rate, hparams.max_grad_norm)
        params, opt_state, metrics = gradient_step(
            optimizer, loss, state.params, state.opt_state, network.apply, Batches(fresh, replayed), hparams
        )
        explained = losses.explained_variance(fresh.value, fresh.value_target, fresh.mask)
        state = state.replace(params=params, opt_state=opt_state, replay=memory, key=key, update=state.update + 1)
        return state, {**metrics, **episode_metrics(episodes), "explained_variance": explained}

    algorithm = on_policy.algorithm(init, step, network, steps_per_update)
    return algorithm._replace(steps_in_init=steps_in_init)


def _experience(env: Env, steps) -> Experience:
    """Returns what is stored of the steps [T, B, ...] of a rollout, [T * B, ...]."""
    stored = {name: getattr(steps, name) for name in Experience.__dataclass_fields__}
    stored["live"] = replay.live(env, steps)
    return Experience(**jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), stored))


def _check(env: Env, config: Config) -> None:
    require_discrete(env, "pgql")
    require_simultaneous(env, "pgql")
    require(config, "num_envs", "num_steps", "batch_size", "buffer_size", "warmup_steps", "hidden_sizes")
    require_buffer(config)
