"""An environment of a user's own: a function without arguments, `my_envs.py:corridor`, that returns an `envs.Env`."""

import inspect
from collections.abc import Callable
from pathlib import Path

from envs import JAXMARL, Env
from experiments.lab.definition.experiment import Task
from experiments.lab.outside.user_files import load, neighbours
from experiments.lab.outside.user_loss import check_function, is_reference, source


def named(env: str) -> tuple[str, Callable[[], Env] | None]:
    """Returns (what an environment is called, the function that makes it, None for one that `envs.make` knows) of an id or
    FILE.py:FUNCTION. Raises ValueError as `load_factory` does."""
    factory = load_factory(env) if is_reference(env) and not env.startswith(JAXMARL) else None
    return (factory.__name__ if factory else env), factory


def load_factory(reference: str) -> Callable[[], Env]:
    """Returns the function that `reference`, FILE.py:FUNCTION, names. Raises ValueError, in one line, for none and for
    one that cannot be called without arguments."""
    function = load(reference)
    check_function(function, reference)
    if not takes_nothing(function):
        arguments = ", ".join(inspect.signature(function).parameters)
        path, line = source(function)
        raise ValueError(f"{path}:{line}: {function.__name__}({arguments}) must make an environment without arguments")
    return function


def takes_nothing(function: Callable) -> bool:
    """Returns whether the function can be called without arguments."""
    parameters = inspect.signature(function).parameters.values()
    return all(one.default is not one.empty or one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD) for one in parameters)


def place_of(task: Task, function: Callable | None = None) -> str:
    """Returns FILE:LINE of the last `return` of the function, if it is of the user's, or where the user's factory begins;
    the id of an environment that is in no file of a user's."""
    files = files_of(task)
    for part in (function, task.factory):
        part = inspect.unwrap(part) if callable(part) else None
        part = getattr(part, "func", part)  # of functools.partial
        if (inspect.isfunction(part) or inspect.ismethod(part)) and Path(inspect.getsourcefile(part) or "") in files:
            lines, first = inspect.getsourcelines(part)
            returns = [number for number, text in enumerate(lines, first) if text.strip().startswith("return")]
            return f"{inspect.getsourcefile(part)}:{returns[-1] if returns else first}"
    return task.environment


def files_of(task: Task) -> list[Path]:
    """Returns the user's files that the environment comes from: none for one that `envs.make` knows."""
    if task.factory is None:
        return []
    path, _ = source(task.factory)
    return [path, *neighbours(path)]
