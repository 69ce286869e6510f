"""Pictures of environments: which can be drawn, how, and how fast their frames follow each other."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from envs import Env
from experiments.lab.commands.cli import BadInput
from experiments.lab.showing.drawing import classic, grids, teams, texts
from experiments.lab.showing.drawing.shapes import Scene

Draw = Callable[[Any, Any], np.ndarray]  # (state, observation) -> uint8 [height, width, 3]


class Drawing(NamedTuple):
    """How an environment is shown."""

    scene: Callable[..., Scene | Image.Image]  # (state, observation, **fields)
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


def drawing(env: Env, fields: dict[str, Any], own: bool = False) -> Drawing:
    """Returns how the environment, made with these fields, is drawn: `scene` is then a function of (state, observation). One
    that draws itself (`Env.draw`) does; a language task is drawn as words, a finite model whose states have cells on its grid,
    another one of a user's `own` file or of another package by its observation.

    Raises ValueError, listing those that can be drawn, for one that cannot.
    """
    if env.draw is not None:
        return Drawing(partial(own_picture, env.draw), 100)
    if env.text is not None:
        return Drawing(partial(texts.so_far, env.text), 200)
    if env.model is not None and env.model.cell is not None:
        return Drawing(partial(grids.finite_model, grids.landscape(env.model)), 200)
    if own or "/" in env.name:
        return OWN
    if env.name not in DRAWINGS:
        every = f"{', '.join(DRAWINGS)}, and finite models on a grid"
        raise ValueError(f"{env.name} cannot be drawn; those that can: {every}")
    chosen = DRAWINGS[env.name]
    seen = {name: value for name, value in fields.items() if name in inspect.signature(chosen.scene).parameters}
    return chosen._replace(scene=partial(chosen.scene, **seen))


def own_picture(draw: Draw, state, observation) -> Image.Image:
    """Returns what an environment draws of its state. Raises BadInput where that is no picture."""
    pixels = np.asarray(draw(state, observation))
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] != 3 or not pixels.size:
        raise BadInput(f"Env.draw must return uint8 [height, width, 3], returns {pixels.dtype} {list(pixels.shape)}")
    return Image.fromarray(pixels)
