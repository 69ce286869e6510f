"""A small finite-horizon MDP, every trajectory of it enumerated, and finite differences: NumPy only.

States 0 and 1 act; state 2 ends the episode. At the horizon every episode ends.
"""

import itertools
from typing import NamedTuple

import numpy as np

STATES, ACTIONS, HORIZON, TERMINAL = 3, 2, 3, 2
START = np.array([0.7, 0.3, 0.0])
AFTER_THE_END = 100.0  # what the rows after an episode's end hold: a leak would show


class Mdp(NamedTuple):
    transition: np.ndarray  # [state, action, next state]
    reward: np.ndarray  # [state, action, next state]


class Trajectories(NamedTuple):
    """N trajectories, time-major [HORIZON, N]; rows after an episode's end are filled up with junk."""

    state: np.ndarray
    action: np.ndarray
    next_state: np.ndarray
    reward: np.ndarray
    ended: np.ndarray
    alive: np.ndarray  # bool, before the end


def random_mdp(seed: int) -> Mdp:
    generator = np.random.default_rng(seed)
    transition = generator.dirichlet(np.ones(STATES), size=(STATES, ACTIONS))
    return Mdp(transition, generator.normal(size=(STATES, ACTIONS, STATES)))


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def state_values(mdp: Mdp, policy: np.ndarray) -> np.ndarray:
    """Returns V [HORIZON + 1, STATES] of policy [STATES, ACTIONS] by backward induction, undiscounted."""
    values = np.zeros((HORIZON + 1, STATES))
    for time in reversed(range(HORIZON)):
        for state in range(STATES):
            if state == TERMINAL:
                continue
            for action in range(ACTIONS):
                for following in range(STATES):
                    chance = policy[state, action] * mdp.transition[state, action, following]
                    gain = mdp.reward[state, action, following] + values[time + 1, following]
                    values[time, state] += chance * gain
    return values


def trajectories(mdp: Mdp) -> Trajectories:
    """Returns every trajectory that can happen, once each."""
    columns = [column for start in (0, 1) for column in _continuations(mdp, start, 0)]
    rows = [[_padded(column)[time] for column in columns] for time in range(HORIZON)]
    return Trajectories(*(np.array([[step[field] for step in row] for row in rows]) for field in range(6)))


def _continuations(mdp: Mdp, state: int, time: int):
    for action, following in itertools.product(range(ACTIONS), range(STATES)):
        ended = following == TERMINAL or time == HORIZON - 1
        step = (state, action, following, mdp.reward[state, action, following], ended, True)
        for rest in [[]] if ended else _continuations(mdp, following, time + 1):
            yield [step, *rest]


def _padded(column: list) -> list:
    return column + [(0, 1, 1, AFTER_THE_END, False, False)] * (HORIZON - len(column))


def chances(mdp: Mdp, policy: np.ndarray, paths: Trajectories) -> np.ndarray:
    """Returns the probability of each trajectory, [N]."""
    steps = policy[paths.state, paths.action] * mdp.transition[paths.state, paths.action, paths.next_state]
    return START[paths.state[0]] * np.where(paths.alive, steps, 1.0).prod(axis=0)


def finite_differences(function, point: np.ndarray, width: float = 1e-5) -> np.ndarray:
    """Returns the gradient of a scalar function by central differences."""
    gradient = np.zeros_like(point)
    for index in np.ndindex(point.shape):
        offset = np.zeros_like(point)
        offset[index] = width
        gradient[index] = (function(point + offset) - function(point - offset)) / (2 * width)
    return gradient
