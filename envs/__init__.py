"""Environments: `make` one by its id, `register` your own, `vectorize` it.

gymnax computes on a device as it is imported, which fixes XLA's flags for the process: it is imported when it is needed.
"""

import inspect
from collections.abc import Callable

from envs.agents import with_ids
from envs.core import Box, Discrete, Env, Layout, TimeStep
from envs.games import ids as games
from envs.gymnax_ids import IDS, NEEDS_NETWORK
from envs.mdp import problems
from envs.names import unknown
from envs.vector import VectorEnv, VectorState, vectorize

__all__ = [
    "Box", "Discrete", "Env", "Layout", "TimeStep", "VectorEnv", "VectorState", "ids", "make", "register",
    "vectorize", "with_ids",
]  # fmt: skip

PGX = "pgx:"  # what names of pgx's games begin with
JAXMARL = "jaxmarl:"  # what names of JaxMARL's environments begin with
_registered: dict[str, Callable[..., Env]] = {}


def ids() -> tuple[str, ...]:
    """Returns the ids that `make` knows, beside jaxmarl:NAME."""
    return (*IDS, *problems.IDS, *games.IDS, *_registered)


def register(name: str, factory: Callable[..., Env]) -> None:
    """Makes `make(name, **fields)` return `factory(**fields)`. Raises ValueError when the id is taken or empty."""
    if not name or name in (*ids(), NEEDS_NETWORK):
        raise ValueError(f"the environment id {name!r} is {'taken' if name else 'empty'}; choose another")
    _registered[name] = factory


def make(name: str, **fields) -> Env:
    """Returns the environment `name`. Raises ValueError, listing the valid ones, for an unknown id or field."""
    if name in IDS or name == NEEDS_NETWORK:
        from envs.gymnax_env import make_gymnax

        return make_gymnax(name, **fields)
    if name.startswith(PGX):
        from envs.pgx_env import make_pgx

        return make_pgx(name, **fields)
    if name.startswith(JAXMARL):
        from envs.jaxmarl_env import make_jaxmarl

        return make_jaxmarl(name, **fields)
    if name in problems.IDS:
        return problems.make_finite(name, **fields)
    if name in games.IDS:
        return games.make_game(name, **fields)
    if name not in _registered:
        raise ValueError(unknown("environment", name, ids()))
    factory = _registered[name]
    try:
        inspect.signature(factory).bind(**fields)
    except TypeError as error:
        allowed = ", ".join(inspect.signature(factory).parameters) or "none"
        raise ValueError(f"{name}: {error}; its fields are: {allowed}") from None
    return factory(**fields)
