"""Environments of several agents as scenes. Arguments after the observation are fields of the environment."""

import numpy as np

from envs.games.spread import RADIUS
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
    Scene,
)

AGENTS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, YELLOW, BROWN, TEAL)
SIDE = 1.35  # from the middle: agents and landmarks begin within 1


def spread(state, observation) -> Scene:
    """Returns agents as discs of their size, landmarks as dark points, and a line from each landmark to its nearest agent,
    whose length is what the team pays for it. An agent that leaves the picture is seen at its edge."""
    position, landmark = (np.asarray(x, float) for x in (state.position, state.landmark))
    far = np.linalg.norm(position[:, None] - landmark[None], axis=-1)
    shown = np.clip(position, -SIDE, SIDE)
    square = Line(((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0)), 0.01, LIGHT)
    discs = [Disc(tuple(at), RADIUS, AGENTS[n % len(AGENTS)]) for n, at in enumerate(shown.tolist())]
    lines = [Line((tuple(shown[far[:, k].argmin()]), tuple(at)), 0.015, GREY) for k, at in enumerate(landmark.tolist())]
    points = [Disc(tuple(at), 0.05, INK) for at in landmark.tolist()]
    return Scene((square, *discs, *lines, *points), (-SIDE, SIDE, -SIDE, SIDE))
