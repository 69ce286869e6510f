"""Rewards as people write them, brought to one convention: what the transition s, a, s' earns.

Each returns a function of the successors [S, A, K] that the constructors of a model take.
"""

from collections.abc import Callable

import numpy as np

Reward = Callable[[np.ndarray], np.ndarray]  # (successor [S, A, K]) -> reward [S, A, K]


def on_leaving(reward) -> Reward:
    """Returns r(s) [S], earned with every step from s, as a reward of transitions."""
    values = np.asarray(reward, np.float64)
    return lambda successor: np.broadcast_to(values[:, None, None], successor.shape)


def of_action(reward) -> Reward:
    """Returns r(s, a) [S, A] as a reward of transitions."""
    values = np.asarray(reward, np.float64)
    return lambda successor: np.broadcast_to(values[:, :, None], successor.shape)


def of_transition(reward) -> Reward:
    """Returns r(s, a, s') [S, A, S] as a reward of transitions."""
    values = np.asarray(reward, np.float64)
    return lambda successor: np.take_along_axis(values, successor, axis=2)


def on_reaching(reward) -> Reward:
    """Returns r(s') [S], earned with every step to s', as a reward of transitions."""
    values = np.asarray(reward, np.float64)
    return lambda successor: values[successor]
