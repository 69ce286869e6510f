"""Neural fictitious self-play (Heinrich and Silver 2016, arXiv 1603.01121).

    beta: epsilon-greedy in Q, which is learned by Q-learning from all that was played: a best response to the others' average
    Pi:   fitted to the actions of beta alone, -log Pi(a|I) over a reservoir that holds each of them alike: the average of the betas
    in an episode a player acts by beta with probability eta, else by Pi

What is learned is Pi: the best responses themselves go round and round. One step: a rollout, in which each player draws at the
episode's beginning which of the two it follows; then updates of Q on replayed decisions and of Pi on the reservoir. A decision's
successor is the same player's next one.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from algos.agents import reservoir
from algos.core import losses, replay
from algos.core.config import POSITIVE_SHARE, require, require_discrete
from algos.core.distributions import Categorical, epsilon_greedy
from algos.core.losses import mean
from algos.core.networks import QNetwork, actor_critic, check_layout
from algos.core.optimize import adam, env_steps, gradient_step, linear, mean_in_turn
from algos.core.returns import td_target
from algos.core.rollout import episode_metrics, rollout
from algos.core.types import Algorithm, Params
from envs import Env, VectorState, vectorize


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch."""

    num_envs: int = 64
    num_steps: int = 16  # in every environment, before the updates
    num_updates: int = 8  # gradient steps of either network, after the environment steps
    batch_size: int = 256
    buffer_size: int = 100_000  # decisions that Q learns from, the newest
    reservoir_size: int = 100_000  # decisions by best response that Pi learns from, of all times alike
    target_interval: int = 100  # gradient steps from one copy of Q to the next
    hidden_sizes: tuple[int, ...] = (64, 64)


@struct.dataclass
class HParams:
    """Traced numbers: changing one compiles nothing."""

    learning_rate: float = 1e-3  # of Q
    average_learning_rate: float = 1e-3  # of Pi
    total_steps: float = 500_000.0  # environment steps; an experiment sets its budget here
    gamma: float = 1.0
    anticipatory: float = 0.1  # eta
    epsilon_start: float = 0.1
    epsilon_end: float = 0.0  # at total_steps
    max_grad_norm: float = 10.0  # 0.0: no clipping
    RANGES = {
        "anticipatory": POSITIVE_SHARE,  # at 0 nothing would ever be averaged
        "average_learning_rate": (0.0, 3.4e38),
    }


@struct.dataclass
class Decisions:
    """What is kept of a decision, [n, ...]."""

    observation: jax.Array
    action: jax.Array
    reward: jax.Array  # until the player's next decision, added up
    next_observation: jax.Array  # of that
    terminated: jax.Array  # there is none


@struct.dataclass
class TrainState:
    """All that a run carries from one update to the next."""

    params: Params  # of Q and of Pi
    target_params: Params  # of Q
    opt_state: Any  # of both
    environment: VectorState
    replay: replay.Replay
    reservoir: reservoir.Reservoir
    key: jax.Array
    update: jax.Array  # int32, updates made so far


def anticipating(env: Env) -> Env:
    """Returns the environment with a number from 0 to 1 before each agent's observation, drawn at the episode's beginning: below
    eta the agent acts by best response."""

    def told(draw, observation):
        return jnp.concatenate([draw[:, None], observation], axis=1)

    def reset(key):
        key_draw, key_reset = jax.random.split(key)
        state, observation = env.reset(key_reset)
        draw = jax.random.uniform(key_draw, (env.agents,))
        return (draw, state), told(draw, observation)

    def step(key, state, action):
        draw, state = state
        state, reached = env.step(key, state, action)
        return (draw, state), reached.replace(observation=told(draw, reached.observation))

    shape = (1 + env.observation_shape[0],)
    return env._replace(reset=reset, step=step, observation_shape=shape, acting=lambda state: env.acting(state[1]))


def q_loss(params, apply, batch, hparams):
    """Returns the mean squared error of Q(s, a) to r + gamma max_a' Q_target(s', a'), a scalar, and no metrics."""
    q = losses.action_value(apply(params, batch.observation), batch.action)
    next_value = jnp.max(apply(batch.target_params, batch.next_observation), axis=-1)
    error = td_target(batch.reward, batch.terminated, next_value, hparams.gamma * jnp.ones_like(batch.reward)) - q
    return mean(losses.squared(error), jnp.ones_like(error)), {}


