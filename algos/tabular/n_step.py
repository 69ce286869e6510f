"""What n-step methods share: the last n steps, and the returns that can be told from them (S&B sections 7.1 and 7.2).

    G_t = R_{t+1} + gamma R_{t+2} + ... + gamma^{n-1} R_{t+n} + gamma^n V(S_{t+n})                               (7.1)

Where the episode ends first there are fewer rewards; what is left to learn is then learned at once, oldest first. A table's
entry is one number; of linear functions (sections 9.4 and 10.2) the place is the features x, V = w . x, and w moves along x.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax


@struct.dataclass
class Window:
    """The last n steps of the episode, the newest last; only the last `filled` of them count."""

    place: Any  # [n, ...], what the step is about: the entry of the table, int32, or features
    reward: Any  # [n]
    filled: Any  # int32


def entry(table, place):
    """Returns the table's number at a place."""
    return table[place]


def added(table, place, amount):
    """Returns the table with the amount added at a place."""
    return table.at[place].add(amount)


def no_steps(n: int, place) -> Window:
    """Returns the window before an episode's first step. place: of any one, for its form."""
    return Window(jax.tree.map(lambda x: jnp.zeros((n, *jnp.shape(x)), x.dtype), place), jnp.zeros(n), jnp.int32(0))


def learn(values, window: Window, place, step, next_value, hparams, value: Callable = entry, moved: Callable = added):
    """Returns (values [N], window) after one step: V(S_t) <- V(S_t) + alpha (G_t - V(S_t)) for the step that is n old, or for
    all that are left where the episode ends. next_value: of what the step reached, used unless it terminated.

    value: (values, place) -> V. moved: (values, place, amount) -> values, V at the place moved by the amount.
    """
    n = window.reward.size
    window = Window(
        place=jax.tree.map(lambda old, new: jnp.concatenate([old[1:], new[None]]), window.place, place),
        reward=jnp.append(window.reward[1:], step.reward),
        filled=jnp.minimum(window.filled + 1, n),
    )

    def backwards(following, reward):
        following = reward + hparams.gamma * following
        return following, following

    beyond = jnp.where(step.terminated, 0.0, next_value)
    _, returns = lax.scan(backwards, beyond, window.reward, reverse=True)

    def update(index, values):
        past = jax.tree.map(lambda x: x[index], window.place)
        return moved(values, past, hparams.learning_rate * (returns[index] - value(values, past)))

    ended, oldest = step.terminated | step.truncated, n - window.filled
    due = jnp.where(ended, window.filled, jnp.where(window.filled == n, 1, 0))
    values = lax.fori_loop(oldest, oldest + due, update, values)
    return values, window.replace(filled=jnp.where(ended, 0, window.filled))
