"""What tabular methods learn from: steps of one episode at a time, by the index of the state, with the randomness of a
whole stretch drawn before it begins."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from algos.core.config import require_discrete
from envs import Env
from envs.mdp import MDP, State, Walk, walk


@struct.dataclass
class Step:
    """One transition, S A R S' A'. A table's row of S' counts nothing where `terminated`, and all where `truncated`."""

    state: jax.Array  # int32
    action: jax.Array  # int32
    reward: jax.Array
    next_state: jax.Array  # int32, the one reached, before any reset
    next_action: jax.Array  # int32, drawn there before anything is learned from this step
    terminated: jax.Array
    truncated: jax.Array
    words: jax.Array  # uint32 [words], random, for what a method decides by chance


@struct.dataclass
class Running:
    """The episode that runs, and the action that is taken next."""

    state: State
    action: jax.Array  # int32
    episode_return: jax.Array


@struct.dataclass
class Draws:
    """The randomness of T steps."""

    outcome: jax.Array  # [T], uniform
    start: State  # [T], where another episode would begin
    action: jax.Array  # uint32 [T]
    next_action: jax.Array  # uint32 [T]
    words: jax.Array  # uint32 [T, words]


def walk_of(env: Env, name: str) -> tuple[MDP, Walk]:
    """Returns the model of an environment and its episodes. Raises ValueError where a table cannot hold what is observed."""
    require_discrete(env, name)
    if env.model is None:
        raise ValueError(f"{name} learns a table: {env.name} is no finite model, as envs.mdp has them")
    if env.observation_shape != (env.model.num_states,):
        raise ValueError(f"{name} learns a table: {env.name} shows features of its states, not which state it is")
    return env.model, walk(env.model, env.max_steps)


def draw(walk: Walk, key, num_steps: int, num_words: int) -> Draws:
    """Returns the randomness of `num_steps` steps. What nobody reads is not drawn: the compiler drops it."""
    keys = jax.random.split(key, 5)
    return Draws(
        outcome=jax.random.uniform(keys[0], (num_steps,)),
        start=walk.start(jax.random.uniform(keys[1], (num_steps,))),
        action=jax.random.bits(keys[2], (num_steps,)),
        next_action=jax.random.bits(keys[3], (num_steps,)),
        words=jax.random.bits(keys[4], (num_steps, num_words)),
    )


def below(number, word) -> jax.Array:
    """Returns floor(number word / 2^32), uint32: an index below a uint32 number, all alike to number / 2^32, by a random word.

    The product has 64 bits, which jax has not by default: it is put together from those of the halves.
    """
    high, low, word_high, word_low = number >> 16, number & 0xFFFF, word >> 16, word & 0xFFFF
    middle = low * word_high + (low * word_low >> 16)
    other = high * word_low + (middle & 0xFFFF)
    return high * word_high + (middle >> 16) + (other >> 16)


def one_of(mask, word) -> jax.Array:
    """Returns the place, int32, of one of the true entries of `mask` [N], N up to 65,536, all alike to N / 65,536, by the low
    half of a random word."""
    order = np.tril(np.ones((mask.size, mask.size), bool))
    rank = jnp.sum(order & mask, axis=-1, dtype=jnp.uint32)
    return jnp.sum(rank <= (word & 0xFFFF) * rank[-1] >> 16, dtype=jnp.int32)


def greedy(q, word) -> jax.Array:
    """Returns a best action of q [A], int32; those that are equal are taken all alike."""
    return one_of(q == jnp.max(q), word)


def epsilon_greedy(q, epsilon, word) -> jax.Array:
    """Returns a best action of q [A], int32, or with probability epsilon any: the high half of a random word decides."""
    explores = (word >> 16).astype(jnp.float32) < epsilon * 2.0**16
    return one_of((q == jnp.max(q)) | explores, word)


def state_of(observation) -> jax.Array:
    """Returns the state, int32, that a one-hot observation [S] shows."""
    return jnp.argmax(observation).astype(jnp.int32)


def importance_ratios(policy: np.ndarray, behaviour: np.ndarray) -> np.ndarray:
    """Returns pi(a|s) / b(a|s), float32 [S, A]. Raises ValueError, naming a pair, where b never does what pi does."""
    unseen = np.argwhere((policy > 0.0) & (behaviour == 0.0))
    if unseen.size:
        state, action = unseen[0]
        raise ValueError(f"in state {state} the behaviour never takes action {action}, and the policy does")
    return (policy / np.where(behaviour > 0.0, behaviour, 1.0)).astype(np.float32)
