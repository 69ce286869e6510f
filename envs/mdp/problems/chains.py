"""Random walks, Baird's counterexample and random models."""

import numpy as np

from envs.mdp.build import from_arrays, from_step
from envs.mdp.model import MDP


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
    cuts = np.sort(random.random((states, actions, successors - 1)), -1)
    edges = np.concatenate([np.zeros((states, actions, 1)), cuts, np.ones((states, actions, 1))], -1)
    reward = random.standard_normal((states, actions, 1)) + deviation * random.standard_normal(shape)
    return from_arrays(_distinct(random, shape, states), np.diff(edges), reward, False)


def _distinct(random, shape: tuple[int, ...], states: int) -> np.ndarray:
    """Returns indices below `states`, distinct along the last axis: rows that repeat one are drawn anew."""
    if 2 * shape[-1] > states:
        return random.permuted(np.broadcast_to(np.arange(states), (*shape[:-1], states)), axis=-1)[..., : shape[-1]]
    drawn = random.integers(states, size=shape)
    while (again := (np.diff(np.sort(drawn, -1)) == 0).any(-1)).any():
        drawn[again] = random.integers(states, size=(int(again.sum()), shape[-1]))
    return drawn
