"""Models from what people have: dense and sparse matrices, Gymnasium's tables, functions over an index space."""

from collections.abc import Callable, Sequence

import numpy as np
import scipy.sparse

from envs.mdp.model import MDP, check
from envs.mdp.rewards import Reward


def from_arrays(successor, probability, reward, terminated, start=None, cell=None) -> MDP:
    """Returns the model of arrays that broadcast to [S, A, K]; `successor` has the whole shape or the others give it.

    start: the distribution of the first state [S], or one state; None: any state, all alike.
    Rows of probabilities given in float32 need sum to 1 only to its rounding: they are divided by their sums, in float64.
    Raises ValueError that names the first entry which cannot be.
    """
    successor = np.asarray(successor)
    with np.errstate(invalid="ignore"):  # NaN, which is unequal to what it becomes
        broken = successor != successor.astype(np.int32)
    if broken.any():
        raise ValueError(f"successor is no whole number: {successor[broken][0]}")
    ended = np.asarray(terminated)
    if ended.dtype != bool and not np.isin(ended, (0, 1)).all():
        raise ValueError(f"terminated must be true or false, not {ended[~np.isin(ended, (0, 1))][0]}")
    arrays = list(np.broadcast_arrays(
        successor.astype(np.int32),
        _float(probability),
        np.asarray(reward, np.float64),
        ended.astype(bool),
    ))  # fmt: skip
    if arrays[0].ndim != 3:
        raise ValueError(f"a model's arrays have three axes [states, actions, outcomes], not {arrays[0].ndim}")
    arrays[1] = _normalised(arrays[1])
    mdp = MDP(*_compact(*arrays), start=_start(start, arrays[0].shape[0]), cell=cell)
    check(mdp)
    return mdp


def from_dense(probability, reward: Reward, terminal=(), start=None) -> MDP:
    """Returns the model of P [S, A, S'], whose `terminal` states end the episode as they are reached."""
    probability = _float(probability)
    if probability.ndim != 3 or probability.shape[0] != probability.shape[2]:
        raise ValueError(f"probability must be [states, actions, states], not {list(probability.shape)}")
    states, actions, _ = probability.shape
    if not probability.size:
        raise ValueError(f"a model has one or more states and actions, not {states} and {actions}")
    rows = [scipy.sparse.csr_array(probability[:, action]) for action in range(actions)]
    return from_sparse(rows, reward, terminal, start)


def from_sparse(probability: Sequence, reward: Reward, terminal=(), start=None) -> MDP:
    """Returns the model of one scipy-sparse matrix P_a [S, S'] an action. `terminal` as in `from_dense`."""
    matrices = [scipy.sparse.csr_array(matrix) for matrix in probability]
    if not matrices:
        raise ValueError("there is no matrix: a model has one for each action")
    states = matrices[0].shape[0]
    if any(matrix.shape != (states, states) for matrix in matrices):
        raise ValueError(f"every action's matrix must be {states} x {states}, as the first one's rows")
    width = max(int(np.diff(matrix.indptr).max(initial=1)) for matrix in matrices)
    successor = np.zeros((states, len(matrices), width), np.int32)
    chance = np.zeros(successor.shape, np.result_type(*(_float(matrix.data) for matrix in matrices)))
    for action, matrix in enumerate(matrices):
        rows = np.repeat(np.arange(states), np.diff(matrix.indptr))
        place = np.arange(matrix.nnz) - matrix.indptr[rows]
        successor[rows, action, place] = matrix.indices
        chance[rows, action, place] = matrix.data
    if not callable(reward):
        raise ValueError("the reward must say what it is of: on_leaving(r), of_action, of_transition or on_reaching")
    ends, earned = _ends(terminal, states), reward(successor)
    over = ends[:, None, None]  # a state that ends the episode leads nowhere, whatever its rows say
    itself = np.arange(states)[:, None, None]
    first = np.arange(width) == 0
    return from_arrays(
        successor=np.where(over, itself, successor),
        probability=np.where(over, first, chance),
        reward=np.where(over, 0.0, earned),
        terminated=ends[successor] | over,
        start=start,
    )


def from_gymnasium(source, start=None) -> MDP:
    """Returns the model of a Gymnasium environment that has a table `P`, or of such a table:
    P[s][a] = [(probability, next state, reward, terminated), ...]. `start` None: the environment's own.

    Raises ValueError for a source without a table. A time limit is no part of the table.
    """
    source = getattr(source, "unwrapped", source)
    table = source if isinstance(source, dict) else getattr(source, "P", None)
    if not isinstance(table, dict):
        raise ValueError(f"{type(source).__name__} has no table P: only finite models can be read")
    start = getattr(source, "initial_state_distrib", None) if start is None else start
    states, actions = len(table), len(table.get(0, ()))
    for state in range(states):
        if sorted(table.get(state, ()), key=str) != sorted(range(actions), key=str):
            raise ValueError(f"P must have states 0 to {states - 1}, all with the same actions: state {state} has not")
    if not states or not actions:
        raise ValueError("P is empty")
    width = max(len(outcomes) for row in table.values() for outcomes in row.values())
    filled = np.zeros((states, actions, width, 4))
    for state, row in table.items():
        for action, outcomes in row.items():
            filled[state, action, : len(outcomes)] = outcomes
    probability, successor, reward, terminated = np.moveaxis(filled, -1, 0)
    return from_arrays(successor, probability, reward, terminated, start)


