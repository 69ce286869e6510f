"""Fictitious self-play over stored policies: PPO learns to play against what it has been so far.

    pi_0, pi_1, ...                            the policy as it began, and after every `store_interval` updates
    each episode against opponents             who play it from beginning to end by one of them, drawn alike
    average(a|I) ~ sum_s x_s(I) pi_s(a|I)      x: own reach; what is learned

Fictitious play (Brown 1951; in extensive form Heinrich, Lanctot and Silver 2015) with whole policies kept in place of a network that is
fitted to their average, and a few steps of PPO, which begin where the last ones ended, in place of a best response.

One step: new episodes in all environments, in each of which one seat learns, the seats in turn; for the others `num_opponents` times
a policy is drawn, each for its share of the environments; then PPO's epochs on the rows of those who learn. The store has `store_size`
places: when there are more policies it is a reservoir, which keeps each of all times with the same probability. A run holds
store_size policies, and while it acts num_opponents for each player, whatever its length.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from algos import ppo
from algos.agents import reservoir
from algos.core import losses, on_policy, played
from algos.core.config import require, require_steps, require_two
from algos.core.networks import actor_critic
from algos.core.optimize import adam
from algos.core.rollout import episode_metrics
from algos.core.types import Algorithm, Loss, TrainState
from algos.ppo import loss
from envs import Env, vectorize

__all__ = ["Config", "HParams", "against", "loss", "make"]


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch."""

    num_envs: int = 256
    num_steps: int = 16  # which an episode must fit in: each rollout begins new ones
    num_epochs: int = 2
    num_minibatches: int = 4
    hidden_sizes: tuple[int, ...] = (64, 64)
    normalize_advantage: bool = False  # in each minibatch
    store_size: int = 64  # policies
    store_interval: int = 10  # updates from one that is stored to the next
    num_opponents: int = 8  # policies drawn for each seat and rollout


@struct.dataclass
class HParams(ppo.HParams):
    """PPO's; without a discount, in units of the payoff."""

    learning_rate: float = 1e-3
    gamma: float = 1.0
    entropy_coef: float = 0.05


@struct.dataclass
class State(TrainState):
    """PPO's, of the policy that learns, and those that it was. `plans` sums up all that were ever stored."""

    store: reservoir.Reservoir | None = None


def make(env: Env, config: Config = Config(), *, loss: Loss = loss, network=None) -> Algorithm:
    """Returns fictitious self-play on `env`. `network`: as PPO takes it. Raises ValueError where nobody plays against it and for
    settings that cannot be."""
    _check(env, config)
    network = network or actor_critic(env, config.hidden_sizes)
    vector = vectorize(env, config.num_envs)
    seat = np.arange(config.num_envs) % env.agents
    apply = against(network, env, seat, config.num_opponents)

    def added(plans, params):
        return played.add(env, plans, lambda observation: network.apply(params, observation)[0], 0.0)

    def init(key, hparams):
        first = on_policy.initialise(
            vector, network, adam(0.0, hparams.max_grad_norm, network=network), key, ppo.Config()
        )
        places = jax.tree.map(lambda x: jnp.zeros((config.store_size, *x.shape), x.dtype).at[0].set(x), first.params)
        state = State(**vars(first), store=reservoir.Reservoir(places, jnp.int32(1)))
        return state.replace(plans=added(state.plans, state.params))

    def step(state, hparams):
        key, key_begin, key_drawn, key_rollout, key_shuffle, key_store = jax.random.split(state.key, 6)
        drawn = reservoir.sample(state.store, key_drawn, (config.num_opponents, env.agents))
        params = {"learner": state.params, "opponents": drawn}
        _, batch, episodes = on_policy.collect(
            vector, apply, params, state.replace(plans=None), key_rollout, config.num_steps,
            hparams.gamma, hparams.gae_lambda,
        )  # fmt: skip
        batch = jax.tree.map(lambda x: of_seat(x, seat, env.agents), batch)
        explained = losses.explained_variance(batch.value, batch.value_target, batch.mask)
        params, opt_state, metrics = ppo.improve(env, config, loss, network, state, batch, key_shuffle, hparams)
        due = (state.update + 1) % config.store_interval == 0
        one = jax.tree.map(lambda x: x[None], params)
        state = state.replace(
            params=params,
            opt_state=opt_state,
            environment=vector.reset(key_begin),
            key=key,
            update=state.update + 1,
            plans=jax.tree.map(lambda new, old: jnp.where(due, new, old), added(state.plans, params), state.plans),
            store=reservoir.add(state.store, key_store, one, due[None]),
        )
        return state, {**metrics, **episode_metrics(episodes), "explained_variance": explained}

    return on_policy.algorithm(init, step, network, config.num_envs * config.num_steps)


def against(network, env: Env, seat: np.ndarray, num_opponents: int):
    """Returns apply(params, observation [B N, ...]) -> (policy, value) by whom each row is played: that of the agent `seat` [B] of
    each environment by params["learner"], the others by params["opponents"], leaves [num_opponents, N, ...], the first for the
    first of as many equal groups of environments. Values, and all of a whole rollout, are the learner's."""
    learns = (np.arange(env.agents) == seat[:, None]).reshape(-1)
    groups = (num_opponents, len(seat) // num_opponents, env.agents)

    def apply(params, observation):
        policy, value = network.apply(params["learner"], observation)
        if observation.ndim > 1 + len(env.observation_shape):
            return policy, value
        rows = jnp.moveaxis(observation.reshape(*groups, *observation.shape[1:]), 2, 1)
        acting = jax.vmap(jax.vmap(lambda params, rows: network.apply(params, rows)[0]))
        theirs = jax.tree.map(
            lambda x: jnp.moveaxis(x, 1, 2).reshape(-1, *x.shape[3:]), acting(params["opponents"], rows)
        )
        mixed = jax.tree.map(
            lambda own, other: jnp.where(learns.reshape(-1, *[1] * (own.ndim - 1)), own, other), policy, theirs
        )
        return mixed, value

    return apply


def of_seat(x: jax.Array, seat: np.ndarray, agents: int) -> jax.Array:
    """Returns the rows of the agent `seat` [B] of each environment, [T, B, ...], of all rows [T, B N, ...]."""
    return x.reshape(x.shape[0], len(seat), agents, *x.shape[2:])[:, np.arange(len(seat)), seat]


def _check(env: Env, config: Config) -> None:
    if env.agents is None or env.agents < 2:
        raise ValueError(f"fictitious_self_play is for several players, and {env.name} has one")
    if len(env.observation_shape) != 1:
        raise ValueError(f"fictitious_self_play takes observations that are vectors, and {env.name} shows images")
    require(config, "num_envs", "num_steps", "num_epochs", "num_minibatches", "hidden_sizes")
    require(config, "store_size", "store_interval", "num_opponents")
    require_steps(env, config.num_steps)
    if config.num_steps < env.max_steps:
        raise ValueError(f"num_steps must be {env.max_steps} or more on {env.name}: each rollout begins new episodes")
    if config.num_envs % (config.num_opponents * env.agents):
        times = config.num_opponents * env.agents
        raise ValueError(f"num_envs must be a multiple of num_opponents * agents = {times}, not {config.num_envs}")
    samples = config.num_envs * config.num_steps
    if samples % config.num_minibatches:
        raise ValueError(f"num_minibatches={config.num_minibatches} must divide num_envs * num_steps = {samples}")
    require_two(config, env, samples // config.num_minibatches)
