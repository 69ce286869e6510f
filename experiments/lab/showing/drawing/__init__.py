"""Pictures of environments: which can be drawn, how, and how fast their frames follow each other."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from experiments.lab.showing.drawing import classic, grids, teams
from experiments.lab.showing.drawing.shapes import Scene


class Drawing(NamedTuple):
    """How an environment is shown."""

    scene: Callable[..., Scene]  # (state, observation, **fields)
    milliseconds: int  # a frame is shown; a GIF counts in hundredths of a second


GRID = Drawing(grids.channels, 100)
DRAWINGS = {
    "CartPole-v1": Drawing(classic.cart_pole, 20),
    "Pendulum-v1": Drawing(classic.pendulum, 50),
    "Acrobot-v1": Drawing(classic.acrobot, 70),
    "MountainCar-v0": Drawing(classic.mountain_car, 30),
    "MountainCarContinuous-v0": Drawing(classic.mountain_car_continuous, 30),
    "Asterix-MinAtar": GRID,
    "Breakout-MinAtar": GRID,
    "Freeway-MinAtar": GRID,
    "Seaquest-MinAtar": GRID,
    "SpaceInvaders-MinAtar": GRID,
    "Catch-bsuite": Drawing(grids.catch, 200),
    "DeepSea-bsuite": Drawing(grids.channels, 200),
    "FourRooms-misc": Drawing(grids.four_rooms, 100),
    "MetaMaze-misc": Drawing(grids.meta_maze, 100),
    "PointRobot-misc": Drawing(classic.point_robot, 100),
    "Pong-misc": Drawing(grids.channels, 50),
    "Spread": Drawing(teams.spread, 150),
}


OWN = Drawing(grids.anything, 100)


def drawing(environment: str, fields: dict[str, Any], own: bool = False, model=None) -> Drawing:
    """Returns how the environment with these fields is drawn: `scene` is then a function of (state, observation). A finite
    model whose states have cells is drawn on its grid, another one of a user's own file by its observation.

    Raises ValueError, listing those that can be drawn, for one that cannot.
    """
    if model is not None and model.cell is not None:
        return Drawing(partial(grids.finite_model, grids.landscape(model)), 200)
    if own:
        return OWN
    if environment not in DRAWINGS:
        every = f"{', '.join(DRAWINGS)}, and finite models on a grid"
        raise ValueError(f"{environment} cannot be drawn; those that can: {every}")
    chosen = DRAWINGS[environment]
    seen = {name: value for name, value in fields.items() if name in inspect.signature(chosen.scene).parameters}
    return chosen._replace(scene=partial(chosen.scene, **seen))