def average_loss(params, apply, batch, hparams):
    """Returns the mean of -log Pi(a|s) over what the reservoir gave, a scalar, and no metrics."""
    observation, action = batch
    return mean(-apply(params, observation)[0].log_prob(action), jnp.ones(action.shape)), {}


def make(env: Env, config: Config = Config()) -> Algorithm:
    """Returns NFSP on `env`. Raises ValueError where agents do not take turns, and for settings that cannot be."""
    _check(env, config)
    average_network = actor_critic(env, config.hidden_sizes)
    q_network = QNetwork(env.observation_shape, env.action.n, config.hidden_sizes, False, env.layout)
    vector = vectorize(anticipating(env), config.num_envs)
    steps_per_update = config.num_envs * config.num_steps

    def init(key, hparams):
        key_environment, key_params, key_train = jax.random.split(key, 3)
        key_q, key_average = jax.random.split(key_params)
        environment = vector.reset(key_environment)
        observation = environment.observation[:, 1:]
        params = {"q": q_network.init(key_q, observation), "average": average_network.init(key_average, observation)}
        optimizer, one = adam(0.0, hparams.max_grad_norm), observation[0]
        number, action = jnp.zeros(()), jnp.int32(0)
        return TrainState(
            params=params,
            target_params=params["q"],
            opt_state={name: optimizer.init(params[name]) for name in params},
            environment=environment,
            replay=replay.empty(Decisions(one, action, number, one, jnp.bool_(False)), config.buffer_size),
            reservoir=reservoir.empty((one, action), config.reservoir_size),
            key=key_train,
            update=jnp.int32(0),
        )

    def step(state, hparams):
        key, key_rollout, key_reservoir, key_update = jax.random.split(state.key, 4)
        epsilon = exploration(state, hparams)

        def mixed(params, observation):
            best = epsilon_greedy(q_network.apply(params["q"], observation[..., 1:]), epsilon, True)
            average = average_network.apply(params["average"], observation[..., 1:])[0]
            by_best = observation[..., :1] < hparams.anticipatory
            return Categorical(jnp.where(by_best, best.logits, average.log_probs())), None

        environment, transitions, episodes = rollout(
            vector, mixed, state.params, state.environment, key_rollout, config.num_steps
        )
        drawn, decisions = decided(transitions, env.agents, env.waits)
        memory = replay.add(state.replay, decisions)
        chosen = (decisions.observation, decisions.action)
        kept = reservoir.add(state.reservoir, key_reservoir, chosen, drawn < hparams.anticipatory)
        state = state.replace(environment=environment, replay=memory, reservoir=kept, key=key)
        state, metrics = learn(state, key_update, hparams)
        state = state.replace(update=state.update + 1)
        return state, {**metrics, **episode_metrics(episodes), "epsilon": epsilon}

    def exploration(state, hparams):
        taken = env_steps(state.update, steps_per_update)
        return linear(hparams.epsilon_start, hparams.epsilon_end, taken, hparams.total_steps).astype(jnp.float32)

    def learn(state, key, hparams):
        """Returns (state, metrics) after the gradient steps of both networks."""
        optimizer = adam(hparams.learning_rate, hparams.max_grad_norm)
        average_optimizer = adam(hparams.average_learning_rate, hparams.max_grad_norm)
        made = state.update % config.target_interval * config.num_updates

        def update(carry, index):
            params, target, opt = carry
            key_q, key_average = jax.random.split(jax.random.fold_in(key, index))
            batch = Target(**vars(replay.sample(state.replay, key_q, (config.batch_size,))), target_params=target)
            q, opt_q, found = gradient_step(optimizer, q_loss, params["q"], opt["q"], q_network.apply, batch, hparams)
            sample = reservoir.sample(state.reservoir, key_average, (config.batch_size,))
            average, opt_average, fitted = gradient_step(
                average_optimizer,
                average_loss,
                params["average"],
                opt["average"],
                average_network.apply,
                sample,
                hparams,
            )
            due = (made + index + 1) % config.target_interval == 0
            target = jax.tree.map(lambda old, new: jnp.where(due, new, old), target, q)
            metrics = {"loss": found["loss"], "average_loss": fitted["loss"]}
            return ({"q": q, "average": average}, target, {"q": opt_q, "average": opt_average}), metrics

        carry = (state.params, state.target_params, state.opt_state)
        (params, target, opt), metrics = lax.scan(update, carry, jnp.arange(config.num_updates))
        return state.replace(params=params, target_params=target, opt_state=opt), mean_in_turn(metrics)

    def policy(state, observation):
        return epsilon_greedy(q_network.apply(state.params["q"], observation), 0.0, True)

    def average(state, observation):
        return average_network.apply(state.params["average"], observation)[0]

    def act(state, key, observation, explore: bool):
        chosen = average(state, observation)
        return chosen.sample(key) if explore else chosen.mode()

    return Algorithm(init, step, act, steps_per_update, policy=policy, average=average)


