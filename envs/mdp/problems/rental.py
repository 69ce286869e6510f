"""Jack's car rental (Sutton and Barto 2018, example 4.2)."""

from typing import NamedTuple

import numpy as np
from scipy.stats import poisson

from envs.mdp.build import from_arrays
from envs.mdp.model import MDP

MOST_CARS, MOST_MOVED = 20, 5
RENT, MOVING = 10.0, 2.0
REQUESTS, RETURNS = (3.0, 4.0), (3.0, 2.0)  # expected a day, at the first and the second place


def car_rental() -> MDP:
    """Returns the model: state (i, j) = 21 i + j, the cars in the evening; action a moves a - 5 from the first place to
    the second overnight, or as many as there are. Requests and returns are Poisson, their tails not cut; cars beyond 20
    leave the company. The reward is the one expected of the pair. It never ends; the book's gamma is 0.9.
    """
    size = MOST_CARS + 1
    first, second = (_one_day(requests, returns) for requests, returns in zip(REQUESTS, RETURNS))
    cars = np.arange(size * size)
    here, there = cars // size, cars % size
    moved = np.clip(np.arange(-MOST_MOVED, MOST_MOVED + 1), -there[:, None], here[:, None])  # [S, A]
    morning = np.minimum(here[:, None] - moved, MOST_CARS), np.minimum(there[:, None] + moved, MOST_CARS)
    chance = first.chance[morning[0]][..., :, None] * second.chance[morning[1]][..., None, :]
    reward = first.income[morning[0]] + second.income[morning[1]] - MOVING * np.abs(moved)
    return from_arrays(
        successor=np.broadcast_to(cars, (*moved.shape, cars.size)),
        probability=chance.reshape(*moved.shape, cars.size),
        reward=reward[..., None],
        terminated=False,
        cell=np.stack([here, there], -1),
    )


class Day(NamedTuple):
    """What a day does at one place that begins it with n cars."""

    chance: np.ndarray  # [n, n'], of the cars in the evening
    income: np.ndarray  # [n], expected


def _one_day(requests: float, returns: float) -> Day:
    """Returns the day of one place: cars are rented while there are any; those returned can be rented a day later."""
    cars = np.arange(MOST_CARS + 1)
    chance, income = np.zeros((cars.size, cars.size)), np.zeros(cars.size)
    for stock in cars:
        rented = _at_most(stock, requests)
        income[stock] = RENT * rented @ np.arange(stock + 1)
        for gone, probability in enumerate(rented):
            left = stock - gone
            chance[stock, left:] += probability * _at_most(MOST_CARS - left, returns)
    return Day(chance, income)


def _at_most(limit: int, mean: float) -> np.ndarray:
    """Returns the distribution of min(X, limit), X Poisson, [limit + 1]."""
    below = poisson.pmf(np.arange(limit), mean)
    return np.append(below, poisson.sf(limit - 1, mean))
