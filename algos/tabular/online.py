"""A method that learns from each step as it is taken, as an `Algorithm`: control by epsilon-greedy actions on what is
learned, or prediction of a policy that is given.

One environment, as in Sutton and Barto (2018): a table is changed by every step, and the next action already knows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax

from algos.core.distributions import Categorical
from algos.core.optimize import annealed, env_steps
from algos.core.rollout import episode_metrics
from algos.core.types import Algorithm
from algos.tabular.experience import Running, Step, draw, epsilon_greedy, state_of, walk_of
from envs import Env
from envs.mdp.sampling import drawn, thresholds
from envs.vector import Episode


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch, of a method that has nothing else that does."""

    num_steps: int = 1000  # of the environment, in one call of `step`; every one of them is learned from


@struct.dataclass
class ControlHParams:
    """Traced numbers of a method that learns Q step by step: changing one compiles nothing."""

    learning_rate: float = 0.1
    anneal: float = 0.0  # the share of the learning rate that is gone at total_steps
    total_steps: float = 100_000.0  # environment steps; an experiment sets its budget here
    gamma: float = 0.99
    epsilon: float = 0.1
    initial_value: float = 0.0  # of every action: above what can be had, it makes a greedy policy explore


@struct.dataclass
class PredictionHParams:
    """Traced numbers of a method that learns V step by step: changing one compiles nothing."""

    learning_rate: float = 0.1
    anneal: float = 0.0  # the share of the learning rate that is gone at total_steps
    total_steps: float = 100_000.0  # environment steps; an experiment sets its budget here
    gamma: float = 1.0
    initial_value: float = 0.0


@struct.dataclass
class TrainState:
    """All that a run carries from one update to the next."""

    params: Any  # the table: Q [S, A] or V [S]
    memory: Any  # what a method keeps beside it: traces, steps not yet learned from, a model; () for nothing
    environment: Running
    epsilon: Any  # how often any action is taken; None where a policy is given
    key: jax.Array
    update: jax.Array  # int32, calls of `step` so far


class Method(NamedTuple):
    """How a table is learned from steps."""

    start: Callable  # (hparams) -> (params, memory)
    learn: Callable  # (params, memory, step, hparams) -> (params, memory)
    row: Callable = lambda params, state: params[state]  # (params, state) -> Q(state) [A] that an action is chosen by
    num_words: int = 0  # random words that one `learn` takes
    commits: bool = False  # the action that `learn` saw next is the one that is taken next


def table(num_states: int, num_actions: int, hparams):
    """Returns Q [S, A] before anything is learned."""
    return jnp.full((num_states, num_actions), jnp.asarray(hparams.initial_value, float))


def values(num_states: int, hparams):
    """Returns V [S] before anything is learned."""
    return jnp.full(num_states, jnp.asarray(hparams.initial_value, float))


def by_update(begin: Callable, update: Callable, **fields) -> Method:
    """Returns the method that keeps a table alone: begin(hparams), changed at each step by update(table, step, hparams)."""

    def start(hparams):
        return begin(hparams), ()

    def learn(params, memory, step, hparams):
        return update(params, step, hparams), memory

    return Method(start, learn, **fields)


def control(env: Env, name: str, method: Method, num_steps: int) -> Algorithm:
    """Returns the method that acts by what it learns, epsilon-greedily, `num_steps` steps an update."""

    def behave(params, state, word, epsilon):
        return epsilon_greedy(method.row(params, state), epsilon, word)

    def act(state, key, observation, explore: bool):
        place = state_of(observation)
        if explore:
            return behave(state.params, place, jax.random.bits(key), state.epsilon)
        return jnp.argmax(method.row(state.params, place)).astype(jnp.int32)

    def policy(state, observation):
        q = method.row(state.params, state_of(observation))
        best = q == jnp.max(q)
        return Categorical(jnp.log((1.0 - state.epsilon) * best / jnp.sum(best) + state.epsilon / q.size))

    def value(state, observation):
        return jnp.max(method.row(state.params, state_of(observation)))

    algorithm = _algorithm(env, name, method, num_steps, behave, act)
    return algorithm._replace(policy=policy, value=value)


