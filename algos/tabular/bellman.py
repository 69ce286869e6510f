"""Bellman's operators over a finite model (Sutton and Barto 2018, equations 3.12 to 3.20), and how far a value is from exact.

    Q(s, a) = r(s, a) + gamma sum_k onward[s, a, k] V(successor[s, a, k])
    (T V)(s) = max_a Q(s, a)             (T_pi V)(s) = sum_a pi(a|s) Q(s, a)

`onward` is the probability of an outcome with which the episode goes on, so that what follows an end is worth 0 whatever
state it names. Following a policy makes a model with one action: T_pi is T of that model, and one code serves both.
All but `tables` are pure functions of arrays, in the arrays' own precision.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax

from envs.mdp.model import MDP, expected_reward, goes_on

UNROLLED = 64  # outcomes of a state, of all its actions, that are written out one by one


@struct.dataclass
class Tables:
    """What the operators need of a model, in one precision."""

    successor: jax.Array  # int32 [S, A, K]
    onward: jax.Array  # [S, A, K]
    reward: jax.Array  # [S, A], expected
    least: jax.Array  # the least chance of a pair to go on,
    most: jax.Array  # and the greatest: gamma times it is the operators' modulus of contraction
    size: jax.Array  # the largest |reward|, which rounding is relative to


def tables(mdp: MDP, dtype=np.float64) -> Tables:
    """Returns the model's tables, NumPy arrays of that precision."""
    onward = goes_on(mdp) if mdp.terminated.any() else mdp.probability
    mass, rounding = onward.sum(-1), mdp.num_outcomes * np.finfo(np.float64).eps
    return Tables(
        successor=np.asarray(mdp.successor, np.int32),
        onward=np.asarray(onward, dtype),
        reward=expected_reward(mdp).astype(dtype),
        least=mass.min() * (1.0 - rounding),
        most=mass.max() * (1.0 + rounding),
        size=np.maximum(mdp.reward.max(), -mdp.reward.min()),
    )


def follow(tables: Tables, policy: jax.Array) -> Tables:
    """Returns the model with one action that a policy [S, A] makes: its outcomes are those of all actions, [S, 1, A K]."""
    states, mass = tables.reward.shape[0], policy.sum(1)  # 1 but for rounding
    return tables.replace(
        least=tables.least * mass.min(),
        most=tables.most * mass.max(),
        size=tables.size * mass.max(),
        successor=tables.successor.reshape(states, 1, -1),
        onward=(policy[:, :, None] * tables.onward).reshape(states, 1, -1),
        reward=(policy * tables.reward).sum(1, keepdims=True),
    )


def choose(tables: Tables, action: jax.Array) -> Tables:
    """Returns the model with one action that choosing an action in each state, int [S], makes, [S, 1, K]."""
    index = action[:, None]
    return tables.replace(
        successor=jnp.take_along_axis(tables.successor, index[:, :, None], 1),
        onward=jnp.take_along_axis(tables.onward, index[:, :, None], 1),
        reward=jnp.take_along_axis(tables.reward, index, 1),
    )


def action_value(tables: Tables, value: jax.Array, gamma) -> jax.Array:
    """Returns Q [S, A] of the values V [S] of the next states."""
    if tables.onward[0].size > UNROLLED:
        gamma = jnp.asarray(gamma, value.dtype)
        return tables.reward + gamma * (tables.onward * _at(value, tables.successor)).sum(-1)
    # whatever uses the columns next would make XLA compute them in a loop an outcome
    return lax.optimization_barrier(jnp.stack(_columns(tables, value, gamma))).T


def backup(tables: Tables, value: jax.Array, gamma) -> jax.Array:
    """Returns (T V)(s) = max_a Q(s, a), [S] (S&B eq. 3.19)."""
    if tables.onward[0].size > UNROLLED:
        return action_value(tables, value, gamma).max(1)
    return functools.reduce(jnp.maximum, _columns(tables, value, gamma))


def best(tables: Tables, value: jax.Array, gamma) -> tuple[jax.Array, jax.Array]:
    """Returns (T V [S], an action of the greatest Q in each state, int32 [S]): the first of equals. `greedy` has them all."""
    q = action_value(tables, value, gamma)
    return q.max(1), q.argmax(1).astype(jnp.int32)


