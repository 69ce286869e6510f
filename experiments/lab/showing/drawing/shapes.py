"""Scenes as plain data, in the environment's own units with y upwards, and the pixels they become."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

BACKGROUND, INK, LIGHT, GREY = "#ffffff", "#222222", "#dddddd", "#888888"
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"  # these and three more: Okabe and Ito
ORANGE, SKY, YELLOW, BROWN, TEAL = "#E69F00", "#56B4E9", "#F0E442", "#8C510A", "#01665E"
COLOURS = (INK, LIGHT, GREY, BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, YELLOW, BROWN, TEAL)
SMOOTHNESS = 3  # a pixel is the mean of so many by so many
SHADES = 8  # between a colour and the background, in the palette

Point = tuple[float, float]


@dataclass(frozen=True)
class Polygon:
    """A filled area."""

    points: tuple[Point, ...]
    colour: str


@dataclass(frozen=True)
class Disc:
    """A filled circle."""

    centre: Point
    radius: float
    colour: str


@dataclass(frozen=True)
class Line:
    """A line through the points."""

    points: tuple[Point, ...]
    width: float
    colour: str


@dataclass(frozen=True)
class Words:
    """A line of text whose letters are so high, its upper left corner at the place."""

    place: Point
    text: str
    height: float
    colour: str


@dataclass(frozen=True)
class Scene:
    """What one state looks like: shapes, the later ones on top, and the rectangle that is seen."""

    shapes: tuple[Polygon | Disc | Line | Words, ...]
    view: tuple[float, float, float, float]  # left, right, bottom, top


def rasterise(scene: Scene, side: int) -> Image.Image:
    """Returns the scene as an RGB image; its longer side has `side` pixels."""
    left, right, bottom, top = scene.view
    scale = side * SMOOTHNESS / max(right - left, top - bottom)
    size = [SMOOTHNESS * max(1, round(length * scale / SMOOTHNESS)) for length in (right - left, top - bottom)]
    image = Image.new("RGB", size, BACKGROUND)
    pen = ImageDraw.Draw(image)

    def pixels(points) -> list[Point]:
        return [((x - left) * scale, (top - y) * scale) for x, y in points]

    for shape in scene.shapes:
        if isinstance(shape, Polygon):
            pen.polygon(pixels(shape.points), fill=shape.colour)
        elif isinstance(shape, Disc):
            pen.circle(*pixels([shape.centre]), shape.radius * scale, fill=shape.colour)
        elif isinstance(shape, Words):
            font = ImageFont.load_default(max(1.0, shape.height * scale))
            pen.text(*pixels([shape.place]), shape.text, fill=shape.colour, font=font)
        else:
            pen.line(pixels(shape.points), fill=shape.colour, width=max(1, round(shape.width * scale)), joint="curve")
    return image.reduce(SMOOTHNESS)


def palette() -> Image.Image:
    """Returns an image with the palette of all frames: every colour, its shades, and the edges between two colours.

    A palette chosen for each frame would make still parts of the picture flicker.
    """
    colours = np.array([ImageColor.getrgb(colour) for colour in COLOURS], float)
    background = np.array(ImageColor.getrgb(BACKGROUND), float)
    steps = [n / SHADES for n in range(1, SHADES + 1)]
    light = COLOURS.index(LIGHT)  # its own shades would be too near the background to be told from it
    shades = [background + (colour - background) * step for colour in np.delete(colours, light, 0) for step in steps]
    shades.append(colours[light])
    edges = [(one + other) / 2 for one, other in combinations(colours, 2)]
    image = Image.new("P", (1, 1))
    image.putpalette(np.stack([background, *shades, *edges]).round().astype(np.uint8).ravel().tolist())
    return image


def segment(start: Point, end: Point, width: float, colour: str) -> Polygon:
    """Returns the rectangle of that width around the segment."""
    start, end = np.asarray(start, float), np.asarray(end, float)
    along = (end - start) / np.linalg.norm(end - start)
    across = np.array([-along[1], along[0]]) * width / 2
    return Polygon(tuple(map(tuple, (start + across, end + across, end - across, start - across))), colour)
