"""Runs an experiment: every contender of every task under every seed, watched by the host between chunks of updates."""

import operator
import time
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

from algos.core.types import Algorithm
from envs import Env, make
from experiments.lab import devices
from experiments.lab.experiment import Contender, Experiment, Task, families, with_width
from experiments.lab.folder import policies
from experiments.lab.programs import (
    Programs,
    Trials,
    compile_programs,
    in_blocks,
    in_seed_order,
    side_by_side,
    trial_arrays,
)

CHUNK_SECONDS = 0.5  # how long the devices work before the host looks again
EPISODE_SUMS = ("episode_return_sum", "episode_length_sum", "episode_count")

Row = tuple[int, int, str, float]  # seed, environment steps, metric, value
Family = tuple[Contender, ...]  # contenders that one program serves


@dataclass
class Position:
    """How far the trials of a family are. A run that goes on from a saved one has the same bits as one never cut."""

    blocks: list[Trials]
    updates: list[int]  # made so far, by each block
    evaluations: int = 0  # made so far
    run_seconds: float = 0.0  # since compiling ended


Restore = Callable[[Task, Family, list[Trials]], Position | None]  # given the blocks as they begin


@dataclass(frozen=True)
class Event:
    """What a run says of itself as it goes."""

    task: Task
    family: Family


@dataclass(frozen=True)
class Compiling(Event):
    """The family's programs are about to be compiled."""


@dataclass(frozen=True)
class Progress(Event):
    """More updates are made."""

    share: float  # of all updates of all trials
    env_steps: int  # so far, over all trials
    run_seconds: float  # since compiling ended
    position: Position  # as it is until the next event is asked for


@dataclass(frozen=True)
class Evaluated(Event):
    """Every seed of a contender has been evaluated at the same number of steps."""

    contender: Contender
    mean_return: float
    rows: list[Row]


@dataclass(frozen=True)
class Finished(Event):
    """Every trial of a contender is at its budget."""

    contender: Contender
    final_returns: list[float]  # in seed order, NaN where parameters are not finite
    diverged: list[int]  # seeds whose parameters or final return are not finite
    env_steps: int  # of one trial
    compile_seconds: float  # of the family
    run_seconds: float  # the contender's share of its family's
    acting: dict[str, Any]  # what acting needs of the state, of every seed, NumPy arrays [seeds, ...]


def nothing_saved(task: Task, family: Family, blocks: list[Trials]) -> None:
    """Returns None: every family begins at its beginning."""


def run(
    experiment: Experiment, finished: Container[tuple[str, str]] = (), restore: Restore = nothing_saved
) -> Iterator[Event]:
    """Trains every contender of every task and yields what happens.

    finished: the (environment, contender) pairs that need no training, whole families of them.
    restore: gives the position of a family that was begun before.
    """
    experiment = with_width(experiment)
    for task in experiment.tasks:
        env = make(task.environment, **task.fields)
        for family in families(task):
            if (task.environment, family[0].name) not in finished:
                yield Compiling(task, family)
                yield from train(experiment, task, family, env, restore)


def train(
    experiment: Experiment, task: Task, family: Family, env: Env, restore: Restore = nothing_saved
) -> Iterator[Event]:
    """Trains the contenders of one family under every seed and yields what happens, a `Finished` of each last."""
    algorithm, seeds, width = family[0].make(env), experiment.seeds, experiment.width
    num_trials = len(family) * len(seeds)
    points = evaluation_points(num_updates(experiment.steps, algorithm), experiment.evaluations)
    blocks = in_blocks(trial_arrays(seeds, [contender.hparams for contender in family]), width)

    started = time.perf_counter()
    lanes = devices.lanes(len(blocks))
    programs = compile_programs(env, algorithm, family[0].hparams, lanes, width, experiment.eval_episodes)
    compile_seconds = time.perf_counter() - started

    started = time.perf_counter()
    blocks = side_by_side(lambda on, block: on.begin(*block), programs, blocks)
    no_sums = jax.device_get(blocks[0].sums)
    position = restore(task, family, blocks) or Position(blocks, [0] * len(blocks))
    blocks, clock = position.blocks, Clock(started - position.run_seconds)
    while position.evaluations < len(points):
        point = points[position.evaluations]
        made = point - points[max(position.evaluations - 1, 0)]
        for _ in advance_blocks(programs, position, point, clock):
            share = sum(position.updates) / (points[-1] * len(blocks))
            env_steps = int(share * num_trials * env_steps_after(points[-1], algorithm))
            position.run_seconds = clock.seconds()
            yield Progress(task, family, share, env_steps, position.run_seconds, position)
        tested = evaluated(programs, position)
        returns, finite = in_seed_order(tested, num_trials)
        returns = np.where(finite, returns.mean(axis=1, dtype=np.float64), np.nan)  # no policy is left to have a return
        sums = in_seed_order([block.sums for block in blocks], num_trials)
        blocks[:] = [block._replace(sums=jax.device_put(no_sums, block.key_eval.sharding)) for block in blocks]
        position.evaluations += 1
        for contender, own in each_contender(family, len(seeds)):
            own_sums = {name: values[own] for name, values in sums.items()}
            rows = metric_rows(seeds, env_steps_after(point, algorithm), returns[own], own_sums, made)
            yield Evaluated(task, family, contender, float(returns[own].mean()), rows)

    acting = in_seed_order([policies.acting(block.state) for block in blocks], num_trials)
    run_seconds = clock.seconds() / len(family)
    for contender, own in each_contender(family, len(seeds)):
        yield Finished(
            task,
            family,
            contender,
            final_returns=returns[own].tolist(),
            diverged=[seed for seed, value in zip(seeds, returns[own]) if not np.isfinite(value)],
            env_steps=env_steps_after(points[-1], algorithm),
            compile_seconds=compile_seconds,
            run_seconds=run_seconds,
            acting=jax.tree.map(operator.itemgetter(own), acting),
        )


