"""Deep Q-learning (Mnih et al. 2015, Nature 518), with double (van Hasselt et al. 2016, arXiv 1509.06461), dueling
(Wang et al. 2016, arXiv 1511.06581) and n-step targets (Hessel et al. 2018, arXiv 1710.02298) by choice.

    L(theta) = E[l(r + gamma (1 - terminated) max_a Q_target(s', a) - Q(s, a))],   l Huber's or the square

One step: a fixed number of epsilon-greedy steps in every environment, then a fixed number of updates on replayed
samples. Nothing is conditional: the buffer is filled in `init`, so updates and target copies happen exactly as often as
configured for any number of environments.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from algos.core import losses, replay
from algos.core.config import require, require_buffer, require_discrete, require_simultaneous
from algos.core.distributions import Categorical, Quantiles, epsilon_greedy
from algos.core.losses import mean
from algos.core.networks import only_legal, parts, q_network, rescaled
from algos.core.optimize import adam, annealed, env_steps, gradient_step, linear, mean_in_turn
from algos.core.returns import n_step
from algos.core.rollout import episode_metrics, rollout
from algos.core.types import Algorithm, Loss, Params
from envs import Env, VectorState, vectorize


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch."""

    num_envs: int = 10
    num_steps: int = 1  # in every environment, before the updates
    num_updates: int = 1  # gradient steps, after the environment steps
    batch_size: int = 128
    buffer_size: int = 10_000  # transitions
    warmup_steps: int = 1_000  # environment steps of uniformly random actions before the first update
    target_interval: int = 50  # gradient steps from one target update to the next
    n_step: int = 1
    double: bool = True
    dueling: bool = False
    huber: bool = False  # its gradient is bounded: large errors of rare terminal transitions then count little
    hidden_sizes: tuple[int, ...] = (120, 84)
    rescale_observation: bool = False  # to [-1, 1], by the environment's bounds


@struct.dataclass
class HParams:
    """Traced numbers: changing one compiles nothing."""

    learning_rate: float = 2.5e-4
    anneal: float = 0.0  # the share of the learning rate that is gone at total_steps
    total_steps: float = 500_000.0  # environment steps; an experiment sets its budget here
    gamma: float = 0.99
    epsilon_start: float = 1.0
    epsilon_end: float = 0.05
    exploration_fraction: float = 0.5  # of total_steps, over which epsilon falls linearly
    target_rate: float = 1.0  # how far the target moves at its update: 1.0 copies, less is Polyak's average
    max_grad_norm: float = 10.0  # 0.0: no clipping


@struct.dataclass
class Experience:
    """What the buffer stores of a transition: of one step, or of n."""

    observation: jax.Array
    action: jax.Array
    reward: jax.Array
    discount: jax.Array
    next_observation: jax.Array
    terminated: jax.Array
    live: jax.Array | None = None  # bool, False where the agent was gone and earned nothing; None: there is one


@struct.dataclass
class TrainState:
    """All that a run carries from one update to the next."""

    params: Params
    target_params: Params
    opt_state: Any
    environment: VectorState
    recent: Any  # the last n - 1 transitions of every environment, not yet n steps long; None when n is 1
    replay: replay.Replay
    epsilon: jax.Array
    key: jax.Array
    update: jax.Array  # int32, calls of `step` so far


def td_loss(double: bool, huber: bool) -> Loss:
    """Returns the loss of Q-learning: on the target network's best action, or double: on the online network's."""
    penalty = losses.huber if huber else losses.squared

    def loss(params, apply, batch, hparams: HParams):
        q = losses.action_value(apply(params, batch.observation), batch.action)
        next_q = apply(batch.target_params, batch.next_observation)
        chooser = apply(params, batch.next_observation) if double else next_q
        error = losses.double_td_error(q, batch.reward, batch.terminated, next_q, chooser, batch.discount)
        return mean(penalty(error), batch.mask), {
            "td_error": mean(jnp.abs(error), batch.mask),
            "q": mean(q, batch.mask),
        }

    return loss


loss = td_loss(Config().double, Config().huber)


