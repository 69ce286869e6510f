"""Users' own files: loaded from wherever they lie, with the neighbours that they import."""

import ast
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from experiments.lab.outside.loss_errors import raised_at, reason

PREFIX = "user_file_"  # of the names that modules made from users' files get
OURS = ("algos", "envs", "experiments")  # never neighbours, even of a file that lies beside them


def load(reference: str) -> Any:
    """Returns what `reference`, FILE.py:NAME or MODULE:NAME, names. Raises ValueError, in one line, for nothing."""
    where, _, name = reference.rpartition(":")
    if not (where and name):
        raise ValueError(f"{reference} names no function; write FILE.py:FUNCTION")
    if where.endswith(".py"):
        path = Path(where).resolve()
        return load_from(path, name)
    try:
        module = importlib.import_module(where)
    except Exception as error:
        raise ValueError(
            f"cannot import {where!r}: {reason(error)}; a function of yours is named as FILE.py:FUNCTION"
        ) from None
    return _member(module, name, where)


def load_from(path: Path, name: str) -> Any:
    """Returns what is called `name` in the file, which may import its neighbours. Raises ValueError, in one line."""
    return _member(load_module(path), name, str(path.resolve()))


def load_module(path: Path) -> ModuleType:
    """Returns the file as a module; it may import its neighbours. Raises ValueError, in one line."""
    path = path.resolve()
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    module_name = f"{PREFIX}{path.stem}_{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"
    if module_name not in sys.modules:
        _execute(path, module_name)
    return sys.modules[module_name]


def neighbours(path: Path) -> list[Path]:
    """Returns the files beside `path`, or in packages beside it, that it imports, and those that they import."""
    found, to_read = set(), [path]
    while to_read:
        new = set(_imported(to_read.pop(), path.parent)) - found - {path}
        found |= new
        to_read += new
    return sorted(found)


def is_own(module: ModuleType) -> bool:
    """Returns whether the module is a user's file: one that was loaded here or is run by its path, or a neighbour."""
    if _is_root(module) or module.__name__.partition(".")[0] in OURS:
        return _is_root(module)
    file = getattr(module, "__file__", None)
    roots = [other for other in list(sys.modules.values()) if _is_root(other)]
    return file is not None and any(Path(file).resolve() in neighbours(Path(root.__file__).resolve()) for root in roots)


def _is_root(module: ModuleType) -> bool:
    name, file = getattr(module, "__name__", ""), getattr(module, "__file__", None)
    return file is not None and (name.startswith(PREFIX) or (name == "__main__" and module.__spec__ is None))


def _imported(file: Path, folder: Path) -> Iterator[Path]:
    try:
        nodes = list(ast.walk(ast.parse(file.read_bytes())))
    except (SyntaxError, ValueError, OSError):  # no Python, which is said where it is executed, or deleted since
        return
    modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    for name in {module.partition(".")[0] for module in modules} - set(OURS):
        if (folder / f"{name}.py").is_file():
            yield folder / f"{name}.py"
        yield from (folder / name).rglob("*.py")


def _execute(path: Path, module_name: str) -> None:
    spec = importlib.util.spec_from_file_location(module_name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses look their module up there
    try:
        with _importing_from(path.parent):
            spec.loader.exec_module(module)
        _check_neighbours(path)
    except (Exception, SystemExit) as error:
        del sys.modules[module_name]
        where = raised_at(error, [path, *neighbours(path)])
        raise ValueError(f"{where}: {reason(error)}" if where else f"{path}: {reason(error)}") from None


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Neighbours come before what is installed, as in a script, and after all else when a loss imports one as it runs.

    No bytecode is left beside users' files, nor beside their copies in a run folder.
    """
    sys.path.insert(0, str(folder))
    writes_no_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = writes_no_bytecode
        sys.path.remove(str(folder))
        if str(folder) not in sys.path:
            sys.path.append(str(folder))


def _check_neighbours(path: Path) -> None:
    """Raises ImportError where a neighbour's name had brought in another file, with other contents."""
    for near in neighbours(path):
        parts = near.relative_to(path.parent).with_suffix("").parts
        module = sys.modules.get(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
        file = getattr(module, "__file__", None)
        if file and not (Path(file).is_file() and Path(file).read_bytes() == near.read_bytes()):
            raise ImportError(f"it means {near}, and another file of that name is loaded: {file}; rename one")


def _member(module: ModuleType, name: str, where: str) -> Any:
    if not hasattr(module, name):
        here = [key for key, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
        known = [key for key in here if inspect.isfunction(vars(module)[key]) and not key.startswith("_")]
        raise ValueError(f"{where} has no {name!r}; it has: {', '.join(known) or 'no function'}")
    return getattr(module, name)
