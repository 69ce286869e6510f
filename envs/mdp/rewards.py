"""Rewards as people write them, brought to one convention: what the transition s, a, s' earns.

Each returns a function of the successors [S, A, K] that the constructors of a model take.
"""

from collections.abc import Callable

import numpy as np

Reward = Callable[[np.ndarray], np.ndarray]  # (successor [S, A, K]) -> reward [S, A, K]


def on_leaving(reward) -> Reward:
    """Returns r(s) [S], earned with every step from s, as a reward of transitions."""
    return lambda successor: np.broadcast_to(_given(reward, successor, 1)[:, None, None], successor.shape)


def of_action(reward) -> Reward:
    """Returns r(s, a) [S, A] as a reward of transitions."""
    return lambda successor: np.broadcast_to(_given(reward, successor, 2)[:, :, None], successor.shape)


def of_transition(reward) -> Reward:
    """Returns r(s, a, s') [S, A, S] as a reward of transitions."""
    return lambda successor: np.take_along_axis(_given(reward, successor, 3), successor, axis=2)


def on_reaching(reward) -> Reward:
    """Returns r(s') [S], earned with every step to s', as a reward of transitions."""
    return lambda successor: _given(reward, successor, 1)[successor]


def _given(reward, successor: np.ndarray, axes: int) -> np.ndarray:
    """Returns the reward as float64. Raises ValueError unless it has the first axes of [S, A, S]."""
    states, actions, _ = successor.shape
    values, shape = np.asarray(reward, np.float64), (states, actions, states)[:axes]
    if values.shape != shape:
        raise ValueError(f"the reward must be {list(shape)}, not {list(values.shape)}")
    return values