def prediction(env: Env, name: str, method: Method, num_steps: int, policy) -> Algorithm:
    """Returns the method that learns the values of a policy [S, A], which is followed; None: any action, all alike."""
    model, _ = walk_of(env, name)
    policy = checked_policy(policy, model)
    limits = thresholds(policy)

    def behave(params, state, word, epsilon):
        return drawn((word >> 8).astype(jnp.float32) * 2.0**-24, jnp.asarray(limits)[state])

    def act(state, key, observation, explore: bool):
        place = state_of(observation)
        if explore:
            return behave(state.params, place, jax.random.bits(key), None)
        return jnp.asarray(np.argmax(policy, axis=1), jnp.int32)[place]

    def given(state, observation):
        return Categorical(jnp.log(jnp.asarray(policy))[state_of(observation)])

    def value(state, observation):
        return state.params[state_of(observation)]

    return _algorithm(env, name, method, num_steps, behave, act)._replace(policy=given, value=value)


def checked_policy(policy, model) -> np.ndarray:
    """Returns the policy [S, A]; None: any action, all alike. Raises ValueError for what is none."""
    shape = (model.num_states, model.num_actions)
    if policy is None:
        return np.full(shape, 1.0 / shape[1])
    policy = np.asarray(policy, np.float64)
    if policy.shape != shape or (policy < 0.0).any() or not np.allclose(policy.sum(1), 1.0):
        raise ValueError(f"a policy is {list(shape)}, each row probabilities that sum to 1, not {list(policy.shape)}")
    return policy


def _algorithm(env: Env, name: str, method: Method, num_steps: int, behave: Callable, act: Callable) -> Algorithm:
    """Returns the algorithm whose actions are `behave(params, state, word, epsilon)`."""
    _, walk = walk_of(env, name)

    def init(key, hparams):
        key_environment, key_action, key_train = jax.random.split(key, 3)
        params, memory = method.start(hparams)
        epsilon = getattr(hparams, "epsilon", None)
        epsilon = None if epsilon is None else jnp.asarray(epsilon, jnp.float32)
        first = walk.start(jax.random.uniform(jax.random.fold_in(key_environment, 0)))  # as `envs.vectorize` begins
        action = behave(params, first.index, jax.random.bits(key_action), epsilon)
        running = Running(first, action, jnp.float32(0.0))
        return TrainState(params, memory, running, epsilon, key_train, jnp.int32(0))

    def step(state, hparams):
        key, key_draw = jax.random.split(state.key)
        if state.epsilon is not None:
            state = state.replace(epsilon=jnp.asarray(hparams.epsilon, jnp.float32))
        if hasattr(hparams, "anneal"):
            taken = env_steps(state.update, num_steps)
            rate = annealed(hparams.learning_rate, hparams.anneal, taken, hparams.total_steps)
            hparams = hparams.replace(learning_rate=rate)

        def one_step(carry, draws):
            return _one_step(walk, method, behave, carry, draws, state.epsilon, hparams)

        carry = (state.params, state.memory, state.environment)
        carry, episodes = lax.scan(one_step, carry, draw(walk, key_draw, num_steps, method.num_words))
        params, memory, running = carry
        change = jnp.max(jnp.abs(params - state.params))
        after = state.replace(params=params, memory=memory, environment=running, key=key, update=state.update + 1)
        return after, {"value_change": change, **episode_metrics(episodes)}

    return Algorithm(init, step, act, num_steps)


def _one_step(walk, method: Method, behave: Callable, carry, draws, epsilon, hparams):
    """Returns (carry, episode) after one step of the environment and what is learned from it."""
    params, memory, running = carry
    reached, reward, terminated, truncated = walk.step(draws.outcome, running.state, running.action)
    next_action = behave(params, reached.index, draws.next_action, epsilon)
    step = Step(
        running.state.index, running.action, reward, reached.index, next_action, terminated, truncated, draws.words
    )
    params, memory = method.learn(params, memory, step, hparams)

    ended, episode_return = terminated | truncated, running.episode_return + reward
    state = jax.tree.map(lambda begin, go_on: jnp.where(ended, begin, go_on), draws.start, reached)
    action = behave(params, state.index, draws.action, epsilon)
    action = jnp.where(ended, action, next_action) if method.commits else action
    running = Running(state, action, jnp.where(ended, 0.0, episode_return))
    return (params, memory, running), Episode(ended, episode_return, reached.time)
