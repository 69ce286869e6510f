"""Random walks, Baird's counterexample and random models."""

import numpy as np

from envs.mdp.build import from_arrays, from_step
from envs.mdp.model import MDP, check


def random_walk(states: int = 5, left: float = 0.0, reach: int = 1) -> MDP:
    """Returns the walk between two ends (S&B examples 6.2, 7.1 and 9.1): from the middle, to either side alike, up to
    `reach` places; 1 beyond the right end, `left` beyond the left one. One action.

    State 0 and state `states` + 1 name the ends; the walk itself is on 1 to `states`.
    """
    jumps = np.concatenate([np.arange(-reach, 0), np.arange(1, reach + 1)])

    def step(state, action):
        at_end = (state == 0) | (state == states + 1)
        goal = np.where(at_end, state, np.clip(state + jumps, 0, states + 1))
        reward = np.where(at_end, 0.0, np.where(goal == 0, left, 1.0 * (goal == states + 1)))
        return goal, 1.0 / jumps.size, reward, (goal == 0) | (goal == states + 1)

    return _merged(from_step(step, states + 2, 1, start=(states + 1) // 2))


def _merged(mdp: MDP) -> MDP:
    """Returns the model with outcomes of a row that are the same put together: jumps beyond an end are one end."""
    rows = mdp.successor.reshape(-1, mdp.num_outcomes)
    first = np.array([np.searchsorted(np.sort(row), row) for row in rows])  # equal successors share a place
    chance = np.zeros(rows.shape)
    np.add.at(chance, (np.arange(len(rows))[:, None], first), mdp.probability.reshape(rows.shape))
    order = np.argsort(mdp.successor, axis=2, kind="stable")
    ordered = (np.take_along_axis(array, order, 2) for array in (mdp.reward, mdp.terminated))
    return from_arrays(np.sort(mdp.successor, 2), chance.reshape(mdp.successor.shape), *ordered, start=mdp.start)


def baird() -> MDP:
    """Returns Baird's counterexample (S&B section 11.2): seven states, no reward, no end. Action 0, dashed, leads to one
    of the six upper states, all alike; action 1, solid, to the seventh."""
    successor = np.empty((7, 2, 6), np.int32)
    successor[:, 0], successor[:, 1] = np.arange(6), 6
    probability = np.zeros(successor.shape)
    probability[:, 0], probability[:, 1, 0] = 1.0 / 6.0, 1.0
    return from_arrays(successor, probability, 0.0, False)


def garnet(states: int = 30, actions: int = 4, successors: int = 2, deviation: float = 0.0, seed: int = 0) -> MDP:
    """Returns Garnet(S, A, b, sigma) (Archibald et al. 1995, as in Bhatnagar et al. 2009, section 8).

    b distinct successors of each pair, probabilities the gaps between b - 1 sorted uniforms, the mean reward of a pair
    standard normal, each transition's normal about it with the `deviation`. It never ends. A seed is a model.
    """
    if not 1 <= successors <= states:
        raise ValueError(f"successors must be 1 to states={states}, not {successors}")
    random = np.random.default_rng(seed)
    shape = (states, actions, successors)
    probability = _gaps(random.random((states, actions, successors - 1)))
    reward = _about(random.standard_normal((states, actions, 1)), random.standard_normal(shape), deviation)
    # a large model fits into memory once: nothing is copied, as `from_arrays` does with what is somebody else's
    successor, start = _distinct(random, shape, states), np.full(states, 1.0 / states)
    mdp = MDP(successor, probability, reward, np.zeros(shape, bool), start)
    check(mdp)
    return mdp


def _gaps(cuts: np.ndarray) -> np.ndarray:
    """Returns the lengths of the pieces that cuts between 0 and 1 make, along the last axis."""
    cuts.sort(-1)
    return np.diff(cuts, axis=-1, prepend=0.0, append=1.0)


def _about(mean: np.ndarray, noise: np.ndarray, deviation: float) -> np.ndarray:
    """Returns mean + deviation * noise; without a deviation one number for all outcomes of a pair."""
    if deviation == 0.0:
        return np.broadcast_to(mean, noise.shape)
    noise *= deviation
    noise += mean
    return noise


def _distinct(random, shape: tuple[int, ...], states: int) -> np.ndarray:
    """Returns indices below `states`, distinct along the last axis: rows that repeat one are drawn anew."""
    if 2 * shape[-1] > states:
        order = np.broadcast_to(np.arange(states), (*shape[:-1], states))
        return random.permuted(order, axis=-1)[..., : shape[-1]].astype(np.int32)
    drawn = random.integers(states, size=shape).astype(np.int32)
    while (again := (np.diff(np.sort(drawn, -1)) == 0).any(-1)).any():
        drawn[again] = random.integers(states, size=(int(again.sum()), shape[-1]))
    return drawn
