"""What is observed of an information set: a vector for each, and no two alike.

    one_hot     one number for each information set: a table, if a network is linear in it
    spelled     the player's seat and the name, character by character: what is alike in two names is alike for a network

A name is what the player knows, "Qh,Ks:rc/c" in Leduc: fields parted by ":", "," and "/", each read from its own beginning.
"""

import re

import numpy as np

from envs.games.tree import GameTree

KINDS = ("one_hot", "spelled")


def features(tree: GameTree, kind: str) -> np.ndarray:
    """Returns what is observed of each information set, float32 [I, D], rows all unlike. Raises ValueError for a kind that there
    is not, and for names that spell two information sets of one player alike."""
    if kind == "one_hot":
        return np.eye(tree.num_info_sets, dtype=np.float32)
    if kind != "spelled":
        raise ValueError(f"observation must be one of {', '.join(KINDS)}, not {kind!r}")
    seats = np.eye(tree.num_players, dtype=np.float32)[tree.mover]
    told = np.concatenate([seats, spelled(tree.names)], axis=1)
    if len(np.unique(told, axis=0)) < tree.num_info_sets:
        raise ValueError('names spell two information sets alike; take observation="one_hot"')
    return told


def spelled(names: tuple[str, ...]) -> np.ndarray:
    """Returns one number for each character that some name has at a place, 1.0 where this name has it, float32 [I, D]."""
    placed = [_placed(name) for name in names]
    columns = {one: column for column, one in enumerate(sorted(set().union(*placed)))}
    told = np.zeros((len(names), len(columns)), np.float32)
    for row, characters in enumerate(placed):
        told[row, [columns[one] for one in characters]] = 1.0
    return told


def _placed(name: str) -> set[tuple[int, int, int, str]]:
    """Returns (part, field, place, character) of every character; the end of a field is one too."""
    return {
        (part, field, place, character)
        for part, fields in enumerate(name.split(":"))
        for field, word in enumerate(re.split("[,/]", fields))
        for place, character in enumerate([*word, "end"])
    }
