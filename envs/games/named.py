"""Games by name, and of a user's own JSON file."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path

from envs.games import matrix, nested
from envs.games.kuhn import kuhn
from envs.games.leduc import leduc
from envs.games.liars_dice import liars_dice
from envs.games.matrix import MatrixGame
from envs.games.tree import GameTree

TREES: dict[str, Callable[..., GameTree]] = {"kuhn": kuhn, "leduc": leduc, "liars_dice": liars_dice}
MATRICES: dict[str, Callable[..., MatrixGame]] = {
    "rock_paper_scissors": matrix.rock_paper_scissors,
    "matching_pennies": matrix.matching_pennies,
    "prisoners_dilemma": matrix.prisoners_dilemma,
    "stag_hunt": matrix.stag_hunt,
    "climbing": matrix.climbing,
    "penalty": matrix.penalty,
}
NAMES = (*TREES, *MATRICES)


def make(name: str, **fields) -> GameTree | MatrixGame:
    """Returns the game of that name. Raises ValueError, listing the valid ones, for an unknown name or field."""
    maker = (TREES | MATRICES).get(name)
    if maker is None:
        raise ValueError(f"unknown game {name!r}; choose from: {', '.join(NAMES)}")
    allowed = list(inspect.signature(maker).parameters)
    unknown = sorted(set(fields) - set(allowed))
    if unknown:
        raise ValueError(f"{name} has no field {unknown[0]}; its fields are: {', '.join(allowed) or 'none'}")
    try:
        return maker(**fields)
    except (TypeError, AttributeError, KeyError, IndexError, NotImplementedError, ArithmeticError) as error:
        raise ValueError(f"{name}: {error}") from None


def from_file(path: Path | str) -> GameTree | MatrixGame:
    """Returns the game of a JSON file: a tree where it begins with chance or a player, else payoffs in normal form.

    Raises ValueError, in one line, for a file that describes neither.
    """
    try:
        described = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    try:
        if isinstance(described, dict) and ("chance" in described or "player" in described):
            return nested.from_nested(described)
        return matrix.from_description(described)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None
