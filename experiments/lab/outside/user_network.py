"""A network of a user's own: a function, `my_nets.py:wide`, of (env) or (env, config) and fields of its own, that returns
anything with flax's `init` and `apply`."""

import dataclasses
import inspect
from collections.abc import Sequence
from typing import Any

from experiments.lab.definition.experiment import Contender, Task
from experiments.lab.outside.calls import check_fields, parsed, takes_config, written
from experiments.lab.outside.user_files import load
from experiments.lab.outside.user_loss import check_function

DEFAULT = "default"  # stands for the algorithm's own network


def with_networks(tasks: tuple[Task, ...], texts: Sequence[str]) -> tuple[Task, ...]:
    """Returns the tasks with each contender once for each network that is named for it; who has none named stays.

    texts: `my_nets.py:wide(size=5)` for every contender, `ppo=my_nets.py:wide` for one, `default` for the algorithm's own.
    Raises ValueError, in one line.
    """
    names = list(dict.fromkeys(one.name for task in tasks for one in task.contenders))
    named = [_owned(text, names) for text in texts]

    def variants(parent: Contender) -> list[Contender]:
        wanted = [text for owner, text in named if owner == parent.name]
        wanted = wanted or [text for owner, text in named if not owner]
        return [with_network(parent, text, DEFAULT in wanted) for text in wanted] or [parent]

    return tuple(
        dataclasses.replace(task, contenders=tuple(one for parent in task.contenders for one in variants(parent)))
        for task in tasks
    )


def with_network(parent: Contender, text: str, beside: bool = False) -> Contender:
    """Returns the contender with the network that the text names, called after both, as "ppo wide(size=5)".

    beside: its parent, the one that verdicts hold it against first, is the contender with its own network; else that of a
    loss is the algorithm with the same network. Raises ValueError, in one line.
    """
    if text == DEFAULT:
        return parent
    reference, fields = parsed(text)
    function = load(reference)
    check_network(function, reference, fields)
    if "network" not in inspect.signature(parent.algorithm.make).parameters:
        raise ValueError(f"{parent.name} takes no network: it learns a table or weights of features")
    label = written(function.__name__, fields)
    against = f"{parent.parent} {label}" if parent.parent and not beside else parent.name
    return dataclasses.replace(
        parent, name=f"{parent.name} {label}", network=function, network_fields=fields, parent=against
    )


def makes_network(function: Any) -> bool:
    """Returns whether the function makes a network, and no environment and no loss: its first argument is called `env`, and
    has no default."""
    first = next(iter(inspect.signature(function).parameters.values()), None)
    return first is not None and first.name == "env" and first.default is first.empty


def check_network(function: Any, name: str, fields: dict[str, Any]) -> None:
    """Raises ValueError for what is no function that makes a network with these fields."""
    check_function(function, name)
    check_fields(function, fields, ("env", "config") if takes_config(function, fields) else ("env",))


def _owned(text: str, names: Sequence[str]) -> tuple[str, str]:
    """Returns (the contender that the network is for, "" for all, what names the network)."""
    owner, equals, _ = text.partition("(")[0].partition("=")
    if not equals:
        return "", text
    if owner not in names:
        raise ValueError(f"--network {text}: there is no contender {owner!r}; choose from: {', '.join(names)}")
    return owner, text[len(owner) + 1 :]
