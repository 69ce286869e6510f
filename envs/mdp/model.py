"""A finite Markov decision process as arrays, and the checks that a model must pass before anything is computed with it.

Each pair (s, a) lists its up to K outcomes: outcome k has probability p[s, a, k] and leads to successor[s, a, k] with
reward[s, a, k]; where terminated[s, a, k] the episode ends with that transition, and nothing is earned after it whatever
state it names. Rows with fewer outcomes are filled up with probability 0. The discount is no part of the model.

    Q(s, a) = sum_k p[s, a, k] (reward[s, a, k] + gamma (1 - terminated[s, a, k]) V(successor[s, a, k]))
"""

import os
import sys
import warnings
from typing import Any

import numpy as np
import scipy.sparse
from flax import struct

ROW_SUM = 1e-8  # how far the probabilities of a row may be from 1
SINGLE = 1e-5  # what rounding to float32 and sums of many may make of that


@struct.dataclass
class MDP:
    """S states, A actions, up to K outcomes of each pair. NumPy arrays, float64, as the constructors give them."""

    successor: Any  # int32 [S, A, K]
    probability: Any  # [S, A, K]
    reward: Any  # [S, A, K], of the transition
    terminated: Any  # bool [S, A, K]
    start: Any  # [S], the distribution of an episode's first state
    cell: Any = None  # [S, 2], row and column of each state of a gridworld

    @property
    def num_states(self) -> int:
        return self.successor.shape[0]

    @property
    def num_actions(self) -> int:
        return self.successor.shape[1]

    @property
    def num_outcomes(self) -> int:
        """K, the most outcomes that a pair has."""
        return self.successor.shape[2]


def expected_reward(mdp: MDP):
    """Returns r(s, a) = sum_k p[s, a, k] reward[s, a, k], [S, A]."""
    return np.einsum("sak,sak->sa", mdp.probability, mdp.reward)


def goes_on(mdp: MDP):
    """Returns the probability of each outcome with which the episode goes on, [S, A, K]: what a next value is worth."""
    return mdp.probability * ~mdp.terminated


def terminal_states(mdp: MDP) -> np.ndarray:
    """Returns which states only name an end, bool [S]: nothing but a worthless transition to themselves leaves them."""
    itself = mdp.successor == np.arange(mdp.num_states)[:, None, None]
    idle = (mdp.terminated & itself & (mdp.reward == 0.0)) | (mdp.probability == 0.0)
    return idle.all((1, 2))


def check(mdp: MDP) -> None:
    """Raises ValueError that names the first entry which cannot be. Warns of states that no episode can reach."""
    shape = mdp.successor.shape
    for name in ("probability", "reward", "terminated"):
        if getattr(mdp, name).shape != shape:
            raise ValueError(f"{name} is {getattr(mdp, name).shape}, and successor {shape}: they must be alike")
    if mdp.start.shape != shape[:1]:
        raise ValueError(f"start is {mdp.start.shape}, and there are {shape[0]} states")
    if mdp.cell is not None and np.shape(mdp.cell) != (shape[0], 2):
        raise ValueError(f"cell must be row and column of each state, [{shape[0]}, 2], not {list(np.shape(mdp.cell))}")
    _refuse("probability", mdp.probability, ~np.isfinite(mdp.probability), "is not finite")
    _refuse("probability", mdp.probability, mdp.probability < 0.0, "is negative")
    _refuse("reward", mdp.reward, ~np.isfinite(mdp.reward) & (mdp.probability > 0.0), "is not finite")
    beyond = (mdp.successor < 0) | (mdp.successor >= shape[0])
    _refuse("successor", mdp.successor, beyond, f"is no state of 0 to {shape[0] - 1}")
    sums = mdp.probability.sum(-1)
    _refuse("the sum of probability", sums, np.abs(sums - 1.0) > ROW_SUM, f"is not 1{_hint(sums)}")
    _refuse("start", mdp.start, ~(mdp.start >= 0.0), "is no probability")
    if abs(mdp.start.sum() - 1.0) > ROW_SUM:
        raise ValueError(f"the sum of start is {mdp.start.sum():.9g}, not 1{_hint(mdp.start.sum())}")
    lost = np.flatnonzero(~reachable(mdp))
    if lost.size:
        some = ", ".join(map(str, lost[:5])) + (", ..." if lost.size > 5 else "")
        warnings.warn(f"no episode can reach {lost.size} of {shape[0]} states: {some}", stacklevel=_outside())


def _hint(sums) -> str:
    """Returns what to do where sums are wrong by no more than what single precision leaves."""
    near = np.abs(sums - 1.0).max() < SINGLE
    return " (divide each row by its sum, or give the table in float32, as it was rounded)" if near else ""


def _outside() -> int:
    """Returns which `stacklevel` is the line, outside this folder, that the caller's work was asked for on."""
    here, frame, level = os.path.dirname(__file__) + os.sep, sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(here):
        frame, level = frame.f_back, level + 1
    return level


def reachable(mdp: MDP) -> np.ndarray:
    """Returns which states an episode can begin in or come to, bool [S]."""
    states, begins = mdp.num_states, np.flatnonzero(mdp.start > 0.0)
    if begins.size == states:
        return np.ones(states, bool)
    possible = mdp.probability > 0.0
    # a row of the graph for each state, where what is impossible leads back, and one more, that leads to where episodes begin
    own = np.arange(states, dtype=np.int32)[:, None, None]
    leads_to = mdp.successor if possible.all() else np.where(possible, mdp.successor, own)
    columns = np.append(leads_to.ravel(), begins.astype(np.int32))
    row_ends = np.append(np.arange(states + 1) * possible[0].size, columns.size)
    graph = scipy.sparse.csr_array((np.ones(columns.size), columns, row_ends), (states + 1, states + 1))
    found = np.zeros(states + 1, bool)
    found[scipy.sparse.csgraph.breadth_first_order(graph, states, return_predecessors=False)] = True
    return found[:states]


def _refuse(name: str, values: np.ndarray, wrong: np.ndarray, what: str) -> None:
    """Raises ValueError where something is wrong, with the first entry's place and value."""
    if wrong.any():
        place = tuple(map(int, np.argwhere(wrong)[0]))
        words = ", ".join(f"{kind} {index}" for kind, index in zip(("state", "action", "outcome"), place))
        raise ValueError(f"{name} of {words} {what}: {values[place]:.9g}")
