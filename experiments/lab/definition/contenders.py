"""Contenders from the names that a command line gives."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from algos.core.types import Loss
from experiments.lab.definition.experiment import Contender
from experiments.lab.definition.settings import contender
from experiments.lab.outside.user_algorithm import is_file, of_module, own_algorithm
from experiments.lab.outside.user_loss import UserLoss, annotated, declared, is_reference, load_loss


def contenders(names: Sequence[str], environment: str, steps: int) -> tuple[Contender, ...]:
    """Returns the contenders of those names, an algorithm each, a loss as FILE.py:FUNCTION or an algorithm as FILE.py, with
    the settings for the environment. Raises ValueError, in one line, for a name that means none."""
    chosen = tuple(_contender(name, environment, steps) for name in names)
    for name, times in Counter(one.name for one in chosen).items():
        if times > 1:
            raise ValueError(f"two contenders are called {name!r}; rename the function or the file")
    return chosen


def _contender(name: str, environment: str, steps: int) -> Contender:
    if is_file(name):
        return own_algorithm(name, steps)
    return own_loss(name, environment, steps) if is_reference(name) else contender(name, environment, steps)


def own_loss(reference: str, environment: str, steps: int) -> Contender:
    """Returns the algorithm that the named loss declares, with that loss and the algorithm's settings."""
    loss = load_loss(reference)
    return with_loss(parent_of(loss, environment, steps), loss.function)


def parent_of(loss: UserLoss, environment: str, steps: int) -> Contender:
    """Returns the algorithm that the loss is for, with its settings for the environment; a user's own at its defaults."""
    return contender(loss.algorithm, environment, steps) if loss.own is None else of_module(loss.own, steps)


def with_loss(parent: Contender, function: Loss, name: str = "") -> Contender:
    """Returns the parent with another loss, its network and hyperparameters, called `name` or as the function is.

    Raises ValueError, in one line, for what is no loss, or one for another algorithm.
    """
    loss = declared(function, name or getattr(function, "__name__", "the loss"))
    if not _one_file(loss.module, parent.algorithm):
        raise ValueError(f"{function.__name__} is a loss for {loss.algorithm}, and {parent.name} is another algorithm")
    return dataclasses.replace(
        parent,
        name=name or function.__name__,
        loss=function,
        hparams=with_settings_of(parent.hparams, loss),
        network=loss.network,
        parent=parent.name,
    )


def with_settings_of(hparams: Any, loss: UserLoss) -> Any:
    """Returns the loss's hyperparameters with the values of its algorithm's; a field that the loss declares itself keeps
    the loss's default."""
    declared = annotated(loss.hparams_class, loss.module.HParams)
    return loss.hparams_class(**{name: value for name, value in vars(hparams).items() if name not in declared})


def _one_file(one: ModuleType, other: ModuleType) -> bool:
    """Returns whether both are one algorithm; a user's file is a module more where a loss beside it imports it."""
    return one is other or Path(one.__file__).resolve() == Path(other.__file__).resolve()
