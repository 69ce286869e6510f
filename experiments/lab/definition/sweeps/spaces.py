"""Spaces that settings are looked for in: on one environment a grid for each algorithm, all with as many points."""

from typing import Any

from experiments.lab.definition.experiment import Contender, Experiment, Task
from experiments.lab.definition.settings import given
from experiments.lab.definition.sweeps.points import grid
from experiments.lab.judging.judges import Judge

# Config fields and HParams fields that all points have, and the values of each field that is swept
Space = tuple[dict[str, Any], dict[str, float], dict[str, tuple[Any, ...]]]

FIRST_SEED = 1000  # no table in README or docs is of seeds from here on


def sweep(
    environment: str,
    spaces: dict[str, Space],
    steps: int,
    *,
    seeds: int,
    evaluations: int = 2,
    judge: Judge | None = None,
) -> Experiment:
    """Returns the experiment that tries every point of the spaces under so many seeds from 1000 on.

    Raises ValueError for grids of different sizes.
    """
    return Experiment(
        tasks=(Task(environment, points_of(spaces, steps), judge=judge),),
        seeds=tuple(range(FIRST_SEED, FIRST_SEED + seeds)),
        steps=steps,
        evaluations=evaluations,
        eval_episodes=64,
    )


def points_of(spaces: dict[str, Space], steps: int) -> tuple[Contender, ...]:
    """Returns the points of every algorithm's grid, around the algorithm's defaults: the rows that are in force have no
    part in it, so that a sweep stays what it was after its best point became a row.

    Raises ValueError for grids of different sizes: who may try more settings is ahead by that alone.
    """
    grids = {
        name: grid(given(name, steps, config, hparams), **swept) for name, (config, hparams, swept) in spaces.items()
    }
    if len({len(points) for points in grids.values()}) > 1:
        sizes = ", ".join(f"{name} {len(points)}" for name, points in grids.items())
        raise ValueError(f"every algorithm of an environment gets as many points: {sizes}")
    return tuple(point for points in grids.values() for point in points)
