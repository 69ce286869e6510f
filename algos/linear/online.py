"""A method that learns a weight for each feature from each step as it is taken, as an `Algorithm`.

Prediction is of a finite model, so that what is learned can be held against the exact values: it runs as a table's does, and
only the values are w . x(s). Control is of any environment with discrete actions, one episode at a time as in Sutton and
Barto (2018): Q(s, a) = w_a . x(s), and the next action is the one that was learned with.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax

from algos.core.config import require, require_discrete
from algos.core.distributions import Categorical
from algos.core.optimize import annealed, env_steps
from algos.core.rollout import episode_metrics, faulty
from algos.core.types import Algorithm
from algos.linear import named
from algos.linear.features import Active, Features, value
from algos.tabular import online
from algos.tabular.experience import epsilon_greedy, importance_ratios
from algos.tabular.online import Method, TrainState, checked_policy
from envs import Env, VectorState, vectorize
from envs.mdp import as_env


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch, of prediction on-policy."""

    features: str = ""  # as `algos.linear.named` has them; "": what is observed
    begin: tuple[float, ...] = ()  # the weights before the first step; (): each is `initial_value`
    num_steps: int = 1000  # of the environment, in one call of `step`; every one of them is learned from


@dataclass(frozen=True)
class OffPolicyConfig:
    """What changes a shape, a trip count or a branch, of prediction that may be off-policy."""

    features: str = ""  # as `algos.linear.named` has them; "": what is observed
    begin: tuple[float, ...] = ()  # the weights before the first step; (): each is `initial_value`
    target: tuple[
        float, ...
    ] = ()  # how likely each action is, in every state, of the policy learned about; (): all alike
    behaviour: tuple[float, ...] = ()  # of the policy followed; (): the same
    num_steps: int = 1000  # of the environment, in one call of `step`; every one of them is learned from


@struct.dataclass
class Step:
    """One transition by its features, x A R x' A'. x' counts nothing where `terminated`, and all where `truncated`."""

    x: Active
    action: Any  # int32
    reward: Any
    next_x: Active  # of the state reached, before any reset
    next_action: Any  # int32, drawn there before anything is learned from this step
    terminated: Any
    truncated: Any
    ratio: Any  # pi(A|S) / b(A|S), of the action that this step took


@struct.dataclass
class Running:
    """The episode that runs, what is seen of it, and the action that is taken next."""

    environment: VectorState  # [1, ...]
    x: Active
    action: jax.Array  # int32


def weights(size: int, hparams, begin: tuple[float, ...] = ()):
    """Returns w [d] before anything is learned."""
    return jnp.asarray(begin, float) if begin else jnp.full(size, jnp.asarray(hparams.initial_value, float))


def with_second(features: Features, config) -> Callable:
    """Returns how a method begins that keeps another number for each feature, 0 at first: (hparams) -> (w [d], zeros [d])."""

    def start(hparams):
        w = weights(features.size, hparams, config.begin)
        return w, jnp.zeros_like(w)

    return start


def on_states(method: Method, rows: Active, ratios=None) -> Method:
    """Returns a method of features as one of states, whose features are rows [S, k]. ratios: pi / b [S, A]; None: 1."""

    def of(state):
        return jax.tree.map(lambda x: jnp.asarray(x)[state], rows)

    def learn(w, memory, step, hparams):
        ratio = 1.0 if ratios is None else jnp.asarray(ratios)[step.state, step.action]
        parts = (step.reward, of(step.next_state), step.next_action, step.terminated, step.truncated)
        return method.learn(w, memory, Step(of(step.state), step.action, *parts, ratio), hparams)

    return Method(method.start, learn, row=lambda w, state: value(w, of(state)))


def of_features(make: Callable) -> Callable:
    """Returns `make_method`, as `prediction` takes it, of make(features) -> Method that learns from `Step`s."""
    return lambda features, rows, ratios: on_states(make(features), rows, ratios)


