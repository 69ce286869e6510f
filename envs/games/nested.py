"""Game trees from nested mappings, such as a JSON file holds."""

import json
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from envs.games.build import Chance, Decision, End, Node, branches, from_function, told
from envs.games.tree import GameTree


def from_nested(description: Mapping[str, Any], players: int | None = None) -> GameTree:
    """Returns the tree of nested mappings, each one of these three:

    {"chance": {outcome: [probability, then], ...}}
    {"player": 0, "information": "...", "actions": {action: then, ...}}
    {"payoffs": [1.0, -1.0]}

    players: how many; None: as many as payoffs at the first end. Raises ValueError that names the history which cannot be.
    """
    if players is None:
        players = len(_first_payoffs(description))
    return from_function(lambda history: node_after(description, history), players)


def node_after(description: Any, history: tuple) -> Node:
    """Returns the node that a nested description has after the history."""
    for branch in history:
        then = description.get("chance") or description["actions"]
        description = then[branch][1] if "chance" in description else then[branch]
    if not isinstance(description, Mapping):
        raise ValueError(f"{told(history)} is described by {description!r}, not by a mapping")
    if "payoffs" in description:
        return End(_listed(description["payoffs"], history))
    if isinstance(description.get("chance"), Mapping):
        pairs = description["chance"].items()
        wrong = [outcome for outcome, pair in pairs if not (isinstance(pair, (list, tuple)) and len(pair) == 2)]
        if wrong:
            raise ValueError(f"outcome {wrong[0]!r} of {told(history)} must be [probability, then]")
        return Chance({outcome: pair[0] for outcome, pair in pairs})
    if {"player", "information"} <= set(description) and isinstance(description.get("actions"), Mapping):
        return Decision(description["player"], _written(description["information"]), tuple(description["actions"]))
    keys = ", ".join(map(str, description)) or "nothing"
    raise ValueError(f"{told(history)} has {keys}; it needs chance, or player, information and actions, or payoffs")


def _first_payoffs(description: Any) -> Sequence:
    """Returns the payoffs of the end that is reached by first branches."""
    history = ()
    while not isinstance(node := node_after(description, history), End):
        if not (following := branches(node)):
            raise ValueError(f"{told(history)} leads nowhere")
        history = (*history, following[0][0])
    return node.payoffs


def _listed(payoffs: Any, history: tuple) -> tuple:
    if not isinstance(payoffs, (list, tuple)) or not payoffs:
        raise ValueError(f"payoffs of {told(history)} must be a list of numbers, not {payoffs!r}")
    return tuple(payoffs)


def _written(information: Any) -> Hashable:
    return json.dumps(information) if isinstance(information, (list, dict)) else information
