"""Settings of contenders by name: the fields of HParams, which are numbers, and of Config, which decide a program."""

import ast
import dataclasses
import math
import types
import typing
from typing import Any

from experiments.lab.definition.experiment import Contender, Task

EVERY = "all"  # stands for every contender that has the field
IN_WORDS = {int: "a whole number", bool: "true or false", float: "a number", str: "a word", types.NoneType: "none"}
WORDS = {"true": True, "false": False, "none": None}


def parsed(setting: str) -> tuple[str, str, str]:
    """Returns (contender, field, what stands after =) of CONTENDER.FIELD=VALUE. Raises ValueError for anything else."""
    name, equals, text = setting.partition("=")
    contender, dot, field = name.rpartition(".")
    if not (equals and dot and contender and field and text):
        raise ValueError(f"{setting!r} is no setting; write CONTENDER.FIELD=VALUE, as in ppo.learning_rate=1e-3")
    return contender, field, text


def named(tasks: tuple[Task, ...], name: str) -> list[Contender]:
    """Returns the contenders of that name in any task: one, the points of a sweep, or all.

    Raises ValueError, listing the names there are, where there is none.
    """
    contenders = [contender for task in tasks for contender in task.contenders]
    chosen = [contender for contender in contenders if name in (EVERY, contender.name, contender.sweep)]
    if not (chosen and name):
        known = ", ".join(dict.fromkeys(contender.sweep or contender.name for contender in contenders))
        raise ValueError(f"there is no contender {name!r}; choose from: {known}, {EVERY}")
    return chosen


def owners(tasks: tuple[Task, ...], name: str, field: str) -> list[Contender]:
    """Returns the contenders of that name, and of `all` those that have the field. Raises ValueError where none has."""
    chosen = named(tasks, name)
    having = [contender for contender in chosen if field in fields(contender)]
    if name == EVERY and having:
        return having
    if len(having) < len(chosen):
        lacking = next(contender for contender in chosen if field not in fields(contender))
        who = "no contender has" if name == EVERY else f"{lacking.name} has no"
        raise ValueError(f"{who} setting {field!r}; {lacking.name} has: {', '.join(fields(lacking))}")
    return chosen


def fields(contender: Contender) -> list[str]:
    """Returns the names of the contender's settings, hyperparameters first."""
    both = (*dataclasses.fields(contender.hparams), *dataclasses.fields(contender.config))
    return list(dict.fromkeys(field.name for field in both))


def value_of(contender: Contender, field: str) -> Any:
    """Returns the setting's value."""
    return getattr(contender.hparams if _is_traced(contender, field) else contender.config, field)


def with_value(contender: Contender, field: str, value: Any) -> Contender:
    """Returns the contender with one setting changed. Raises ValueError for what is no setting or no value of it."""
    kind = kind_of(contender, field)
    if not _fits(value, kind):
        raise ValueError(f"{contender.name}.{field} must be {in_words(kind)}, not {written(value)}")
    if _is_traced(contender, field):
        return dataclasses.replace(contender, hparams=contender.hparams.replace(**{field: float(value)}))
    return dataclasses.replace(contender, config=dataclasses.replace(contender.config, **{field: value}))


def read(contender: Contender, field: str, text: str) -> Any:
    """Returns the value of the setting that `text` writes. Raises ValueError for what is no value of it.

    1e3 is a whole number, 64 stands for (64,) where several are possible, and true, false and none are words.
    """
    kind = kind_of(contender, field)
    if text.lower() in WORDS:
        value = WORDS[text.lower()]
    else:
        try:
            value = ast.literal_eval(text)
        except (ValueError, TypeError, SyntaxError):
            value = text
    for candidate in (value, (value,), int(value) if isinstance(value, float) and value.is_integer() else None, text):
        if _fits(candidate, kind) and (candidate is not None or value is None):
            return candidate
    raise ValueError(f"{contender.name}.{field} must be {in_words(kind)}, not {text}")


def written(value: Any) -> str:
    """Returns the value as `read` reads it, without spaces: 0.001, true, (64,64)."""
    if isinstance(value, (bool, types.NoneType)):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return str(value).replace(" ", "")


def kind_of(contender: Contender, field: str) -> Any:
    """Returns the type that the setting is declared to have; float for all of HParams. Raises ValueError for no field."""
    if field not in fields(contender):
        raise ValueError(f"{contender.name} has no setting {field!r}; it has: {', '.join(fields(contender))}")
    return float if _is_traced(contender, field) else typing.get_type_hints(type(contender.config))[field]


def in_words(kind: Any) -> str:
    """Returns what values of the type are called."""
    if typing.get_origin(kind) is tuple:
        return "whole numbers, as in (64,64)"
    return " or ".join(IN_WORDS[one] for one in typing.get_args(kind) or (kind,))


def _is_traced(contender: Contender, field: str) -> bool:
    return any(field == each.name for each in dataclasses.fields(contender.hparams))


def _fits(value: Any, kind: Any) -> bool:
    """Returns whether the value is of the type; any finite number is a float, and no bool is a number."""
    if typing.get_origin(kind) is tuple:
        return isinstance(value, tuple) and bool(value) and all(_fits(item, typing.get_args(kind)[0]) for item in value)
    if typing.get_args(kind):
        return any(_fits(value, one) for one in typing.get_args(kind))
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
