"""Sweeps: one contender at many settings, whose points join the seeds as trials.

Points that differ in HParams alone share one compiled program (`experiment.families`); each value of a Config field has
a program of its own.
"""

import dataclasses
import itertools
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from experiments.lab.definition.experiment import Contender, Task
from experiments.lab.definition.sweeps.fields import (
    fields,
    kind_of,
    owners,
    parsed,
    read,
    value_of,
    with_value,
    written,
)

COMMAND_LINE_SEED = 0  # of the draws that --sweep asks for
DIGITS = 4  # significant ones of a drawn number, so that a point's name says all of it
TRIES = 100  # draws for each point wanted, before a range is said to hold too few
RANGE = re.compile(r"(.+)\.\.(.+)\*(.+)")  # LOW..HIGH*N

Point = dict[str, Any]  # field: value


def grid(contender: Contender, /, **values: Sequence[Any]) -> tuple[Contender, ...]:
    """Returns the contender at every combination of the values, called as in "ppo learning_rate=0.001 num_epochs=4".

    values: two or more of each field, of HParams or Config: grid(ppo, learning_rate=(1e-4, 1e-3), num_epochs=(2, 4)).
    Raises ValueError, in one line, for what is no field or no value, or a value given twice.
    """
    return _points(contender, _combinations(contender, values))


def draws(contender: Contender, number: int, seed: int, /, **ranges: tuple[float, float]) -> tuple[Contender, ...]:
    """Returns the contender at `number` random points, all of whose fields are drawn anew for each (random search).

    ranges: (low, high) of each field. log x is uniform on [log low, log high] and x is rounded to 4 digits; for whole
    numbers log(low - 1/2) and log(high + 1/2) are the ends, and x is rounded to a whole number, so that both ends are
    drawn. The generator is NumPy's default_rng(seed): the same seed gives the same points, and more of them begin with
    these. A point drawn twice is drawn again. Raises ValueError, in one line, as `grid` does.
    """
    return _points(contender, _drawn(contender, number, seed, ranges))


def expanded(tasks: tuple[Task, ...], settings: Sequence[str]) -> tuple[Task, ...]:
    """Returns the tasks with every contender that a setting names replaced by its points.

    settings: CONTENDER.FIELD=A,B,C for a grid, CONTENDER.FIELD=LOW..HIGH*N for draws under seed 0. The fields of one
    contender are combined: grids with all else, draws with each other into N points. Raises ValueError, in one line.
    """
    wanted: dict[str, Point] = {}
    for setting in settings:
        name, field, text = parsed(setting)
        for contender in owners(tasks, name, field):
            if contender.sweep:
                raise ValueError(f"{setting}: the experiment sweeps {contender.sweep} already")
            if wanted.setdefault(contender.name, {}).setdefault(field, text) != text:
                raise ValueError(f"{setting}: {contender.name}.{field} is swept twice")
    return tuple(
        dataclasses.replace(
            task,
            contenders=tuple(
                point
                for contender in task.contenders
                for point in (_swept(contender, wanted[contender.name]) if contender.name in wanted else [contender])
            ),
        )
        for task in tasks
    )


def swept_fields(contenders: Iterable[Contender], sweep: str) -> list[str]:
    """Returns the fields in which the points of the sweep differ, hyperparameters first; none for the sweep ""."""
    points = [contender for contender in contenders if sweep and contender.sweep == sweep]
    names = fields(points[0]) if points else []
    return [name for name in names if len({value_of(point, name) for point in points}) > 1]


def _swept(contender: Contender, texts: dict[str, str]) -> tuple[Contender, ...]:
    """Returns the points that what stands after = asks for, by field."""
    values, ranges, numbers = {}, {}, {}
    for field, text in texts.items():
        if matched := RANGE.fullmatch(text):
            low, high, number = matched.groups()
            ranges[field] = (_bound(contender, field, low), _bound(contender, field, high))
            numbers[number] = _whole(contender, field, number)
        else:
            # A comma in brackets is part of a value: (64,64),(128,128).
            parts = re.split(r",(?![^(]*\))", text)
            values[field] = [read(contender, field, part) for part in parts]
    if len(set(numbers.values())) > 1:
        raise ValueError(
            f"{contender.name} is drawn {' and '.join(numbers)} times: fields are drawn together, as often"
        )
    drawn = _drawn(contender, next(iter(numbers.values())), COMMAND_LINE_SEED, ranges) if ranges else [{}]
    combined = _combinations(contender, values) if values else [{}]
    return _points(contender, [{**one, **other} for one in drawn for other in combined])


def _points(contender: Contender, points: list[Point]) -> tuple[Contender, ...]:
    if contender.sweep:
        raise ValueError(f"{contender.name} is a point of the sweep {contender.sweep} already; give all fields at once")
    return tuple(_point(contender, point) for point in points)


def _point(contender: Contender, point: Point) -> Contender:
    settings = " ".join(f"{field}={written(value)}" for field, value in point.items())
    changed = contender
    for field, value in point.items():
        changed = with_value(changed, field, value)
    return dataclasses.replace(changed, name=f"{contender.name} {settings}", sweep=contender.name)


def _combinations(contender: Contender, values: dict[str, Sequence[Any]]) -> list[Point]:
    """Returns every combination, the last field changing fastest."""
    if not values:
        raise ValueError(f"a sweep of {contender.name} needs a field to sweep")
    canonical = {}
    for field, given in values.items():
        canonical[field] = [value_of(with_value(contender, field, value), field) for value in given]
        for value in canonical[field]:
            if canonical[field].count(value) > 1:
                raise ValueError(f"{contender.name}.{field} is swept over {written(value)} twice")
        if len(canonical[field]) < 2:
            raise ValueError(f"{contender.name}.{field} is swept over two values or more; set one value with --set")
    return [dict(zip(canonical, combination)) for combination in itertools.product(*canonical.values())]


def _drawn(contender: Contender, number: int, seed: int, ranges: dict[str, tuple[float, float]]) -> list[Point]:
    for field, (low, high) in ranges.items():
        if kind_of(contender, field) not in (int, float):
            raise ValueError(f"{contender.name}.{field} is no number: sweep it over values, with commas between")
        if not 0.0 < low < high < math.inf:
            raise ValueError(f"{contender.name}.{field} is drawn from LOW..HIGH with 0 < LOW < HIGH, not {low}..{high}")
    if number < 2 or not ranges:
        raise ValueError(f"a sweep of {contender.name} draws two points or more, and of one field or more")
    generator, points = np.random.default_rng(seed), {}
    for _ in range(TRIES * number):
        point = {field: _draw(generator, kind_of(contender, field), *bounds) for field, bounds in ranges.items()}
        points[tuple(point.values())] = point
        if len(points) == number:
            return list(points.values())
    raise ValueError(f"the ranges of {', '.join(ranges)} hold too few whole numbers for {number} different points")


def _draw(generator: np.random.Generator, kind: type, low: float, high: float) -> float:
    margin = 0.5 if kind is int else 0.0
    drawn = math.exp(generator.uniform(math.log(low - margin), math.log(high + margin)))
    rounded = round(drawn) if kind is int else float(f"{drawn:.{DIGITS}g}")
    return min(max(rounded, low), high)


def _bound(contender: Contender, field: str, text: str) -> float:
    bound = read(contender, field, text)
    if isinstance(bound, bool) or not isinstance(bound, (int, float)):
        raise ValueError(f"{contender.name}.{field} is no number: sweep it over values, with commas between")
    return bound


def _whole(contender: Contender, field: str, text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{contender.name}.{field} is drawn a whole number of times, not {text}")
    return int(text)
