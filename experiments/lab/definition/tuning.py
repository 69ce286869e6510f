"""Who is tuned: whether a contender has this codebase's settings for its environment or the defaults, and what was changed
of them. Plan, table of results, summary and report say it beside every name."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from experiments.lab.definition.experiment import Contender, Task
from experiments.lab.definition.settings import AGENTS, ALGORITHMS, CONTROLS, PREDICTS, TEAMS, TUNED, contender
from experiments.lab.definition.sweeps.fields import written

DEFAULTS = "defaults"
MOST = 4  # changed fields that are named


def settings_in_words(one: Contender, environment: str) -> str:
    """Returns 'settings for CartPole-v1', 'defaults', or either with what is not as there: '..., but gamma=0.9'."""
    changed = [f"{name}={written(value)}" for name, value in changes(one, environment).items()]
    more = f" and {len(changed) - MOST} more" if len(changed) > MOST else ""
    return origin(one, environment) + (f", but {', '.join(changed[:MOST])}{more}" if changed else "")


def origin(one: Contender, environment: str) -> str:
    """Returns 'settings for CartPole-v1' where there is a row for the contender's algorithm there, else 'defaults'."""
    return f"settings for {environment}" if (environment, algorithm_of(one)) in TUNED else DEFAULTS


def algorithm_of(one: Contender) -> str:
    """Returns the name of a contender's algorithm, of several that fit its own or the one that says most; "" where it has none."""
    fitting = {
        name: made
        for name, (module, made) in (ALGORITHMS | CONTROLS | PREDICTS | AGENTS | TEAMS).items()
        if module is one.algorithm and all(getattr(one.config, field) == value for field, value in made.items())
    }
    return one.name if one.name in fitting else max(fitting, key=lambda name: len(fitting[name]), default="")


def changes(one: Contender, environment: str) -> dict[str, Any]:
    """Returns the fields that are not as the settings or the defaults have them. The budget is every run's own, and what a
    loss's own hyperparameters add is not a change."""
    name, module = algorithm_of(one), one.algorithm
    if name:
        usual = contender(name, environment, steps=1)
        config, hparams = usual.config, usual.hparams
    else:
        config, hparams = module.Config(), module.HParams()
    given = _fields(one.config) | {field: float(value) for field, value in vars(one.hparams).items()}
    known = _fields(config) | {field: float(value) for field, value in vars(hparams).items()}
    return {field: given[field] for field in known if field != "total_steps" and given[field] != known[field]}


def _fields(config: Any) -> dict[str, Any]:
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}


def of_task(task: Task) -> dict[str, list[str]]:
    """Returns the names of a task's contenders by what is said of their settings, in order; a sweep under its own name."""
    told = {
        one.sweep or one.name: f"{origin(one, task.environment)}, swept"
        if one.sweep
        else settings_in_words(one, task.environment)
        for one in task.contenders
    }
    return grouped(told.items())


def grouped(told: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Returns names by what is told of them, from pairs (name, what is told)."""
    groups: dict[str, list[str]] = {}
    for name, what in told:
        groups.setdefault(what, []).append(name)
    return groups


def groups_in_words(groups: dict[str, list[str]]) -> str:
    """Returns 'settings for CartPole-v1: a2c, ppo; defaults: trpo'."""
    return "; ".join(f"{what}: {', '.join(names)}" for what, names in groups.items())