def prediction(
    env: Env, name: str, make_method: Callable, config, chosen=None, policy=None, behaviour=None
) -> Algorithm:
    """Returns the method that learns the values of a policy [S, A], None: as `config` says. behaviour: the policy [S, A]
    that is followed. make_method: (features, rows [S, k], ratios [S, A] or None) -> Method of a table's steps. Raises
    ValueError for what has no finite model, and a behaviour that never does what is asked of it."""
    require(config, "num_steps")
    require_discrete(env, name)
    if env.model is None:
        raise ValueError(f"{name} predicts the values of finite models, as envs.mdp has them; {env.name} is none")
    chosen = chosen or named.features_of(env, config.features)
    target = _policy(env.model, policy, getattr(config, "target", ()))
    followed, ratios = target, None
    if behaviour is not None or getattr(config, "behaviour", ()):
        followed = _policy(env.model, behaviour, getattr(config, "behaviour", ()))
        ratios = importance_ratios(target, followed)
    begin = getattr(config, "begin", ())
    if begin and len(begin) != chosen.size:
        raise ValueError(f"begin gives {len(begin)} weights, and there are {chosen.size} features")
    method = make_method(chosen, named.of_states(env, chosen), ratios)
    one_hot = as_env(env.model, env.name, env.max_steps)
    place = named.state_of(env)
    algorithm = online.prediction(one_hot, name, method, config.num_steps, followed)

    def act(state, key, observation, explore: bool):
        if explore:
            return algorithm.act(state, key, one_hot.observe(place(observation)), True)
        return jnp.asarray(np.argmax(target, axis=1), jnp.int32)[place(observation)]

    def given(state, observation):
        return Categorical(jnp.log(jnp.asarray(target))[place(observation)])

    def learned(state, observation):
        return value(state.params, chosen.of(observation))

    return algorithm._replace(act=act, policy=given, value=learned)


def control(env: Env, name: str, method: Method, num_steps: int, chosen: Features) -> Algorithm:
    """Returns the method that acts by what it learns, epsilon-greedily, `num_steps` steps an update; its weights are [A, d]."""
    vector = vectorize(env, 1)

    def behave(w, x, word, epsilon):
        return epsilon_greedy(value(w, x), epsilon, word)

    def init(key, hparams):
        key_environment, key_action, key_train = jax.random.split(key, 3)
        w, memory = method.start(hparams)
        environment = vector.reset(key_environment)
        x, epsilon = chosen.of(environment.observation[0]), jnp.asarray(hparams.epsilon, jnp.float32)
        running = Running(environment, x, behave(w, x, jax.random.bits(key_action), epsilon))
        return TrainState(w, memory, running, epsilon, key_train, jnp.int32(0))

    def step(state, hparams):
        key, key_draw, key_words = jax.random.split(state.key, 3)
        epsilon = jnp.asarray(hparams.epsilon, jnp.float32)
        taken = env_steps(state.update, num_steps)
        rate = annealed(hparams.learning_rate, hparams.anneal, taken, hparams.total_steps)
        now = hparams.replace(learning_rate=rate)

        def one_step(carry, randomness):
            return _one_step(vector, method, chosen, behave, carry, randomness, epsilon, now)

        carry = (state.params, state.memory, state.environment)
        randomness = vector.draw(key_draw, num_steps), jax.random.bits(key_words, (num_steps, 2))
        (w, memory, running), episodes = lax.scan(one_step, carry, randomness)
        change = jnp.max(jnp.abs(w - state.params))
        after = TrainState(w, memory, running, epsilon, key, state.update + 1)
        return after, {"value_change": change, **episode_metrics(episodes)}

    def act(state, key, observation, explore: bool):
        q = value(state.params, chosen.of(observation))
        return epsilon_greedy(q, state.epsilon, jax.random.bits(key)) if explore else jnp.argmax(q).astype(jnp.int32)

    def policy(state, observation):
        q = value(state.params, chosen.of(observation))
        best = q == jnp.max(q)
        return Categorical(jnp.log((1.0 - state.epsilon) * best / jnp.sum(best) + state.epsilon / q.size))

    def worth(state, observation):
        return jnp.max(value(state.params, chosen.of(observation)))

    return Algorithm(init, step, act, num_steps, policy=policy, value=worth)


def _one_step(vector, method: Method, chosen: Features, behave: Callable, carry, randomness, epsilon, hparams):
    """Returns (carry, episode) after one step of the environment and what is learned from it."""
    w, memory, running = carry
    draws, words = randomness
    environment, reached, episode = vector.step(running.environment, draws, running.action[None])
    reached, episode = jax.tree.map(lambda x: x[0], (reached, episode))
    next_x = chosen.of(reached.observation)
    next_action = behave(w, next_x, words[0], epsilon)
    ends = reached.terminated, reached.truncated
    step = Step(running.x, running.action, reached.reward, next_x, next_action, *ends, 1.0)
    w, memory = method.learn(w, memory, step, hparams)

    x = chosen.of(environment.observation[0])
    action = jnp.where(episode.ended, behave(w, x, words[1], epsilon), next_action)
    episode = episode.replace(fault=faulty(running.action, reached.reward, reached.observation))
    return (w, memory, Running(environment, x, action)), jax.tree.map(lambda x: x[None], episode)


def _policy(model, policy, alike: tuple[float, ...]) -> np.ndarray:
    """Returns the policy [S, A], or that which takes the same chances in every state. Raises ValueError for what is none."""
    if policy is None and alike:
        policy = np.broadcast_to(np.asarray(alike, np.float64), (model.num_states, len(alike)))
    return checked_policy(policy, model)
