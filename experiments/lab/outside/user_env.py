"""An environment of a user's own: a function, `my_envs.py:corridor` or `my_envs.py:line(size=5)`, that returns an `envs.Env`."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from envs import Env
from experiments.lab.definition.experiment import Contender, Task
from experiments.lab.judging.judges import Judge
from experiments.lab.outside.calls import check_fields, parsed, written
from experiments.lab.outside.user_files import load, neighbours
from experiments.lab.outside.user_loss import check_function, is_reference, source


class Named(NamedTuple):
    """What an environment is called, the function that makes it (None for one that `envs.make` knows), and its fields."""

    name: str
    factory: Callable[..., Env] | None
    fields: dict[str, Any]

    def task(self, contenders: tuple[Contender, ...] = (), judge: Judge | None = None) -> Task:
        """Returns the task on it."""
        return Task(self.name, contenders, self.fields, self.factory, judge)


def named(env: str) -> Named:
    """Returns what ID, ID(FIELD=VALUE), FILE.py:FUNCTION or FILE.py:FUNCTION(FIELD=VALUE) means. A user's own is called as
    its function is, with its fields: `line(size=5)`. Raises ValueError as `load_factory` does."""
    name, fields = parsed(env)
    if not is_reference(name):
        return Named(name, None, fields)
    factory = load_factory(name, fields)
    return Named(written(factory.__name__, fields), factory, fields)


def load_factory(reference: str, fields: dict[str, Any] | None = None) -> Callable[..., Env]:
    """Returns the function that `reference`, FILE.py:FUNCTION, names. Raises ValueError, in one line, for none and for
    one that cannot be called with the fields alone."""
    function = load(reference)
    check_function(function, reference)
    if not takes_nothing(function) and not fields:
        arguments = ", ".join(inspect.signature(function).parameters)
        path, line = source(function)
        raise ValueError(
            f"{path}:{line}: {function.__name__}({arguments}) must make an environment without arguments, or be given "
            f'them: "{reference}({arguments.partition(",")[0]}=...)"'
        )
    check_fields(function, fields or {})
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
