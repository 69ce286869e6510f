"""What VDN and QMIX share: deep Q-learning of a team whose value is made of its agents' (mixing.py).

    L(theta) = E[(r + gamma (1 - terminated) Q_target(s', a*) - Q(s, a))^2 / 2],   a*_i = argmax q_i(s', .)

r is one reward for the team, the mean of its agents' or their sum. One step: epsilon-greedy steps of all agents, each by its own
q, then updates on replayed joint transitions.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from algos.core import losses, replay
from algos.core.config import require, require_buffer, require_discrete, require_simultaneous
from algos.core.distributions import Categorical, epsilon_greedy
from algos.core.losses import mean
from algos.core.networks import only_legal, parts
from algos.core.optimize import adam, annealed, env_steps, gradient_step, linear, mean_in_turn
from algos.core.returns import td_target
from algos.core.rollout import episode_metrics, rollout
from algos.core.types import Algorithm, Loss, Params
from envs import Env, VectorState, vectorize

TEAM_REWARDS = {"mean": jnp.mean, "sum": jnp.sum}


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch."""

    num_envs: int = 16
    num_steps: int = 1  # in every environment, before the updates
    num_updates: int = 1  # gradient steps, after the environment steps
    batch_size: int = 128  # joint transitions
    buffer_size: int = 20_000  # likewise
    warmup_steps: int = 1_000  # environment steps of uniformly random actions before the first update
    target_interval: int = 100  # gradient steps from one target update to the next
    double: bool = True
    team_reward: str = "mean"  # of the agents' rewards: "mean" keeps one agent's scale, "sum" is N times it
    own_parameters: bool = False  # a network for each agent, who are told apart by their ids (envs.agents.with_ids)
    hidden_sizes: tuple[int, ...] = (64, 64)


@struct.dataclass
class HParams:
    """Traced numbers: changing one compiles nothing."""

    learning_rate: float = 5e-4
    anneal: float = 0.0  # the share of the learning rate that is gone at total_steps
    total_steps: float = 500_000.0  # environment steps; an experiment sets its budget here
    gamma: float = 0.99
    epsilon_start: float = 1.0
    epsilon_end: float = 0.05
    exploration_fraction: float = 0.5  # of total_steps, over which epsilon falls linearly
    target_rate: float = 1.0  # how far the target moves at its update: 1.0 copies, less is Polyak's average
    max_grad_norm: float = 10.0  # 0.0: no clipping


@struct.dataclass
class Joint:
    """What the buffer stores of a step of a team of N."""

    observation: jax.Array  # [N, D]
    action: jax.Array  # int32 [N]
    reward: jax.Array  # the team's
    next_observation: jax.Array  # [N, D], reached, before any reset
    terminated: jax.Array  # of all agents; a time limit does not count
    live: jax.Array  # bool [N], whose action it was: not yet at its own end
    next_live: jax.Array  # bool [N], who goes on


@struct.dataclass
class JointBatch:
    """What a loss may use, [minibatch, ...]."""

    observation: jax.Array
    action: jax.Array
    reward: jax.Array
    next_observation: jax.Array
    terminated: jax.Array
    live: jax.Array
    next_live: jax.Array
    mask: jax.Array  # float32, 1.0 where the sample counts
    target_params: Params


@struct.dataclass
class TrainState:
    """All that a run carries from one update to the next."""

    params: Params
    target_params: Params
    opt_state: Any
    environment: VectorState
    replay: replay.Replay
    epsilon: jax.Array
    key: jax.Array
    update: jax.Array  # int32, calls of `step` so far


def td_loss(double: bool) -> Loss:
    """Returns the loss: next actions are each agent's best by the target network, or double: by the online network."""

    def loss(params, apply, batch, hparams: HParams):
        value = apply(params, batch.observation).of(batch.action, batch.live)
        following = apply(batch.target_params, batch.next_observation)
        chooser = apply(params, batch.next_observation) if double else following
        next_value = following.of(chooser.best(), batch.next_live)
        error = td_target(batch.reward, batch.terminated, next_value, hparams.gamma) - value
        metrics = {"td_error": mean(jnp.abs(error), batch.mask), "q": mean(value, batch.mask)}
        return mean(losses.squared(error), batch.mask), metrics

    return loss


