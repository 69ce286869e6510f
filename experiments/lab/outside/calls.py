"""What a user names with the values of its arguments: `my_nets.py:wide(size=5)`, `my_envs.py:line(size=5, slip=0.1)`."""

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

PLAIN = int | float | str | bool | None  # what a manifest can hold and give back


def parsed(text: str) -> tuple[str, dict[str, Any]]:
    """Returns (what is named, its fields) of NAME or NAME(FIELD=VALUE, ...). Raises ValueError, in one line, for fields that
    are no numbers, words, true, false, none, or tuples of them."""
    name, bracket, inside = text.partition("(")
    if not bracket:
        return text, {}
    try:
        call = ast.parse(f"f({inside}", mode="eval").body
        if not (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Name)
            and not call.args
            and all(each.arg for each in call.keywords)
        ):
            raise ValueError
        fields = {each.arg: plain(_value(each.value)) for each in call.keywords}
        if len(fields) < len(call.keywords):
            raise ValueError
    except (ValueError, SyntaxError, TypeError):
        raise ValueError(
            f"{text!r} cannot be read; write NAME(FIELD=VALUE, ...), as in my_nets.py:wide(size=5), and quote it for the shell"
        ) from None
    return name, fields


def written(name: str, fields: dict[str, Any]) -> str:
    """Returns NAME(FIELD=VALUE,...) as `parsed` reads it, without spaces; NAME where there are no fields."""
    told = ",".join(f"{field}={value!r}".replace(" ", "") for field, value in fields.items())
    return f"{name}({told})" if fields else name


def plain(value: Any) -> Any:
    """Returns the value with lists as tuples. Raises ValueError for what a manifest could not give back."""
    if isinstance(value, list | tuple):
        return tuple(map(plain, value))
    if not isinstance(value, PLAIN):
        raise ValueError(f"a field must be a number, a word, true, false, none, or a tuple of them, not {value!r}")
    return value


def check_fields(function: Callable, fields: dict[str, Any], first: tuple[str, ...] = ()) -> None:
    """Raises ValueError, in one line that begins with FILE:LINE, where the function cannot be called with the fields, by
    keyword, after the arguments `first`."""
    try:
        inspect.signature(function).bind(*first, **fields)
    except TypeError as error:
        code = inspect.unwrap(function).__code__
        known = [name for name in inspect.signature(function).parameters if name not in ("env", "config")]
        told = f"its fields are: {', '.join(known)}" if known else "it has no fields"
        raise ValueError(
            f"{Path(code.co_filename)}:{code.co_firstlineno}: {function.__name__}: {error}; {told}"
        ) from None


def takes_config(function: Callable, fields: dict[str, Any]) -> bool:
    """Returns whether a function that makes a network takes (env, config), rather than env and fields alone: its second
    argument is called `config`, or must be given and is no field."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    places = [one for one in inspect.signature(function).parameters.values() if one.kind in kinds]
    second = places[1] if len(places) > 1 and places[1].name not in fields else None
    return second is not None and (second.name == "config" or second.default is second.empty)


def network_of(function: Callable, env: Any, config: Any, fields: dict[str, Any]) -> Any:
    """Returns the network that the function makes for the environment."""
    return function(env, config, **fields) if takes_config(function, fields) else function(env, **fields)


def _value(node: ast.expr) -> Any:
    """Returns what is written; a bare word is true, false or none, or itself."""
    if isinstance(node, ast.Name):
        return {"true": True, "false": False, "none": None}.get(node.id.lower(), node.id)
    return ast.literal_eval(node)
