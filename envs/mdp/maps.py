"""Gridworlds from text: one character a cell."""

from collections.abc import Mapping, Sequence

import numpy as np

from envs.mdp.build import from_arrays
from envs.mdp.model import MDP

LEFT, DOWN, RIGHT, UP = (0, -1), (1, 0), (0, 1), (-1, 0)
WALL, START = "#", "S"


def from_map(
    text: str,
    moves: Sequence[tuple[int, int]] = (LEFT, DOWN, RIGHT, UP),
    *,
    step_reward: float = 0.0,
    reward: Mapping[str, float] | None = None,
    ends: str = "GH",
    back: str = "",
    blocks: str = "",
    slip: float = 0.0,
    wind: Sequence[int] | None = None,
) -> MDP:
    """Returns the model of a map: lines of equal length, S where episodes begin (several: all alike), # a wall.

    A move into a wall, into a character of `blocks` (which are states, and cannot be entered) or off the map stays. Reaching
    one of `ends` ends the episode; reaching one of `back` leads to the start, and its cell is no state. A step earns
    `step_reward`, or what `reward` says of the character reached. With probability `slip` the move before or after the
    chosen one in `moves` is made, half and half. `wind` blows up by so many rows in each column that is left.
    `MDP.cell` [S, 2] says where each state lies.
    """
    chart = _chart(text)
    is_state = ~np.isin(chart, [WALL, *back])
    cell = np.argwhere(is_state)
    index = np.full(chart.shape, -1)
    index[is_state] = np.arange(len(cell))
    begins = chart[is_state] == START
    if not begins.any():
        raise ValueError(f"the map has no {START}, where episodes begin")
    start = begins / begins.sum()

    if not 0.0 <= slip <= 1.0:
        raise ValueError(f"slip must be 0 to 1, not {slip}")
    turns = np.array([0]) if slip == 0.0 else np.array([-1, 0, 1])
    chosen = (np.arange(len(moves))[:, None] + turns) % len(moves)  # [A, K]
    move = np.asarray(moves)[chosen]  # [A, K, 2]
    lift = np.zeros(chart.shape[1], int) if wind is None else np.asarray(wind)
    if lift.shape != chart.shape[1:] or lift.dtype.kind != "i":
        raise ValueError(f"wind must be a whole number for each of {chart.shape[1]} columns, not {wind}")
    blown = np.stack([-lift[cell[:, 1]], np.zeros(len(cell), int)], -1)
    goal = np.clip(cell[:, None, None] + move + blown[:, None, None], 0, np.array(chart.shape) - 1)  # [S, A, K, 2]
    here = np.broadcast_to(cell[:, None, None], goal.shape)
    closed = np.isin(chart[goal[..., 0], goal[..., 1]], [WALL, *blocks])
    goal = np.where(closed[..., None], here, goal)

    reached = chart[goal[..., 0], goal[..., 1]]
    over = np.isin(chart[is_state], list(ends))[:, None, None]
    earned = np.full(reached.shape, float(step_reward))
    for character, value in (reward or {}).items():
        if character not in chart:
            raise ValueError(f"reward is of {character!r}, which is nowhere on the map")
        earned[reached == character] = value
    if back and begins.sum() != 1:
        raise ValueError(f"{back} leads back to the start, so that the map needs one {START}")
    return from_arrays(
        successor=np.where(over, index[is_state][:, None, None], np.where(
            np.isin(reached, list(back)), int(np.argmax(begins)), index[goal[..., 0], goal[..., 1]])),
        probability=np.array([1.0]) if slip == 0.0 else np.array([slip / 2, 1.0 - slip, slip / 2]),
        reward=np.where(over, 0.0, earned),
        terminated=np.isin(reached, list(ends)) | over,
        start=start,
        cell=cell,
    )  # fmt: skip


def _chart(text: str) -> np.ndarray:
    """Returns the characters [rows, columns] of a map."""
    lines = [line.strip() for line in text.strip().splitlines()]
    if not lines:
        raise ValueError("the map is empty")
    if len({len(line) for line in lines}) != 1:
        raise ValueError(f"the lines of a map must be of one length, not {', '.join(str(len(line)) for line in lines)}")
    return np.array([list(line) for line in lines])
