"""Environments of other packages, by the id `package/name`: each is adapted by one file, and installed by its user."""

import importlib
import importlib.util

from envs.core import Env
from envs.names import unknown

SUITES = {
    "brax": "envs.brax_env",
    "jaxmarl": "envs.jaxmarl_env",
    "jumanji": "envs.jumanji_env",
    "pgx": "envs.pgx_env",
}  # fmt: skip; package: (name, **fields) -> Env is its `make`, its `names` are known


def make_of(name: str, **fields) -> Env:
    """Returns the environment `package/name`. Raises ValueError for an unknown package or name, and, saying what to
    install, for a package that is not there."""
    package, _, inner = name.partition("/")
    if package not in SUITES:
        raise ValueError(unknown("package of environments", package, tuple(SUITES)))
    if importlib.util.find_spec(package) is None:
        raise ValueError(
            f"{name} needs the package {package}, which is not installed: pip install 'evenhand[{package}]'"
        )
    return importlib.import_module(SUITES[package]).make(inner, **fields)


def ids_of(package: str) -> tuple[str, ...]:
    """Returns the ids of a package; none where it is not installed."""
    if importlib.util.find_spec(package) is None:
        return ()
    return tuple(f"{package}/{name}" for name in importlib.import_module(SUITES[package]).names())
