"""What semi-gradient n-step methods share: the last n steps by their features, and the returns that are told from them.

    G_t = R_{t+1} + gamma R_{t+2} + ... + gamma^{n-1} R_{t+n} + gamma^n w . x_{t+n}                              (9.16)
    w <- w + alpha (G_t - w . x_t) x_t                                                                           (9.15)

Where the episode ends first there are fewer rewards; what is left to learn is then learned at once, oldest first.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from algos.linear.features import Active, moved, value


@struct.dataclass
class Window:
    """The last n steps of the episode, the newest last; only the last `filled` of them count."""

    x: Active  # [n, k]
    reward: Any  # [n]
    filled: Any  # int32


def no_steps(n: int, num_active: int) -> Window:
    """Returns the window before an episode's first step."""
    empty = Active(jnp.zeros((n, num_active), jnp.int32), jnp.zeros((n, num_active)))
    return Window(empty, jnp.zeros(n), jnp.int32(0))


def learn(w, window: Window, x: Active, next_x: Active, step, hparams, rate):
    """Returns (w [d], window) after one step from x to next_x: w moves for the step that is n old, or for all that are left
    where the episode ends."""
    n = window.reward.size
    window = Window(
        x=jax.tree.map(lambda old, new: jnp.concatenate([old[1:], new[None]]), window.x, x),
        reward=jnp.append(window.reward[1:], step.reward),
        filled=jnp.minimum(window.filled + 1, n),
    )

    def backwards(following, reward):
        following = reward + hparams.gamma * following
        return following, following

    beyond = jnp.where(step.terminated, 0.0, value(w, next_x))
    _, returns = lax.scan(backwards, beyond, window.reward, reverse=True)

    def update(index, w):
        past = jax.tree.map(lambda x: x[index], window.x)
        return moved(w, past, hparams.learning_rate * (returns[index] - value(w, past)), rate)

    ended, oldest = step.terminated | step.truncated, n - window.filled
    due = jnp.where(ended, window.filled, jnp.where(window.filled == n, 1, 0))
    w = lax.fori_loop(oldest, oldest + due, update, w)
    return w, window.replace(filled=jnp.where(ended, 0, window.filled))
