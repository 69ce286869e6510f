"""A loss on one of the models: its network, made to give any policy, values and action values, and the batches.

A network cannot be asked to hold a table, so what it gives for a state is moved by a constant that stands in the
state's observation behind the one-hot vector: policy and values then are those wanted, the gradient the network's own.
"""

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from algos.core.distributions import Categorical, Quantiles
from algos.core.networks import QNetwork, actor_critic
from algos.core.returns import gae, reward_to_go
from algos.core.types import Batch, ReplayBatch
from algos.pgql import Batches
from algos.tabular.exact_episodes import Episodes
from envs.mdp.environment import as_env
from experiments.lab.examination.case import Case, cast, moved
from experiments.lab.examination.exact.models import ACTIONS, STATES, STEPS, Model, models
from experiments.lab.outside.user_loss import UserLoss

HIDDEN = (8,)
advantages = jax.jit(gae)
returns_to_go = jax.jit(reward_to_go)
EYE = np.eye(STATES)


class NoTable(ValueError):
    """The network gives no categorical policy with a value, nor action values: nothing can be enumerated."""


@dataclass(frozen=True, eq=False)
class Network:
    """The loss's network on the models' states."""

    apply: Any  # (params, observation [..., STATES + tail]) -> its output, moved by the tail
    params: Any
    tail: int


class Tables(NamedTuple):
    """What the network is made to give in each state."""

    logits: np.ndarray | None = None  # [S, A]
    value: np.ndarray | None = None  # [S]
    q: np.ndarray | None = None  # [S, A]


def network_of(user: UserLoss) -> Network:
    """Returns the network in float64. Raises NoTable."""
    gives_q = user.algorithm == "dqn"
    return _made(gives_q) if user.network is None else _made(gives_q, user.network, user.module.Config)


@functools.cache
def _made(gives_q: bool, maker=None, config=None) -> Network:
    env = as_env(models()[0].mdp, "exact", STEPS)
    if maker is not None:
        network = maker(env, config(hidden_sizes=HIDDEN))
    else:
        network = QNetwork((STATES,), ACTIONS, HIDDEN) if gives_q else actor_critic(env, HIDDEN)
    params = moved(cast(jax.jit(network.init)(jax.random.key(0), jnp.eye(STATES)), np.float64), 0.3, seed=0)
    outputs = jax.eval_shape(network.apply, params, EYE)
    if gives_q:
        tail = int(np.prod(jax.tree.leaves(outputs)[0].shape[1:]))
    elif isinstance(outputs[0], Categorical):
        tail = ACTIONS + 1
    else:
        raise NoTable(f"its policy is {type(outputs[0]).__name__}: only discrete actions can be enumerated")
    return Network(jax.jit(_moving(network.apply)), params, tail)


def _moving(apply):
    def moved_by_tail(params, observation):
        output, tail = apply(params, observation[..., :STATES]), observation[..., STATES:]
        if isinstance(output, Quantiles):
            return Quantiles(output.values + tail.reshape(output.values.shape))
        if not isinstance(output, tuple):
            return output + tail
        policy, value, *others = output
        return policy.replace(logits=policy.logits + tail[..., :ACTIONS]), value + tail[..., ACTIONS], *others

    return moved_by_tail


def observed(network: Network, tables: Tables) -> np.ndarray:
    """Returns what is observed of each state, [S, STATES + tail], so that the network gives the tables."""
    plain = network.apply(network.params, np.concatenate([EYE, np.zeros((STATES, network.tail))], 1))
    if tables.q is not None:
        given = np.asarray(jax.tree.leaves(plain)[0]).reshape(STATES, ACTIONS, -1)
        wanted = tables.q[..., None]
    else:
        given = np.concatenate([plain[0].log_probs(), plain[1][:, None]], 1)
        wanted = np.concatenate([tables.logits, tables.value[:, None]], 1)
    return np.concatenate([EYE, (wanted - given).reshape(STATES, -1)], 1)


def case_on(user: UserLoss, model: Model, tables: Tables, hparams, target_params=None) -> Case:
    """Returns the case whose batch holds every episode of the model as often as it comes; DQN's, every pair's steps."""
    network, steps = network_of(user), model.pairs if user.algorithm == "dqn" else model.all
    batch = batch_of(user.algorithm, network, steps, observed(network, tables), hparams, target_params)
    return Case(user.function, network.apply, network.params, batch, hparams, network.params, user, model.name)


def batch_of(algorithm: str, network: Network, episodes: Episodes, observation, hparams, target_params=None):
    """Returns the batch [T, N] of the episodes, or in the layout of the algorithm; observation [S, ...]."""
    target_params = network.params if target_params is None else target_params
    steps = steps_of(algorithm, network, episodes, observation, hparams)
    return cast(arranged(algorithm, steps, hparams.gamma, target_params), np.float64)


def steps_of(algorithm: str, network: Network, episodes: Episodes, observation, hparams) -> Batch:
    """Returns the steps of the episodes as the algorithm's rollout gives them, [T, N]; not normalised."""
    _, state, action, reward, successor, terminated, counts = episodes
    log_prob, value, cut = np.zeros((STATES, ACTIONS)), np.zeros(STATES), np.zeros_like(terminated)
    if algorithm != "dqn":
        policy, value = network.apply(network.params, observation)[:2]
        log_prob, value = np.asarray(policy.log_probs()), np.asarray(value)
    if algorithm == "reinforce":
        returns = returns_to_go(reward, terminated, cut, hparams.gamma)
        advantage = returns - value[state]
    else:
        lambda_ = getattr(hparams, "gae_lambda", 1.0)
        advantage = advantages(reward, terminated, cut, value[state], value[successor], hparams.gamma, lambda_)
        returns = advantage + value[state]
    return Batch(
        observation=observation[state], action=action, policy=Categorical(log_prob[state]),
        log_prob=log_prob[state, action], value=value[state], reward=reward, next_observation=observation[successor],
        next_value=value[successor], terminated=terminated, truncated=cut, advantage=advantage, value_target=returns,
        mask=counts.astype(np.float64),
    )  # fmt: skip


def arranged(algorithm: str, steps: Batch, gamma, target_params) -> Any:
    """Returns the algorithm's batch made of the steps [T, N]."""
    if algorithm in ("reinforce", "a2c"):
        return steps
    samples = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), steps)
    if algorithm in ("ppo", "trpo"):
        return samples
    names = ("observation", "action", "reward", "next_observation", "terminated", "mask")
    stored = {name: getattr(samples, name) for name in names}
    replayed = ReplayBatch(**stored, discount=gamma * np.ones(samples.mask.shape), target_params=target_params)
    return Batches(steps, replayed) if algorithm == "pgql" else replayed