def from_step(step: Callable, num_states: int, num_actions: int, start=None, cell=None) -> MDP:
    """Returns the model that a function over indices describes, called once for all pairs.

    step(state [S, 1, 1], action [1, A, 1]) -> (successor, probability, reward, terminated), that broadcast to [S, A, K].
    """
    if num_states < 1 or num_actions < 1:
        raise ValueError(f"a model has one or more states and actions, not {num_states} and {num_actions}")
    outcomes = step(np.arange(num_states)[:, None, None], np.arange(num_actions)[None, :, None])
    if not isinstance(outcomes, tuple) or len(outcomes) != 4:
        raise ValueError("step must return a tuple (successor, probability, reward, terminated)")
    shapes = [np.shape(array) for array in outcomes]
    try:
        shape = np.broadcast_shapes((num_states, num_actions, 1), *shapes)
    except ValueError:
        shape = ()
    if shape[:2] != (num_states, num_actions):
        given = ", ".join(str(list(shape)) for shape in shapes)
        raise ValueError(f"step gives arrays {given} for {num_states} states and {num_actions} actions")
    return from_arrays(*(np.broadcast_to(array, shape) for array in outcomes), start=start, cell=cell)


def epsilon_soft(mdp: MDP, epsilon: float) -> MDP:
    """Returns the model whose action a takes a, or with probability epsilon any of the actions, all alike: what is best in it
    is the best epsilon-soft policy of the model (S&B section 5.4)."""
    if not 0.0 <= epsilon <= 1.0:
        raise ValueError(f"epsilon must be 0 to 1, not {epsilon}")
    states, actions = mdp.num_states, mdp.num_actions
    taken = (1.0 - epsilon) * np.eye(actions) + epsilon / actions  # [A, A]

    def any_of(array):
        return np.broadcast_to(array.reshape(states, 1, -1), (states, actions, actions * mdp.num_outcomes))

    successor, probability, reward, terminated = map(
        any_of, (mdp.successor, mdp.probability, mdp.reward, mdp.terminated)
    )
    chance = probability * np.repeat(taken, mdp.num_outcomes, axis=1)
    return from_arrays(successor, chance, reward, terminated, mdp.start, mdp.cell)


def _start(start, states: int) -> np.ndarray:
    """Returns the distribution of the first state, [S]."""
    if start is None:
        return np.full(states, 1.0 / states)
    if np.ndim(start) == 0:
        if start not in range(states):
            raise ValueError(f"start is no state of 0 to {states - 1}: {start}")
        return (np.arange(states) == int(start)).astype(np.float64)
    return _normalised(_float(start))


def _float(probability) -> np.ndarray:
    """Returns an array as it is given in float32, any other in float64."""
    given = np.asarray(probability)
    return given if given.dtype == np.float32 else given.astype(np.float64, copy=False)


def _normalised(probability: np.ndarray) -> np.ndarray:
    """Returns probabilities [..., K] in float64; rows given in float32, whose sums its rounding explains, sum to 1 exactly."""
    if probability.dtype != np.float32:
        return probability
    wide = probability.astype(np.float64)
    sums = wide.sum(-1, keepdims=True)
    near = np.abs(sums - 1.0) <= probability.shape[-1] * np.finfo(np.float32).eps
    return np.divide(wide, sums, out=wide, where=near)


def _ends(terminal, states: int) -> np.ndarray:
    """Returns which states are terminal, bool [S], of their indices or of a mask [S]."""
    named, every = np.asarray([terminal] if np.isscalar(terminal) else list(terminal)), np.arange(states)
    if named.dtype == bool and named.shape == (states,):
        return named
    wrong = ~np.isin(named, every) | (named.dtype == bool)
    if wrong.any():
        raise ValueError(f"terminal names no state of 0 to {states - 1}: {named[wrong][0]}")
    return np.isin(every, named)


def _compact(successor, probability, reward, terminated):
    """Returns the arrays with outcomes of probability 0 moved behind the others, and cut off where no pair needs them.
    They earn 0, whatever was said, for 0 times infinity is no number."""
    empty = probability == 0.0
    if not empty.any():
        return tuple(np.array(array) for array in (successor, probability, reward, terminated))
    reward = np.where(empty, 0.0, reward)
    order = np.argsort(empty, axis=2, kind="stable")
    width = max(1, int((~empty).sum(2).max()))
    return tuple(
        np.take_along_axis(array, order, axis=2)[..., :width] for array in (successor, probability, reward, terminated)
    )