def each_contender(family: Family, num_seeds: int) -> Iterator[tuple[Contender, slice]]:
    """Yields each contender of a family and where its trials are among those of the family."""
    for index, contender in enumerate(family):
        yield contender, slice(index * num_seeds, (index + 1) * num_seeds)


@dataclass
class Clock:
    """Time since compiling ended, and how many updates to make before the host looks again."""

    started: float
    chunk: int = 1

    def seconds(self) -> float:
        return time.perf_counter() - self.started


def advance_blocks(programs: Sequence[Programs], position: Position, updates: int, clock: Clock) -> Iterator[None]:
    """Yields as the blocks advance, as many side by side as there are lanes, until each has made `updates`, in chunks of
    about CHUNK_SECONDS."""
    for first in range(0, len(position.blocks), len(programs)):
        together = slice(first, first + len(programs))
        while position.updates[first] < updates:
            size = min(updates - position.updates[first], clock.chunk)
            began = time.perf_counter()
            position.blocks[together] = side_by_side(partial(advanced, size), programs, position.blocks[together])
            clock.chunk = max(1, int(size * CHUNK_SECONDS / (time.perf_counter() - began)))
            position.updates[together] = [made + size for made in position.updates[together]]
            yield


def advanced(num_updates: int, programs: Programs, block: Trials) -> Trials:
    """Returns the block after so many more updates; its state is given up."""
    state, sums = programs.advance(block.state, block.sums, block.hparams, np.int32(num_updates))
    return block._replace(state=state, sums=sums)


def evaluated(programs: Sequence[Programs], position: Position) -> list[Any]:
    """Returns what the program `evaluate` finds of each block."""

    def evaluate(on: Programs, block: Trials):
        return on.evaluate(block.state, block.key_eval, np.int32(position.evaluations))

    return side_by_side(evaluate, programs, position.blocks)


def num_updates(steps: int, algorithm: Algorithm) -> int:
    """Returns how many whole updates the budget of environment steps allows; 0 or less when it allows none."""
    return (steps - algorithm.steps_in_init) // algorithm.steps_per_update


def env_steps_after(updates: int, algorithm: Algorithm) -> int:
    """Returns the environment steps that one trial has taken after so many updates."""
    return algorithm.steps_in_init + updates * algorithm.steps_per_update


def evaluation_points(num_updates: int, evaluations: int) -> list[int]:
    """Returns the updates after which to evaluate: 0, then evenly spaced ones, the last after `num_updates`."""
    return sorted({point * num_updates // evaluations for point in range(evaluations + 1)})


def metric_rows(seeds, env_steps: int, returns, sums: dict[str, np.ndarray], num_updates: int) -> list[Row]:
    """Returns the curves' rows at one evaluation. Training metrics are means over the updates since the last one;
    a training return is the mean over the episodes that ended in them, and has no row when none did."""
    rows = [(seed, env_steps, "evaluation_return", float(value)) for seed, value in zip(seeds, returns)]
    if num_updates == 0:
        return rows
    sums = {name: values.astype(np.float64) for name, values in sums.items()}
    episodes = {name: sums.pop(name) for name in EPISODE_SUMS}
    for index, seed in enumerate(seeds):
        count = float(episodes["episode_count"][index])
        rows.append((seed, env_steps, "training_episodes", count))
        if count:
            rows.append((seed, env_steps, "training_return", float(episodes["episode_return_sum"][index] / count)))
            rows.append((seed, env_steps, "training_length", float(episodes["episode_length_sum"][index] / count)))
        for name, values in sums.items():
            value = values[index] if name.endswith("_max") else values[index] / num_updates
            rows.append((seed, env_steps, name, float(value)))
    return rows
