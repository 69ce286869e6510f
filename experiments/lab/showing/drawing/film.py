"""Panels side by side as the frames of a GIF."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from experiments.lab.showing.drawing.shapes import BACKGROUND, GREY, INK, Scene, palette, rasterise

MARGIN, LINE, GAP, FONT_SIZE = 10, 20, 6, 15  # pixels
SIDES = {1: 480, 2: 360, 3: 300}  # of a panel by the number of columns, pixels
SMALLEST_SIDE = 240


class Panel(NamedTuple):
    """One policy at one moment."""

    title: str
    note: str
    scene: Scene | Image.Image


def frame(heading: str, clock: str, panels: Sequence[Panel], columns: int) -> Image.Image:
    """Returns the panels in rows of `columns`, each under its title and note, below a heading and a clock."""
    side = SIDES.get(columns, SMALLEST_SIDE)
    pictures = [rasterise(panel.scene, side) for panel in panels]
    row_height = 2 * LINE + GAP + max(picture.height for picture in pictures) + MARGIN
    rows = -(-len(panels) // columns)
    size = (MARGIN + columns * (side + MARGIN), MARGIN + LINE + rows * row_height)
    image = Image.new("RGB", size, BACKGROUND)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(FONT_SIZE)
    room = size[0] - 3 * MARGIN - font.getlength(clock)
    pen.text((MARGIN, MARGIN / 2), fitted(heading, font, room), fill=INK, font=font)
    pen.text((size[0] - MARGIN, MARGIN / 2), clock, fill=GREY, font=font, anchor="ra")
    for index, (panel, picture) in enumerate(zip(panels, pictures)):
        left = MARGIN + index % columns * (side + MARGIN)
        top = MARGIN + LINE + index // columns * row_height
        pen.text((left, top), fitted(panel.title, font, side), fill=INK, font=font)
        pen.text((left, top + LINE), fitted(panel.note, font, side), fill=INK, font=font)
        image.paste(picture, (left + (side - picture.width) // 2, top + 2 * LINE + GAP))
    return image


def fitted(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """Returns the text, cut and ended by three dots where it would be wider than `width` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."


def write_gif(
    path: Path, frames: Iterable[Image.Image], milliseconds: Sequence[int], colours: Image.Image | None = None
) -> None:
    """Writes the frames, each shown for its time, as a GIF that repeats for ever. colours: the palette, an image; by
    default the one of scenes."""
    colours = palette() if colours is None else colours
    first, *rest = (image.quantize(palette=colours, dither=Image.Dither.NONE) for image in frames)
    first.save(
        path, "GIF", save_all=True, append_images=rest, duration=list(milliseconds), loop=0, optimize=False, disposal=1
    )


def palette_of(frames: Iterable[Image.Image], number: int) -> Image.Image:
    """Returns an image with a palette for pictures whose colours are not known before: of the first, the middle and the
    last of `number` frames."""
    wanted = {0, number // 2, number - 1}
    chosen = [frame for index, frame in enumerate(frames) if index in wanted]
    beside = Image.new("RGB", (sum(image.width for image in chosen), max(image.height for image in chosen)))
    left = 0
    for image in chosen:
        beside.paste(image, (left, 0))
        left += image.width
    return beside.quantize(256)
