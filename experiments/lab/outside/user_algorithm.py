"""An algorithm of a user's own: a file, `my_a2c.py`, with what every algorithm's has: Config, HParams, loss, make."""

import dataclasses
import inspect
from pathlib import Path
from types import ModuleType

from experiments.lab.definition.experiment import Contender
from experiments.lab.outside.user_files import load_module
from experiments.lab.outside.user_loss import check_hparams, is_reference

PARTS = ("Config", "HParams", "make")


def is_file(name: str) -> bool:
    """Returns whether the name means a whole file: an algorithm, where FILE.py:FUNCTION means a loss."""
    return is_reference(name) and name.endswith(".py")


def own_algorithm(name: str, steps: int) -> Contender:
    """Returns the algorithm in the file as `of_module` does. Raises ValueError, in one line, for a file that holds none."""
    return of_module(load_module(Path(name)), steps)


def of_module(module: ModuleType, steps: int) -> Contender:
    """Returns a user's algorithm at its defaults, called as its file is, with schedules that end with the budget.

    Raises ValueError, in one line, for a module that is none.
    """
    check(module)
    fields = {field.name for field in dataclasses.fields(module.HParams)}
    budget = {"total_steps": float(steps)} if "total_steps" in fields else {}
    return Contender(Path(module.__file__).stem, module, module.Config(), module.HParams(**budget))


def check(module: ModuleType) -> None:
    """Raises ValueError, in one line that begins with the file, for a module that lacks a part or has a wrong one."""
    path = module.__file__
    lacking = [part for part in PARTS if not hasattr(module, part)]
    if lacking:
        raise ValueError(
            f"{path} has no {' and no '.join(lacking)}: an algorithm is a file with Config, HParams, loss and make, as "
            "algos/a2c.py; a loss alone is named FILE.py:FUNCTION"
        )
    if not (inspect.isclass(module.Config) and dataclasses.is_dataclass(module.Config)):
        raise ValueError(f"{path}: Config must be a dataclass: decorate it with @dataclass(frozen=True)")
    try:
        hash(module.Config())
    except TypeError as error:
        raise ValueError(
            f"{path}: Config must be @dataclass(frozen=True), every field with a default that can be hashed: {error}"
        ) from None
    if not (inspect.isclass(module.HParams) and dataclasses.is_dataclass(module.HParams)):
        raise ValueError(f"{path}: HParams must be a class of numbers: decorate it with flax's @struct.dataclass")
    check_hparams(module.HParams)
    if not inspect.isfunction(module.make):
        raise ValueError(f"{path}: make must be a function (env, config, *, loss=loss, network=None) -> Algorithm")
    if hasattr(module, "loss") and not inspect.isfunction(module.loss):
        raise ValueError(f"{path}: loss must be a function (params, apply, batch, hparams), written with def")
