"""What there is, in words: environments, algorithms, and the fields of one of them."""

import dataclasses
import inspect
import re
from collections.abc import Iterator
from typing import Any

WHAT = ("envs", "algos", "fields")


def lines(what: str, names: tuple[str, ...]) -> Iterator[str]:
    """Yields the lines of `--list envs`, `--list algos` or `--list fields NAME...`. Raises ValueError for another word."""
    if what == "envs" and not names:
        yield from environments()
    elif what == "algos" and not names:
        yield from algorithms()
    elif what == "fields" and names:
        for name in names:
            yield from fields(name)
    else:
        raise ValueError(
            f"--list takes envs, algos, or fields NAME, as in --list fields ppo, not {' '.join((what, *names))}"
        )


def environments() -> Iterator[str]:
    """Yields the ids that `--env` takes, by where they come from."""
    from envs import gymnax_ids, suites
    from envs.games import ids as games
    from envs.mdp import problems

    yield f"gymnax: {', '.join(gymnax_ids.IDS)}"
    yield f"finite models: {', '.join(problems.IDS)}"
    yield f"of several agents: {', '.join(games.IDS)}"
    for package in suites.SUITES:
        missing = f'not installed: pip install "evenhand[{package}]"'
        yield f"{package}: {', '.join(suites.ids_of(package)) or missing}"
    yield "your own: FILE.py:FUNCTION, or with fields, in quotes: 'FILE.py:FUNCTION(size=5)'"


def algorithms() -> Iterator[str]:
    """Yields the names that `--algos` takes, each with the first line of its file."""
    from experiments.lab.definition.settings import AGENTS, ALGORITHMS, CONTROLS, PREDICTS, TEAMS

    groups = {"networks": ALGORITHMS, "games": AGENTS, "teams": TEAMS, "tables and features": CONTROLS}
    for title, group in (groups | {"prediction (experiments.tabular)": PREDICTS}).items():
        yield f"{title}:"
        for name, (module, makes_it) in group.items():
            told = (module.__doc__ or "").strip().splitlines()[0].rstrip(".")
            yield f"  {name:<24}{told}{f', with {makes_it}' if makes_it else ''}"
    yield "your own: FILE.py of a whole algorithm, FILE.py:FUNCTION of a loss"


def fields(name: str) -> Iterator[str]:
    """Yields the settings of an algorithm, or the fields of an environment, with their defaults. Raises ValueError."""
    from experiments.lab.definition.contenders import contenders
    from experiments.lab.definition.settings import AGENTS, ALGORITHMS, CONTROLS, PREDICTS, TEAMS
    from experiments.lab.outside.calls import parsed
    from experiments.lab.outside.user_algorithm import is_file
    from experiments.lab.outside.user_env import load_factory, takes_nothing
    from experiments.lab.outside.user_files import load
    from experiments.lab.outside.user_loss import is_reference
    from experiments.lab.outside.user_network import makes_network

    reference, given = parsed(name)
    function = load(reference) if is_reference(name) and not is_file(name) else None
    if function is not None and makes_network(function):
        yield f"{name}, as in --network '{reference}(FIELD=VALUE)':"
        yield from arguments(function)
        return
    is_loss = function is not None and not (given or takes_nothing(function))
    if name in ALGORITHMS | AGENTS | TEAMS | CONTROLS | PREDICTS or is_file(name) or is_loss:
        (contender,) = contenders((name,), "", 0)
        yield f"{name}, as in --set {contender.name}.FIELD=VALUE:"
        yield from settings(contender.hparams, "HParams: changing them compiles nothing")
        yield from settings(contender.config, "Config: they decide the program")
    elif is_reference(name):
        yield f"{name}, as in --env '{reference}(FIELD=VALUE)':"
        yield from arguments(load_factory(reference, given))
    else:
        from envs import gymnax_env, gymnax_ids

        if name not in gymnax_ids.IDS:
            raise ValueError(f"--list fields knows algorithms, files of yours and gymnax's ids, not {name!r}")
        yield f"{name}, as in --env '{name}(FIELD=VALUE)':"
        for field, value in gymnax_env.fields_of(name).items():
            yield f"  {field:<24}{value}"


def arguments(function: Any) -> Iterator[str]:
    """Yields what may be given to a function beside `env` and `config`, with its defaults."""
    for one in inspect.signature(function).parameters.values():
        if one.name not in ("env", "config"):
            yield f"  {one.name:<24}{'' if one.default is one.empty else one.default}".rstrip()


def settings(values: Any, kind: str) -> Iterator[str]:
    """Yields the fields of Config or HParams with their defaults and the comments that stand beside them."""
    said = {}
    for cls in reversed(type(values).__mro__[:-1]):
        said |= dict(re.findall(r"^    (\w+):[^#\n]*#\s*(.+)$", inspect.getsource(cls), re.MULTILINE))
    yield f"  {kind}"
    for field in dataclasses.fields(values):
        default = f"{getattr(type(values)(), field.name)}"
        yield f"    {field.name:<24}{default:<12}{'# ' + said[field.name] if field.name in said else ''}".rstrip()
