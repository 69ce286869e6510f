"""Margins: for each environment the difference in what ranks that is too small to matter, named before there are results."""

import math
from collections.abc import Sequence

ASKED = (
    "--margin is a positive difference in what ranks, as 20, or of several environments each its own, as CartPole-v1=20"
)


def margins_of(words: Sequence[str], environments: Sequence[str]) -> dict[str, float]:
    """Returns the margins by environment, {} where no word names one. Raises ValueError in one line."""
    margins = {}
    for word in words:
        name, named, value = word.rpartition("=")
        if not named and len(environments) > 1:
            raise ValueError(f"{ASKED}, not {word}: returns of {' and '.join(environments)} are not in the same units")
        name = name if named else environments[0]
        if name not in environments:
            raise ValueError(f"{ASKED}, not {word}; the environments are: {', '.join(environments)}")
        if name in margins:
            raise ValueError(f"--margin names two of {name}: {' '.join(words)}")
        margins[name] = _positive(value, word)
    return margins


def _positive(value: str, word: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0.0):
        raise ValueError(f"{ASKED}, not {word}")
    return number
