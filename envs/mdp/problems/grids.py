"""Gridworlds: FrozenLake and CliffWalking as Gymnasium has them, and those of Sutton and Barto (2018)."""

import numpy as np

from envs.mdp.build import from_step
from envs.mdp.maps import DOWN, LEFT, RIGHT, UP, from_map
from envs.mdp.model import MDP

LAKES = {
    4: """
    SFFF
    FHFH
    FFFH
    HFFG
    """,
    8: """
    SFFFFFFF
    FFFFFFFF
    FFFHFFFF
    FFFFFHFF
    FFFHFFFF
    FHHFFFHF
    FHFFHFHF
    FFFHFFFG
    """,
}
CLIFF = """
    ............
    ............
    ............
    SCCCCCCCCCCG
    """
WINDY = """
    ..........
    ..........
    ..........
    S......G..
    ..........
    ..........
    ..........
    """
WIND = (0, 0, 0, 1, 1, 1, 2, 2, 1, 0)  # rows upwards, a column each
DYNA = """
    .......#G
    ..#....#.
    S.#....#.
    ..#......
    .....#...
    .........
    """
# b: a wall before the maze changes, a: after
BLOCKING = """
    ........G
    .........
    .........
    b#######a
    .........
    ...S.....
    """
SHORTCUT = """
    ........G
    .........
    .........
    .#######b
    .........
    ...S.....
    """
KING = (UP, (-1, 1), RIGHT, (1, 1), DOWN, (1, -1), LEFT, (-1, -1))


def frozen_lake(size: int = 4, slippery: bool = True) -> MDP:
    """Returns Gymnasium's FrozenLake-v1: 1 for the goal, holes end the episode; on slippery ice the move chosen and the
    two beside it are made a third of the time each. Actions left, down, right, up."""
    if size not in LAKES:
        raise ValueError(f"size must be one of {', '.join(map(str, LAKES))}, not {size}")
    return from_map(LAKES[size], reward={"G": 1.0}, slip=2.0 / 3.0 if slippery else 0.0)


def cliff() -> MDP:
    """Returns the cliff walk (S&B example 6.6): -1 a step; the cliff costs 100 and leads back to the start, and the
    episode goes on. Actions up, right, down, left, as in Gymnasium; the cliff's cells are no states."""
    return from_map(CLIFF, (UP, RIGHT, DOWN, LEFT), step_reward=-1.0, reward={"C": -100.0}, back="C")


def windy(moves: str = "four") -> MDP:
    """Returns the windy gridworld (S&B example 6.5), -1 a step. moves: "four", "king" for eight, "stay" for nine."""
    kinds = {"four": (UP, RIGHT, DOWN, LEFT), "king": KING, "stay": (*KING, (0, 0))}
    if moves not in kinds:
        raise ValueError(f"moves must be one of {', '.join(kinds)}, not {moves!r}")
    return from_map(WINDY, kinds[moves], step_reward=-1.0, wind=WIND)


def dyna_maze(halvings: int = 0) -> MDP:
    """Returns the Dyna maze (S&B example 8.1): 1 for the goal, 47 cells that are no wall. With `halvings` (S&B example 8.4)
    each cell is cut in two so many times, by turns across its width and its height: 47 * 2^halvings cells, of which all that
    were the goal are goals, and the first that was the start is the start."""
    if halvings < 0:
        raise ValueError(f"halvings must be 0 or more, not {halvings}")
    chart = np.array([list(line.strip()) for line in DYNA.strip().splitlines()])
    for cut in range(halvings):
        chart = np.repeat(chart, 2, axis=1 - cut % 2)
    chart[tuple(np.argwhere(chart == "S")[1:].T)] = "."
    return from_map("\n".join(map("".join, chart)), (UP, RIGHT, DOWN, LEFT), reward={"G": 1.0})


def switching_maze(maze: str = "blocking", after: bool = False) -> MDP:
    """Returns the "blocking" or the "shortcut" maze (S&B examples 8.2 and 8.3), before or `after` it changes. Both have
    the same states, so that what was learned in one is of use in the other."""
    text = {"blocking": BLOCKING, "shortcut": SHORTCUT}[maze]
    return from_map(text, (UP, RIGHT, DOWN, LEFT), reward={"G": 1.0}, blocks="a" if after else "b")


def gridworld() -> MDP:
    """Returns the 5 x 5 gridworld (S&B example 3.5): every action in A leads to A' with 10, in B to B' with 5; a move
    off the grid stays and costs 1. It never ends. Actions up, right, down, left."""

    def step(state, action):
        row, column = state // 5, state % 5
        move = np.array([UP, RIGHT, DOWN, LEFT])[action]
        goal_row, goal_column = row + move[..., 0], column + move[..., 1]
        off = (goal_row < 0) | (goal_row > 4) | (goal_column < 0) | (goal_column > 4)
        goal = np.where(off, state, 5 * goal_row + goal_column)
        in_a, in_b = state == 1, state == 3
        reward = np.where(in_a, 10.0, np.where(in_b, 5.0, -1.0 * off))
        return np.where(in_a, 21, np.where(in_b, 13, goal)), 1.0, reward, False

    return from_step(step, 25, 4, cell=np.argwhere(np.ones((5, 5), bool)))