def greedy(q: jax.Array) -> jax.Array:
    """Returns the policy [S, A] that takes the actions of the greatest Q, all alike. Equal is what differs by no more than
    half the digits of the precision: an index says nothing of which of two equals is the better. Digits are those of the
    largest |max_a Q|: an action that is forbidden by a penalty of -1e9, and never taken, says nothing of the others."""
    highest = q.max(1, keepdims=True)
    best = q >= highest - jnp.sqrt(jnp.finfo(q.dtype).eps) * jnp.max(jnp.abs(highest))
    return best / best.sum(1, keepdims=True).astype(q.dtype)


def rounding(tables: Tables, value: jax.Array) -> jax.Array:
    """Returns what a computed backup may be off by: K + 4 roundings, of the model's numbers to this precision, of K products
    and their sums, of gamma and of the difference to V, each relative to max |r| + max |V| (Higham 2002, section 3.1)."""
    largest = tables.size + jnp.max(jnp.abs(value))
    return (tables.onward.shape[-1] + 4) * jnp.finfo(value.dtype).eps * largest


def never_ends(tables: Tables) -> jax.Array:
    """Returns whether no pair ends the episode, a bool: then a constant added to all values is only discounted."""
    return tables.least > (1.0 - 1e-6) * tables.most


def spread(tables: Tables, change: jax.Array) -> jax.Array:
    """Returns how large a change of the values [S] is, a scalar: the largest, or where no pair ends its span (max - min)."""
    return jnp.where(never_ends(tables), jnp.max(change) - jnp.min(change), jnp.max(jnp.abs(change)))


def error_bound(tables: Tables, value: jax.Array, backed_up: jax.Array, gamma):
    """Returns (shift, bound): |backed_up + shift - V*| <= bound in every state, backed_up = T value as it was computed.

    With m <= TV - V <= M and a modulus of contraction between c and C (gamma times the chance to go on) V* lies between
    TV + m C / (1 - C) and TV + M C / (1 - C), c in place of C for m > 0 and M < 0 (MacQueen 1966, Porteus 1971); m and M
    are widened by what was rounded. Where no pair ends the episode, C = c, and V moves to the middle: then a change that is
    the same in all states costs nothing. Elsewhere V stays, for what has ended is worth 0. C >= 1: the bound is infinite.
    """
    slack, change = rounding(tables, value), backed_up - value
    low, high = gamma * tables.least, gamma * tables.most
    geometric = jnp.stack([low / (1.0 - low), high / (1.0 - high)])  # C + C^2 + ...
    geometric *= 1.0 + 8 * jnp.finfo(geometric.dtype).eps / (1.0 - high)
    least, most = jnp.min(change) - slack, jnp.max(change) + slack
    lower = jnp.min(geometric * least) - slack
    upper = jnp.max(geometric * most) + slack
    shift = jnp.where((high < 1.0) & never_ends(tables), 0.5 * (lower + upper), 0.0)
    bound = jnp.where(high < 1.0, jnp.maximum(upper - shift, shift - lower) + slack, jnp.inf)
    return shift.astype(value.dtype), bound


def _columns(tables: Tables, value: jax.Array, gamma) -> list[jax.Array]:
    """Returns Q(., a) for each action, [S] each. One loop over the states computes them all, up to their greatest: on a CPU
    that is three to ten times as fast as a gather of [S, A, K] and two reductions, where there are few outcomes."""
    gamma = jnp.asarray(gamma, value.dtype)
    _, actions, outcomes = tables.successor.shape
    columns = []
    for a in range(actions):
        terms = [tables.onward[:, a, k] * _at(value, tables.successor[:, a, k]) for k in range(outcomes)]
        columns.append(tables.reward[:, a] + gamma * functools.reduce(jnp.add, terms))
    return columns


def _at(value: jax.Array, index: jax.Array) -> jax.Array:
    """Returns value[index]; the model's checks have seen to it that every index is a state."""
    return jnp.asarray(value).at[index].get(mode="promise_in_bounds", wrap_negative_indices=False)
