"""The scene of a language task: the prompt, and what is written so far."""

import textwrap

import numpy as np

from experiments.lab.showing.drawing.shapes import BLUE, INK, LIGHT, Line, Scene, Words

WIDE, TALL = 30, 10  # letters a line, lines
LETTER, ROW, HEIGHT = 0.72, 1.7, 1.3  # the room that a letter and a line have, and how high letters are


def so_far(text, state, observation) -> Scene:
    """Returns the prompt and the answer as words; as numbers of tokens where the task cannot decode them."""
    tokens = np.asarray(observation)
    parts = [(tokens[: -text.length], BLUE), (tokens[-text.length :], INK)]
    lines = [(line, colour) for part, colour in parts for line in textwrap.wrap(_words(text, part), WIDE)]
    right, top = LETTER * WIDE, ROW * TALL
    shown = [Words((0.4, top - ROW * row), line, HEIGHT, colour) for row, (line, colour) in enumerate(lines[-TALL:])]
    return Scene((Line(((0.0, 0.0), (right, 0.0)), 0.05, LIGHT), *shown), (0.0, right, 0.0, top))


def _words(text, tokens: np.ndarray) -> str:
    real = tokens[tokens != text.pad].tolist()
    return text.decode(real) if text.decode else " ".join(map(str, real))
