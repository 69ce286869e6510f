"""A loss named by file and function, `my_losses.py:spo`, or by module and function, `experiments.losses.spo:spo`.

The annotation of its last argument says which algorithm it is for, and which hyperparameters it takes:

    def spo(params, apply, batch, hparams: ppo.HParams): ...

The class is the algorithm's own or a subclass with more fields. The algorithm may be a user's own as well: a file beside the
loss, or the same one, with Config, HParams and make. A loss whose network is not the algorithm's own names a function
(env, config) -> network as its attribute: `spo.network = ...`.
"""

import dataclasses
import inspect
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax

from algos.core.config import require_in_range
from experiments.lab.definition.settings import ALGORITHMS
from experiments.lab.outside.loss_errors import error_text
from experiments.lab.outside.user_files import OURS, load

ARGUMENTS = 4  # params, apply, batch, hparams


class UserLoss(NamedTuple):
    """A loss and what it declares."""

    function: Callable
    algorithm: str  # its name in ALGORITHMS, or of the user's file
    hparams_class: type
    network: Callable | None  # (env, config) -> network; None: the algorithm's own
    path: Path  # of its source
    line: int  # where the function begins
    own: ModuleType | None = None  # the user's algorithm that it is for; None: one of ALGORITHMS

    @property
    def module(self) -> ModuleType:
        """The algorithm that it is for."""
        return self.own or ALGORITHMS[self.algorithm][0]


def is_reference(name: str) -> bool:
    """Returns whether the name means a function in a file or module."""
    return ":" in name or name.endswith(".py")


def load_loss(reference: str) -> UserLoss:
    """Returns the loss that `reference` names. Raises ValueError, in one line, for none and for a wrong one."""
    return declared(load(reference), reference)


def declared(function: Callable, name: str) -> UserLoss:
    """Returns the loss with what it declares. Raises ValueError, in one line, when it is none or says too little."""
    check_function(function, name)
    path, line = source(function)
    arguments = list(inspect.signature(function).parameters)
    if len(arguments) != ARGUMENTS:
        raise ValueError(
            f"{path}:{line}: {function.__name__}({', '.join(arguments)}) must take (params, apply, batch, hparams)"
        )
    hparams_class, algorithm, own = _declared(function, arguments[-1], f"{path}:{line}")
    check_hparams(hparams_class)
    network = getattr(function, "network", None)
    if network is not None:
        check_function(network, f"{name}.network")
    return UserLoss(function, algorithm, hparams_class, network, path, line, own)


def source(part: Callable) -> tuple[Path, int]:
    """Returns the file and the line where a function or class begins."""
    return Path(inspect.getsourcefile(part)), inspect.getsourcelines(part)[1]


def place(part: Callable) -> str:
    """Returns FILE:LINE where a function or class begins."""
    path, line = source(part)
    return f"{path}:{line}"


def check_function(function: Any, name: str) -> None:
    """Raises ValueError for what is no function at the top of a file: a run could not find it again."""
    if not inspect.isfunction(function):
        raise ValueError(
            f"{name} is no function but {type(function).__name__}; write it with def, at the top of a file"
        )
    if not Path(inspect.getsourcefile(function) or "").is_file():
        raise ValueError(f"{name} is in no file, and a run could not find it again; write it in one")
    if "<" in function.__qualname__:
        raise ValueError(
            f"{place(function)}: {name} is made inside a function or is a lambda, and a run could not find it again; "
            "write it with def, at the top of a file"
        )


def check_hparams(hparams_class: type) -> None:
    """Raises ValueError for a class of hyperparameters that are not all numbers with defaults, traced and recorded."""
    fields = [field.name for field in dataclasses.fields(hparams_class)]
    name, where = hparams_class.__name__, place(hparams_class)
    try:
        hparams = hparams_class()
    except TypeError as error:
        raise ValueError(f"{where}: every field of {name} needs a default: {error}") from None
    for field in fields:
        value = getattr(hparams, field)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{where}: {name}.{field} must be a number, not {value!r}; 0.0 is off")
    try:
        require_in_range(hparams)
    except ValueError as error:
        raise ValueError(f"{where}: {name}.{error}") from None
    if set(annotated(hparams_class)) - set(fields) or len(jax.tree.leaves(hparams)) < len(fields):
        raise ValueError(f"{where}: {name} must be decorated with flax's @struct.dataclass: its fields are not traced")


def annotated(cls: type, base: type = object) -> list[str]:
    """Returns the names that the class and its ancestors below `base` declare."""
    below = cls.__mro__[: cls.__mro__.index(base)]
    return [name for one in reversed(below) for name in inspect.get_annotations(one)]


def _declared(function: Callable, argument: str, where: str) -> tuple[type, str, ModuleType | None]:
    """Returns (the class of the hyperparameters, the name of the algorithm, the user's own file that it is or None) that
    the annotation declares."""
    try:
        declared = typing.get_type_hints(function).get(argument)
    except Exception as error:
        raise ValueError(f"{where}: the annotation of {argument} cannot be read: {error_text(error)}") from None
    for base in inspect.getmro(declared) if inspect.isclass(declared) else ():
        for name, (module, makes_it) in ALGORITHMS.items():
            if base is module.HParams and not makes_it:
                return declared, name, None
        if own := _own_algorithm(base):
            return declared, Path(own.__file__).stem, own
    modules = ", ".join(name for name, (_, makes_it) in ALGORITHMS.items() if not makes_it)
    raise ValueError(
        f"{where}: {function.__name__} does not say which algorithm it is for; annotate its last argument with "
        f"the HParams of one or with a subclass, as in `{argument}: ppo.HParams` ({modules}, or a file of yours beside it "
        "with Config, HParams and make)"
    )


def _own_algorithm(base: type) -> ModuleType | None:
    """Returns the module of the class where that is an algorithm of a user's own and the class its HParams; else None."""
    module = sys.modules.get(base.__module__)
    if module is None or base.__module__.partition(".")[0] in OURS or getattr(module, "HParams", None) is not base:
        return None
    made_there = getattr(getattr(module, "make", None), "__module__", None) == base.__module__
    return module if made_there and hasattr(module, "Config") else None
