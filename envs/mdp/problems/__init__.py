"""Finite models from books, papers and Gymnasium, by the ids under which `envs.make` knows them.

Each maker takes the fields of its problem and returns its model; `MAKERS` adds the time limit of an episode.
"""

import inspect
import warnings
from collections.abc import Callable
from typing import NamedTuple

from envs.core import Env
from envs.mdp.environment import as_env
from envs.mdp.model import MDP
from envs.mdp.problems import features
from envs.mdp.problems.cards import blackjack
from envs.mdp.problems.chains import baird, garnet, random_walk
from envs.mdp.problems.gambling import gambler
from envs.mdp.problems.grids import cliff, dyna_maze, frozen_lake, gridworld, switching_maze, windy
from envs.mdp.problems.rental import car_rental
from envs.mdp.problems.taxi import taxi
from envs.names import unknown


class Maker(NamedTuple):
    """How a named problem becomes a model and an environment."""

    model: Callable[..., MDP]
    max_steps: int  # Gymnasium's limit where it has one
    fixed: dict  # fields that the id decides
    observe: Callable[[MDP], object] = lambda mdp: None  # features [S, ...]; None: one-hot


MAKERS = {
    "FrozenLake-4x4": Maker(frozen_lake, 100, {"size": 4}),
    "FrozenLake-8x8": Maker(frozen_lake, 200, {"size": 8}),
    "CliffWalking": Maker(cliff, 500, {}),
    "Taxi": Maker(taxi, 200, {}),
    "Gridworld": Maker(gridworld, 100, {}),
    "WindyGridworld": Maker(windy, 500, {}),
    "DynaMaze": Maker(dyna_maze, 2000, {}),
    "BlockingMaze": Maker(switching_maze, 2000, {"maze": "blocking"}),
    "ShortcutMaze": Maker(switching_maze, 2000, {"maze": "shortcut"}),
    "RandomWalk-5": Maker(random_walk, 1000, {"states": 5, "left": 0.0}),
    "RandomWalk-19": Maker(random_walk, 5000, {"states": 19, "left": -1.0}),
    "RandomWalk-1000": Maker(random_walk, 5000, {"states": 1000, "left": -1.0, "reach": 100}),
    "Gambler": Maker(gambler, 1000, {}),
    "CarRental": Maker(car_rental, 100, {}),
    "Blackjack": Maker(blackjack, 30, {}),
    "Baird": Maker(baird, 1000, {}, features.baird),
    "Garnet": Maker(garnet, 200, {}),
}
IDS = tuple(MAKERS)


def model(name: str, **fields) -> MDP:
    """Returns the model of that id. Raises ValueError, listing the valid ones, for an unknown id or field."""
    if name not in MAKERS:
        raise ValueError(unknown("model", name, IDS))
    maker = MAKERS[name]
    allowed = [field for field in inspect.signature(maker.model).parameters if field not in maker.fixed]
    wrong = sorted(set(fields) - set(allowed))
    if wrong:
        raise ValueError(f"{name} has no field {', '.join(wrong)}; its fields are: {', '.join([*allowed, LIMIT])}")
    with warnings.catch_warnings():  # published problems are as they are, with states that no episode can reach
        warnings.simplefilter("ignore")
        return maker.model(**maker.fixed, **fields)


LIMIT = "max_steps_in_episode"  # as gymnax calls it


def make_finite(name: str, **fields) -> Env:
    """Returns the model of that id as an environment. Raises ValueError as `model` does, and for a limit below 1."""
    limit = fields.pop(LIMIT, MAKERS[name].max_steps)
    if not isinstance(limit, int) or limit < 1:
        raise ValueError(f"{LIMIT} must be a whole number, 1 or more, not {limit!r}")
    mdp = model(name, **fields)
    return as_env(mdp, name, limit, MAKERS[name].observe(mdp))
