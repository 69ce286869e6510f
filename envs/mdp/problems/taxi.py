"""Gymnasium's Taxi-v4 (Dietterich 2000): a taxi fetches a passenger at one of four places and brings him to another."""

import numpy as np

from envs.mdp.build import from_step
from envs.mdp.model import MDP

SIZES = (5, 5, 5, 4)  # row, column, passenger, destination
PLACES = np.array([(0, 0), (0, 4), (4, 0), (4, 3)])
WALLS = ((0, 1), (1, 1), (3, 0), (4, 0), (3, 2), (4, 2))  # no way from this cell to the next in its row
ABOARD = 4  # where the passenger may be, beside the four places
SOUTH, NORTH, EAST, WEST, PICK_UP, DROP_OFF = range(6)


def taxi() -> MDP:
    """Returns the model, states as Gymnasium numbers them: ((row 5 + column) 5 + passenger) 4 + destination.

    Actions south, north, east, west, pick up, drop off. -1 a step, -10 for a false pick up or drop off, 20 at the end.
    No episode comes to 96 of the numbers.
    """
    _, _, passenger, destination = np.unravel_index(np.arange(np.prod(SIZES)), SIZES)
    begins = (passenger < ABOARD) & (passenger != destination)
    return from_step(_step, begins.size, 6, start=begins / begins.sum())


def _step(state, action):
    row, column, passenger, destination = np.unravel_index(state, SIZES)
    at = np.select([(row == x) & (column == y) for x, y in PLACES], range(4), default=-1)  # a place, or -1
    wall_right, wall_left = (np.isin(5 * row + column - shift, [5 * x + y for x, y in WALLS]) for shift in (0, 1))
    goal_row = np.clip(row + np.select([action == SOUTH, action == NORTH], [1, -1], 0), 0, 4)
    east, west = (action == EAST) & ~wall_right, (action == WEST) & ~wall_left
    goal_column = np.clip(column + 1 * east - 1 * west, 0, 4)
    up = (action == PICK_UP) & (passenger == at)
    down = (action == DROP_OFF) & (passenger == ABOARD) & (at >= 0)
    arrived = down & (at == destination)
    goal_passenger = np.where(up, ABOARD, np.where(down, at, passenger))
    false = ((action == PICK_UP) & ~up) | ((action == DROP_OFF) & ~down)
    reward = np.where(arrived, 20.0, np.where(false, -10.0, -1.0))
    goal = ((goal_row * 5 + goal_column) * 5 + goal_passenger) * 4 + destination
    return goal, 1.0, reward, arrived
