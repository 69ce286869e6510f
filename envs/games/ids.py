"""Games that `envs.make` knows, by their names there."""

import functools
import inspect
from typing import Any

from envs.core import Env
from envs.games import matrix
from envs.games.kuhn import kuhn
from envs.games.leduc import leduc
from envs.games.liars_dice import liars_dice
from envs.games.play import matrix_env, tree_env
from envs.games.spread import spread

REPEATED = 25  # rounds of an episode, as games of common interest are published (arXiv 2006.07869)

# name: (the game, what is observed of it)
TREES = {"Kuhn": (kuhn, "one_hot"), "Leduc": (leduc, "spelled"), "LiarsDice": (liars_dice, "spelled")}
# name: (the game, how many rounds)
MATRICES = {
    "RockPaperScissors": (matrix.rock_paper_scissors, 1),
    "MatchingPennies": (matrix.matching_pennies, 1),
    "PrisonersDilemma": (matrix.prisoners_dilemma, 1),
    "StagHunt": (matrix.stag_hunt, 1),
    "Climbing": (matrix.climbing, REPEATED),
    "Penalty": (matrix.penalty, REPEATED),
}
IDS = (*TREES, *MATRICES, "Spread")
ZERO_SUM = (*TREES, "RockPaperScissors", "MatchingPennies")  # one gains what others lose
# What a field of another kind raises somewhere
MALFORMED = (TypeError, AttributeError, KeyError, IndexError, NotImplementedError, ArithmeticError)


def make_game(name: str, **fields) -> Env:
    """Returns the environment of that name. Fields: those of the game, and of a tree `observation`, in normal form `rounds`,
    `memory` and `ids`. Raises ValueError, listing the valid ones, for another."""
    try:
        return _spread(**fields) if name == "Spread" else _game(name, fields)
    except MALFORMED as error:
        raise ValueError(f"{name}: {error}") from None


def _game(name: str, fields: dict[str, Any]) -> Env:
    maker, default = (TREES | MATRICES)[name]
    chosen = {"observation": default} if name in TREES else {"rounds": default, "memory": False, "ids": True}
    allowed = [*inspect.signature(maker).parameters, *chosen]
    unknown = sorted(set(fields) - set(allowed))
    if unknown:
        raise ValueError(f"{name} has no field {unknown[0]}; its fields are: {', '.join(allowed)}")
    of_game = {key: value for key, value in fields.items() if key not in chosen}
    chosen |= {key: value for key, value in fields.items() if key in chosen}
    if name in MATRICES:
        return matrix_env(maker(**of_game), name, **chosen)
    return tree_env(_tree(name, tuple(sorted(of_game.items()))), name, **chosen)


def _spread(**fields) -> Env:
    allowed = list(inspect.signature(spread).parameters)
    unknown = sorted(set(fields) - set(allowed))
    if unknown:
        raise ValueError(f"Spread has no field {unknown[0]}; its fields are: {', '.join(allowed)}")
    return spread(**fields)


@functools.cache
def _tree(name: str, fields: tuple):
    return TREES[name][0](**dict(fields))
