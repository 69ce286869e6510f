"""Grid worlds as scenes: a cell of row r and column c is the unit square with its upper left corner at (c, -r)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from envs.mdp.model import MDP, terminal_states
from experiments.lab.showing.drawing.shapes import (
    BLUE,
    BROWN,
    GREEN,
    GREY,
    INK,
    LIGHT,
    ORANGE,
    PURPLE,
    SKY,
    TEAL,
    VERMILION,
    YELLOW,
    Disc,
    Line,
    Polygon,
    Scene,
)

CHANNELS = (BLUE, VERMILION, YELLOW, GREEN, PURPLE, ORANGE, SKY, GREY, INK, BROWN, TEAL)
LARGEST_RULED = 20  # rows or columns; lines between more cells would hide them

FOUR_ROOMS = (  # Sutton, Precup and Singh 1999, figure 2
    "xxxxxxxxxxxxx",
    "x     x     x",
    "x     x     x",
    "x           x",
    "x     x     x",
    "x     x     x",
    "xx xxxx     x",
    "x     xxx xxx",
    "x     x     x",
    "x     x     x",
    "x           x",
    "x     x     x",
    "xxxxxxxxxxxxx",
)

Cell = tuple[int, int, str]  # row, column, colour


def channels(state, observation) -> Scene:
    """Returns an observation [rows, columns] or [rows, columns, channels], a colour for each channel, later ones on top."""
    grid = np.asarray(observation)
    grid = grid if grid.ndim == 3 else grid[..., None]
    found = zip(*np.nonzero(np.moveaxis(grid, -1, 0)))
    return _scene(grid.shape[:2], [(row, column, CHANNELS[channel]) for channel, row, column in found])


def anything(state, observation) -> Scene:
    """Returns an image as `channels` does, and of any other observation a bar for each number x, x / (1 + |x|) high."""
    shown = np.asarray(observation)
    if shown.ndim in (2, 3) and (shown.ndim == 2 or shown.shape[-1] <= len(CHANNELS)):
        return channels(state, observation)
    numbers = np.nan_to_num(shown.astype(float).ravel())
    wide, tall = float(len(numbers)), len(numbers) / 4.0
    heights = (tall * numbers / (1.0 + np.abs(numbers))).tolist()
    bars = [Polygon(((i + 0.1, 0.0), (i + 0.9, 0.0), (i + 0.9, y), (i + 0.1, y)), BLUE) for i, y in enumerate(heights)]
    return Scene((*bars, Line(((0.0, 0.0), (wide, 0.0)), 0.02 * wide, GREY)), (0.0, wide, -tall, tall))


def catch(state, observation) -> Scene:
    """Returns the ball and the paddle."""
    ball = (int(state.ball_y), int(state.ball_x), ORANGE)
    paddle = (int(state.paddle_y), int(state.paddle_x), BLUE)
    return _scene(np.shape(observation), [paddle, ball])


def four_rooms(state, observation) -> Scene:
    """Returns the walls, the goal and the agent."""
    return _maze(np.array([[cell == "x" for cell in row] for row in FOUR_ROOMS]), state)


def meta_maze(state, observation, maze_size: int = 9, rf_size: int = 3) -> Scene:
    """Returns the walls, the goal and the agent."""
    return _maze(maze_walls(maze_size, rf_size), state)


def maze_walls(maze_size: int, rf_size: int) -> np.ndarray:
    """Returns where the walls are, bool [rows, columns]: a border of half the receptive field, pillars inside it."""
    border = (rf_size - 1) // 2
    walls = np.zeros((maze_size, maze_size), bool)
    walls[1::2, 1::2] = True
    return np.pad(walls, border, constant_values=True)


class Landscape(NamedTuple):
    """A finite model on its grid, without what moves."""

    shape: tuple[int, int]
    place: np.ndarray  # [S, 2], row and column of each state
    cells: tuple[Cell, ...]  # what is no state grey, ends that earn green, other ends black


def landscape(mdp: MDP) -> Landscape:
    """Returns the grid of a model whose states have cells."""
    shape, over = tuple(int(number) for number in mdp.cell.max(0) + 1), terminal_states(mdp)
    outside = np.ones(shape, bool)
    outside[tuple(mdp.cell.T)] = False
    earns = np.zeros(mdp.num_states, bool)
    earns[mdp.successor[(mdp.probability > 0.0) & (mdp.reward > 0.0)]] = True
    cells = [(row, column, GREY) for row, column in np.argwhere(outside).tolist()]
    ends = np.flatnonzero(over)
    cells += [(*mdp.cell[state].tolist(), GREEN if earns[state] or ends.size == 1 else INK) for state in ends]
    return Landscape(shape, mdp.cell, tuple(cells))


def finite_model(landscape: Landscape, state, observation) -> Scene:
    """Returns the grid and the agent."""
    row, column = landscape.place[int(state.index)].tolist()
    scene = _scene(landscape.shape, landscape.cells)
    return replace(scene, shapes=(*scene.shapes, Disc((column + 0.5, -row - 0.5), 0.32, VERMILION)))


def _maze(walls: np.ndarray, state) -> Scene:
    stones = [(row, column, GREY) for row, column in zip(*np.nonzero(walls))]
    goal, agent = ((*map(int, place), colour) for place, colour in ((state.goal, GREEN), (state.pos, VERMILION)))
    return _scene(walls.shape, [*stones, goal, agent])


def _scene(shape: tuple[int, int], cells: Sequence[Cell]) -> Scene:
    rows, columns = shape
    width, small = max(shape) / 250, max(shape) <= LARGEST_RULED
    across = [Line(((0, -row), (columns, -row)), width, LIGHT) for row in (range(rows + 1) if small else (0, rows))]
    down = [Line(((at, 0), (at, -rows)), width, LIGHT) for at in (range(columns + 1) if small else (0, columns))]
    squares = [Polygon(_square(row, column), colour) for row, column, colour in cells]
    return Scene((*across, *down, *squares), (-width, columns + width, -rows - width, width))


def _square(row: int, column: int, gap: float = 0.04):
    left, right, top, bottom = column + gap, column + 1 - gap, -row - gap, -row - 1 + gap
    return (left, top), (right, top), (right, bottom), (left, bottom)