def make(env: Env, config: Config = Config(), *, loss: Loss | None = None, network=None) -> Algorithm:
    """Returns DQN on `env`. `loss` None: the one that the config describes. `network`: gives Q [..., actions], or
    `Quantiles` for a loss that takes them.

    Raises ValueError for an environment with continuous actions and for settings that cannot be.
    """
    _check(env, config)
    loss = loss or td_loss(config.double, config.huber)
    network = network or q_network(env, config.hidden_sizes, config.dueling)
    network = rescaled(network, env) if config.rescale_observation else network
    vector, legal = vectorize(env, config.num_envs), env.layout is not None and env.layout.legal > 0
    steps_per_update = config.num_envs * config.num_steps
    warmup = -(-config.warmup_steps // config.num_envs) + config.n_step - 1  # steps of every environment
    steps_in_init = warmup * config.num_envs

    def init(key, hparams):
        key_environment, key_params, key_train = jax.random.split(key, 3)
        key_warmup, key_train = jax.random.split(key_train)
        environment = vector.reset(key_environment)
        params = network.init(key_params, environment.observation)

        def random_policy(_, observation):
            logits = jnp.zeros((vector.num_rows, env.action.n))
            if legal:
                logits = only_legal(logits, parts(env.layout, observation)[2])
            return Categorical(logits), None

        environment, transitions, _ = rollout(vector, random_policy, params, environment, key_warmup, warmup)
        experience, recent = _experience(env, transitions, hparams.gamma, config.n_step)
        return TrainState(
            params=params,
            target_params=params,
            opt_state=adam(0.0, hparams.max_grad_norm, network=network).init(params),
            environment=environment,
            recent=recent,
            replay=replay.start(experience, config.buffer_size),
            epsilon=jnp.asarray(hparams.epsilon_start, jnp.float32),
            key=key_train,
            update=jnp.int32(0),
        )

    def step(state, hparams):
        key, key_rollout, key_sample = jax.random.split(state.key, 3)
        taken = env_steps(state.update, steps_per_update, steps_in_init)
        exploration_steps = hparams.exploration_fraction * hparams.total_steps
        epsilon = linear(hparams.epsilon_start, hparams.epsilon_end, taken, exploration_steps).astype(jnp.float32)

        def policy(params, observation):
            return epsilon_greedy(_expected(network.apply(params, observation)), epsilon, legal), None

        environment, transitions, episodes = rollout(
            vector, policy, state.params, state.environment, key_rollout, config.num_steps
        )
        if state.recent is not None:
            transitions = jax.tree.map(lambda *x: jnp.concatenate(x), state.recent, transitions)
        experience, recent = _experience(env, transitions, hparams.gamma, config.n_step)
        memory = replay.add(state.replay, experience)
        samples = replay.sample(memory, key_sample, (config.num_updates, config.batch_size))

        learning_rate = annealed(hparams.learning_rate, hparams.anneal, taken, hparams.total_steps)
        optimizer = adam(learning_rate, hparams.max_grad_norm, network=network)
        made = state.update % config.target_interval * config.num_updates  # but for whole intervals: no int32 has all

        def update(carry, sample_and_index):
            params, target_params, opt_state = carry
            sample, index = sample_and_index
            batch = replay.batch(sample, jnp.ones(config.batch_size), target_params=target_params)
            params, opt_state, metrics = gradient_step(
                optimizer, loss, params, opt_state, network.apply, batch, hparams
            )
            due = (made + index + 1) % config.target_interval == 0
            target_params = _moved(target_params, params, hparams.target_rate, due)
            return (params, target_params, opt_state), metrics

        carry = (state.params, state.target_params, state.opt_state)
        (params, target_params, opt_state), metrics = lax.scan(update, carry, (samples, jnp.arange(config.num_updates)))
        state = TrainState(
            params, target_params, opt_state, environment, recent, memory, epsilon, key, state.update + 1
        )
        return state, {**mean_in_turn(metrics), **episode_metrics(episodes), "epsilon": epsilon}

    def action_value(state, observation):
        return _expected(network.apply(state.params, observation))

    def policy(state, observation):
        return epsilon_greedy(action_value(state, observation), state.epsilon, legal)

    def value(state, observation):
        return jnp.max(action_value(state, observation), axis=-1)

    def act(state, key, observation, explore: bool):
        if explore:
            return policy(state, observation).sample(key)
        return Categorical(action_value(state, observation)).mode()

    return Algorithm(init, step, act, steps_per_update, steps_in_init, policy, value)


def _expected(output) -> jax.Array:
    """Returns Q [..., actions] of what a network gives: Q itself, or the mean of quantiles."""
    return output.mean() if isinstance(output, Quantiles) else output


def _experience(env: Env, transitions, gamma, n: int):
    """Returns (experience [(T - n + 1) * B, ...] of n steps each, the last n - 1 transitions [n - 1, B, ...] or None)."""
    rewards, discount, last = n_step(transitions.reward, transitions.terminated, transitions.truncated, gamma, n)
    whole = transitions.reward.shape[0] - (n - 1)
    column = jnp.arange(last.shape[1])
    experience = Experience(
        observation=transitions.observation,
        action=transitions.action,
        reward=rewards,
        discount=discount,
        next_observation=transitions.next_observation[last, column],
        terminated=transitions.terminated[last, column],
        live=replay.live(env, transitions),
    )
    experience = jax.tree.map(lambda x: x[:whole].reshape(-1, *x.shape[2:]), experience)
    return experience, None if n == 1 else jax.tree.map(lambda x: x[whole:], transitions)


def _moved(target_params, params, rate, due):
    """Returns the target moved by `rate` towards the parameters where an update is due, else as it was."""
    return jax.tree.map(lambda t, p: jnp.where(due, rate * p + (1.0 - rate) * t, t), target_params, params)


def _check(env: Env, config: Config) -> None:
    require_discrete(env, "dqn")
    require_simultaneous(env, "dqn")
    sizes = ("num_envs", "num_steps", "num_updates", "batch_size", "buffer_size", "warmup_steps", "target_interval")
    require(config, *sizes, "n_step", "hidden_sizes")
    require_buffer(config)
    if config.target_interval * config.num_updates >= 2**31:
        raise ValueError("target_interval * num_updates must be less than 2^31: updates are counted in 32 bits")
