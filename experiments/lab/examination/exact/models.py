"""Three finite models small enough to enumerate: all that a policy can meet on them, as often as it comes.

Every chance in them, the policy's too, is a whole number of quarters and an episode has three steps at most. So a batch
of 4^6 episodes holds each possible one exactly as often as its chance says: what a loss makes of that batch it makes of
an infinite one. States are (cell, step): what time ends is ended for good, and no state comes twice.
"""

import functools
from dataclasses import dataclass

import numpy as np

from algos.tabular.exact_episodes import Episodes, every_episode
from envs.mdp.model import MDP

CELLS, ACTIONS, STEPS = 3, 2, 3
STATES = CELLS * STEPS
EPISODES = 4 ** (2 * STEPS)  # of which each has a whole number: a quarter of the policy's, one of the model's, a step
END = -1
FILLED = 50.0  # the reward of rows after an episode's end, which a mask leaves out: a loss that counts them is seen


@dataclass(frozen=True, eq=False)
class Model:
    """A model, the policy that is followed in it, and all of its episodes."""

    name: str
    mdp: MDP
    probs: np.ndarray  # [S, A]
    each: Episodes  # every possible one, once
    all: Episodes  # EPISODES, each as often as it comes
    mean_length: float
    pairs: Episodes  # [1, N], each outcome of every state and action as often as it comes; some do not count


@functools.cache
def models() -> tuple[Model, ...]:
    """Returns the three: thin ice on which every fourth move slips, a corridor without chance, and a random one."""
    return (
        _model("ice", *_ice(), start=0),
        _model("corridor", *_corridor(), start=1),
        _model("garnet", *_garnet(), start=0),
    )


def _ice():
    """A 2 x 2 lake: S and F above, thin ice and the goal below; moves down and right, every fourth is the other one.
    Below the thin ice is a hole; off the map stays."""
    down = np.array([(2, 0.0), (END, 1.0), (END, 0.0)])
    right = np.array([(1, 0.0), (1, 0.0), (END, 1.0)])
    meant, other = np.stack([down, right], 1), np.stack([right, down], 1)
    outcomes = np.stack([meant, other], 2)  # [cells, actions, outcomes, (successor, reward)]
    return outcomes[..., 0].astype(int), outcomes[..., 1] - 0.1, (0.75, 0.25)


def _corridor():
    """Three cells in a row; left of the first one falls out, right of the last is the goal. Each step costs."""
    successor = np.array([(END, 1), (0, 2), (1, END)])
    reward = np.array([(0.0, 0.0), (0.0, 0.0), (0.0, 1.0)]) - 0.2
    return np.repeat(successor[..., None], 2, -1), np.repeat(reward[..., None], 2, -1), (1.0, 0.0)


def _garnet():
    """Garnet(3, 2, 2): two random successors of each pair, of the cells and the end; normal rewards of transitions."""
    random = np.random.default_rng(5)
    pairs = [random.choice([0, 1, 2, END], 2, replace=False) for _ in range(CELLS * ACTIONS)]
    return np.reshape(pairs, (CELLS, ACTIONS, 2)), random.normal(size=(CELLS, ACTIONS, 2)), (0.75, 0.25)


def _model(name: str, successor, reward, chance, start: int) -> Model:
    """Returns the model whose states are (cell, step), step by step; at the last step every transition ends it."""
    step = np.repeat(np.arange(STEPS), CELLS)[:, None, None]
    onward = np.tile(successor, (STEPS, 1, 1))
    over = (onward == END) | (step == STEPS - 1)
    mdp = MDP(  # not checked: most states of the first steps are never met, by construction
        successor=np.where(over, np.arange(STATES)[:, None, None], onward + CELLS * (step + 1)).astype(np.int32),
        probability=np.broadcast_to(np.array(chance), onward.shape),
        reward=np.tile(reward, (STEPS, 1, 1)),
        terminated=over,
        start=(np.arange(STATES) == start).astype(np.float64),
    )
    first = np.resize([0.25, 0.75, 0.5, 0.25, 0.5], STATES)
    probs = np.stack([first, 1.0 - first], 1)
    each = every_episode(mdp, probs, STEPS)
    each = each._replace(reward=np.where(each.counts, each.reward, FILLED))
    times = np.rint(each.chance * EPISODES).astype(int)
    repeated = Episodes(*(np.repeat(array, times, axis=-1) for array in each))
    return Model(name, mdp, probs, _padded(each), repeated, float(each.chance @ each.counts.sum(0)), _pairs(mdp))


def _pairs(mdp: MDP) -> Episodes:
    """Returns four steps of every state and action, and the first of them again, which do not count."""
    times = np.rint(4 * mdp.probability).astype(int)
    state, action, k = (np.repeat(index.ravel(), times.ravel()) for index in np.indices(times.shape))
    state, action, k = (np.concatenate([index, index[: 4 * ACTIONS]]) for index in (state, action, k))
    counts = np.arange(state.size) < times.sum()
    reward = np.where(counts, mdp.reward[state, action, k], FILLED)
    steps = (state, action, reward, mdp.successor[state, action, k], mdp.terminated[state, action, k], counts)
    return Episodes(counts / counts.sum(), *(array[None] for array in steps))


def _padded(episodes: Episodes) -> Episodes:
    """Returns the episodes with others of chance 0 behind them, (A K)^STEPS in all, so that all models' are alike."""
    missing = (2 * ACTIONS) ** STEPS - episodes.chance.size
    chance = np.append(episodes.chance, np.zeros(missing))
    return Episodes(chance, *(np.pad(array, ((0, 0), (0, missing)), mode="edge") for array in episodes[1:]))