@struct.dataclass
class Target(Decisions):
    """A minibatch of decisions, and what their successors are valued by."""

    target_params: Params


def decided(transitions, agents: int, waits: int):
    """Returns (the mover's draw [n], its decisions [n, ...]) of a rollout of turns [T, B N], but for the last `waits` steps: the
    successors of only some of those are in it, and which ones depends on what was done."""
    acting, ended = transitions.acting, transitions.terminated | transitions.truncated

    def backwards(following, row):
        reward, next_observation, acting, ended, terminated, observation = row
        rewards, successor, over = following
        rewards = reward + jnp.where(ended, 0.0, rewards)
        successor = jnp.where(ended[:, None], next_observation, successor)
        over = jnp.where(ended, terminated, over)
        onwards = (
            jnp.where(acting, 0.0, rewards), jnp.where(acting[:, None], observation, successor), over & ~acting,
        )  # fmt: skip
        return onwards, (rewards, successor, over)

    rows = (
        transitions.reward, transitions.next_observation, acting, ended, transitions.terminated, transitions.observation,
    )  # fmt: skip
    last = transitions.next_observation[-1]
    first = (jnp.zeros(last.shape[0]), last, jnp.zeros(last.shape[0], bool))
    _, (reward, successor, over) = lax.scan(backwards, first, rows, reverse=True)
    early = acting.shape[0] - waits
    mover = jnp.argmax(acting.reshape(acting.shape[0], -1, agents), axis=-1)

    def of_mover(x):
        grouped = x.reshape(x.shape[0], -1, agents, *x.shape[2:])
        place = mover.reshape(*mover.shape, 1, *(1,) * (x.ndim - 2))
        return jnp.take_along_axis(grouped, place, axis=2)[:early, :, 0].reshape(-1, *x.shape[2:])

    observation = of_mover(transitions.observation)
    return observation[:, 0], Decisions(
        observation=observation[:, 1:],
        action=of_mover(transitions.action),
        reward=of_mover(reward),
        next_observation=of_mover(successor)[:, 1:],
        terminated=of_mover(over),
    )


def _check(env: Env, config: Config) -> None:
    require_discrete(env, "nfsp")
    if env.acting is None or env.layout is None or env.layout.legal == 0:
        raise ValueError(f"nfsp is for games in which players take turns and see what is legal; {env.name} is none")
    check_layout(env)
    if env.game is None and int(jnp.sum(env.acting(env.reset(jax.random.key(0))[0]))) > 1:
        raise ValueError(f"nfsp is for games in which one player moves at a time; in {env.name} several do")
    sizes = ("num_envs", "num_steps", "num_updates", "batch_size", "buffer_size", "reservoir_size", "target_interval")
    require(config, *sizes, "hidden_sizes")
    if config.num_steps <= env.waits:
        raise ValueError(
            f"num_steps must be above {env.waits} on {env.name}: agents wait so long for their next decision"
        )
    if config.num_envs * config.num_steps > config.buffer_size:
        raise ValueError(f"buffer_size={config.buffer_size} must be num_envs * num_steps or more")
