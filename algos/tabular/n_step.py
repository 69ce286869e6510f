"""What n-step methods share: the last n steps, and the returns that can be told from them (S&B sections 7.1 and 7.2).

    G_t = R_{t+1} + gamma R_{t+2} + ... + gamma^{n-1} R_{t+n} + gamma^n V(S_{t+n})                               (7.1)

Where the episode ends first there are fewer rewards; what is left to learn is then learned at once, oldest first.
"""

from typing import Any

import jax.numpy as jnp
from flax import struct
from jax import lax


@struct.dataclass
class Window:
    """The last n steps of the episode, the newest last; only the last `filled` of them count."""

    place: Any  # int32 [n], the entry of the table that the step is about
    reward: Any  # [n]
    filled: Any  # int32


def no_steps(n: int) -> Window:
    """Returns the window before an episode's first step."""
    return Window(jnp.zeros(n, jnp.int32), jnp.zeros(n), jnp.int32(0))


def learn(values, window: Window, place, step, next_value, hparams):
    """Returns (values [N], window) after one step: V(S_t) <- V(S_t) + alpha (G_t - V(S_t)) for the step that is n old, or
    for all that are left where the episode ends. next_value: of what the step reached, used unless it terminated."""
    n = window.place.size
    window = Window(
        place=jnp.append(window.place[1:], place),
        reward=jnp.append(window.reward[1:], step.reward),
        filled=jnp.minimum(window.filled + 1, n),
    )

    def backwards(following, reward):
        following = reward + hparams.gamma * following
        return following, following

    beyond = jnp.where(step.terminated, 0.0, next_value)
    _, returns = lax.scan(backwards, beyond, window.reward, reverse=True)

    def update(index, values):
        error = returns[index] - values[window.place[index]]
        return values.at[window.place[index]].add(hparams.learning_rate * error)

    ended, oldest = step.terminated | step.truncated, n - window.filled
    due = jnp.where(ended, window.filled, jnp.where(window.filled == n, 1, 0))
    values = lax.fori_loop(oldest, oldest + due, update, values)
    return values, window.replace(filled=jnp.where(ended, 0, window.filled))