def build(env: Env, config: Config, loss: Loss, network) -> Algorithm:
    """Returns the algorithm that learns the team's value by a network of mixing.py. `check` has seen the environment."""
    vector, legal = vectorize(env, config.num_envs), env.layout is not None and env.layout.legal > 0
    steps_per_update = config.num_envs * config.num_steps
    warmup = -(-config.warmup_steps // config.num_envs)  # steps of every environment
    steps_in_init = warmup * config.num_envs

    def init(key, hparams):
        key_environment, key_params, key_train = jax.random.split(key, 3)
        key_warmup, key_train = jax.random.split(key_train)
        environment = vector.reset(key_environment)
        params = network.init(key_params, environment.observation.reshape(-1, env.agents, *env.observation_shape))

        def random_policy(_, observation):
            logits = jnp.zeros((vector.num_rows, env.action.n))
            return Categorical(only_legal(logits, parts(env.layout, observation)[2]) if legal else logits), None

        environment, transitions, _ = rollout(vector, random_policy, params, environment, key_warmup, warmup)
        return TrainState(
            params=params,
            target_params=params,
            opt_state=adam(0.0, hparams.max_grad_norm).init(params),
            environment=environment,
            replay=replay.start(joint(env, transitions, environment, config.team_reward), config.buffer_size),
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
            return epsilon_greedy(network.own(params, observation), epsilon, legal), None

        environment, transitions, episodes = rollout(
            vector, policy, state.params, state.environment, key_rollout, config.num_steps
        )
        memory = replay.add(state.replay, joint(env, transitions, environment, config.team_reward))
        samples = replay.sample(memory, key_sample, (config.num_updates, config.batch_size))

        learning_rate = annealed(hparams.learning_rate, hparams.anneal, taken, hparams.total_steps)
        optimizer = adam(learning_rate, hparams.max_grad_norm)
        made = state.update % config.target_interval * config.num_updates  # but for whole intervals: no int32 has all

        def update(carry, sample_and_index):
            params, target_params, opt_state = carry
            sample, index = sample_and_index
            batch = JointBatch(**vars(sample), mask=jnp.ones(config.batch_size), target_params=target_params)
            params, opt_state, metrics = gradient_step(
                optimizer, loss, params, opt_state, network.apply, batch, hparams
            )
            due = (made + index + 1) % config.target_interval == 0
            return (params, moved(target_params, params, hparams.target_rate, due), opt_state), metrics

        carry = (state.params, state.target_params, state.opt_state)
        (params, target_params, opt_state), metrics = lax.scan(update, carry, (samples, jnp.arange(config.num_updates)))
        state = TrainState(params, target_params, opt_state, environment, memory, epsilon, key, state.update + 1)
        return state, {**mean_in_turn(metrics), **episode_metrics(episodes), "epsilon": epsilon}

    def policy(state, observation):
        return epsilon_greedy(network.own(state.params, observation), state.epsilon, legal)

    def act(state, key, observation, explore: bool):
        if explore:
            return policy(state, observation).sample(key)
        return Categorical(network.own(state.params, observation)).mode()

    return Algorithm(init, step, act, steps_per_update, steps_in_init, policy)


def joint(env: Env, transitions, after: VectorState, team_reward: str) -> Joint:
    """Returns what a rollout saw, [T, B N, ...], as joint transitions [T B, N, ...]. after: the state that it ended in."""

    def teams(x):
        return x.reshape(-1, env.agents, *x.shape[2:])

    terminated, truncated = teams(transitions.terminated), teams(transitions.truncated)
    following = jnp.concatenate([transitions.live[1:], ~after.gone.reshape(1, -1)])
    ended = jnp.all(terminated | truncated, axis=1, keepdims=True)
    return Joint(
        observation=teams(transitions.observation),
        action=teams(transitions.action),
        reward=TEAM_REWARDS[team_reward](teams(transitions.reward), axis=1),
        next_observation=teams(transitions.next_observation),
        terminated=jnp.all(terminated, axis=1),
        live=teams(transitions.live),
        next_live=jnp.where(ended, teams(transitions.live) & ~terminated, teams(following)),
    )


def moved(target_params, params, rate, due):
    """Returns the target moved by `rate` towards the parameters where an update is due, else as it was."""
    return jax.tree.map(lambda t, p: jnp.where(due, rate * p + (1.0 - rate) * t, t), target_params, params)


def check(env: Env, config: Config, name: str) -> None:
    """Raises ValueError for an environment that the algorithm of that name cannot learn on, and for settings that cannot be."""
    if env.agents is None:
        raise ValueError(f"{name} is for a team of agents, and {env.name} has one")
    require_discrete(env, name)
    require_simultaneous(env, name)
    sizes = ("num_envs", "num_steps", "num_updates", "batch_size", "buffer_size", "warmup_steps", "target_interval")
    require(config, *sizes, "hidden_sizes")
    require_buffer(config)
    if config.team_reward not in TEAM_REWARDS:
        raise ValueError(f"team_reward must be one of {', '.join(TEAM_REWARDS)}, not {config.team_reward!r}")
    if config.target_interval * config.num_updates >= 2**31:
        raise ValueError("target_interval * num_updates must be less than 2^31: updates are counted in 32 bits")
