"""Runs an experiment: every contender of every task under every seed, watched by the host while the devices work."""

import itertools
import operator
import time
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from algos.core.loop import totals
from algos.core.types import Algorithm
from envs import Env
from experiments.lab.definition.blocks import with_width
from experiments.lab.definition.experiment import (
    Contender,
    Experiment,
    Task,
    families,
    trials_held,
    trials_in_block,
)
from experiments.lab.machine import devices
from experiments.lab.recording import policies
from experiments.lab.running.chunks import (
    Lanes,
    Pace,
    Position,
    advance_blocks,
    awaited,
    evaluate_blocks,
    interruptible,
    patiently,
)
from experiments.lab.running.programs import (
    Programs,
    Trials,
    compile_programs,
    in_blocks,
    in_seed_order,
    side_by_side,
    trial_arrays,
)

CHUNK_SECONDS = 0.5  # how long the devices train before the host looks again
EVALUATION_SECONDS = 0.5  # and how long they evaluate
PIECES = 5  # in which a lane takes another block, meanwhile: what one lane is late by at the end is one of them
EPISODE_SUMS = ("episode_return_sum", "episode_length_sum", "episode_count")
FAULTS = "environment_faults"  # the metric: steps and resets at which the environment gave what is not finite

Row = tuple[int, int, str, float]  # seed, environment steps, metric, value
Family = tuple[Contender, ...]  # contenders that one program serves


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
class Compiled(Event):
    """They are, while another family runs."""


@dataclass(frozen=True)
class Progress(Event):
    """More updates are made."""

    share: float  # of all updates of all trials
    env_steps: int  # so far, over all trials
    run_seconds: float  # since compiling ended
    moving: Position  # while the lanes work
    halt: Callable[[], None] = patiently  # returns once they do not

    @property
    def position(self) -> Position:
        """How far the trials are, whole, until the next event is asked for: the lanes wait so long."""
        self.halt()
        return self.moving


@dataclass(frozen=True)
class Evaluated(Event):
    """Every seed of a contender has been evaluated at the same number of steps."""

    contender: Contender
    mean_value: float
    rows: list[Row]
    seconds: float = 0.0  # the contender's share of its family's since compiling ended, all seeds together


@dataclass(frozen=True)
class Finished(Event):
    """Every trial of a contender is at its budget."""

    contender: Contender
    final_values: list[float]  # in seed order, NaN where parameters are not finite
    diverged: list[int]  # seeds whose parameters or final return are not finite
    env_steps: int  # of one trial
    compile_seconds: float  # of the family
    run_seconds: float  # the contender's share of its family's
    acting: dict[str, Any]  # what acting needs of the state, of every seed, NumPy arrays [seeds, ...]
    faulty: Sequence[int] = ()  # seeds under which the environment gave what is not finite, at any time


def nothing_saved(task: Task, family: Family, blocks: list[Trials]) -> None:
    """Returns None: every family begins at its beginning."""


def run(
    experiment: Experiment,
    finished: Container[tuple[str, str]] = (),
    restore: Restore = nothing_saved,
    waiting: Callable[[], None] = patiently,
) -> Iterator[Event]:
    """Trains every contender of every task and yields what happens.

    finished: the (environment, contender) pairs that need no training, whole families of them.
    restore: gives the position of a family that was begun before.
    waiting: called now and then while the devices work.
    """
    experiment = with_width(experiment)
    jobs = [
        (task, family, env)
        for task in experiment.tasks
        for env in (task.make(),)
        for family in families(task)
        if (task.environment, family[0].name) not in finished
    ]
    compiler, ahead = ThreadPoolExecutor(1), None
    try:
        for job, following in itertools.pairwise([*jobs, None]):
            if ahead is None:
                yield Compiling(*job[:2])
            ready = awaited(ahead or compiler.submit(made_ready, experiment, *job))
            ahead = following and compiler.submit(made_ready, experiment, *following)
            events = train(experiment, *job, restore, waiting, ready)
            yield from events if following is None else _meanwhile(events, following, ahead)
    finally:
        compiler.shutdown(wait=False, cancel_futures=True)


def _meanwhile(events: Iterator[Event], following: tuple[Task, Family, Env], ahead: Future) -> Iterator[Event]:
    """Yields the events, and among them what is compiled meanwhile. What fails in it is raised when its turn comes."""
    yield Compiling(*following[:2])
    told = False
    for event in events:
        yield event
        if not told and ahead.done() and ahead.exception() is None:
            told = True
            yield Compiled(*following[:2])


class Ready(NamedTuple):
    """What is compiled for a family."""

    algorithm: Algorithm
    places: list[Any]  # the lanes' devices
    programs: list[Programs]  # and programs
    seconds: float  # that it took


def made_ready(experiment: Experiment, task: Task, family: Family, env: Env) -> Ready:
    """Returns what a family needs to be trained, compiled."""
    started = time.perf_counter()
    algorithm, width = family[0].make(env), trials_in_block(experiment, family)
    places = devices.lanes(trials_held(experiment, family) // width)
    judged_by = task.judge or experiment.eval_episodes
    is_light = task.factory is None  # as ours are; and whoever meets on an environment begins by the same program
    programs = compile_programs(env, algorithm, family[0].hparams, places, width, judged_by, is_light)
    return Ready(algorithm, places, programs, time.perf_counter() - started)


def train(
    experiment: Experiment,
    task: Task,
    family: Family,
    env: Env,
    restore: Restore = nothing_saved,
    waiting: Callable[[], None] = patiently,
    ready: Ready | None = None,
) -> Iterator[Event]:
    """Trains the contenders of one family under every seed and yields what happens, a `Finished` of each last.

    ready: what was compiled for them before.
    """
    algorithm, places, programs, compile_seconds = ready or made_ready(experiment, task, family, env)
    seeds, num_trials = experiment.seeds, len(family) * len(experiment.seeds)
    points = evaluation_points(num_updates(experiment.steps, algorithm), experiment.evaluations)
    trials = trial_arrays(seeds, [contender.hparams for contender in family])
    blocks = in_blocks(trials, trials_in_block(experiment, family))

    started = time.perf_counter()
    begin = partial(side_by_side, lambda on, block: on.begin(*block), programs, blocks)
    blocks = interruptible(begin, waiting)
    no_sums = jax.device_get(blocks[0].sums)
    position = restore(task, family, blocks) or Position(blocks, [0] * len(blocks), [0] * num_trials)
    started -= position.run_seconds
    lanes = Lanes(places, programs, [place % len(places) for place in range(len(blocks))], waiting)
    training, evaluating = ([Pace(seconds / PIECES) for _ in places] for seconds in (CHUNK_SECONDS, EVALUATION_SECONDS))

    def progress(halt: Callable[[], None]) -> Progress:
        share = sum(position.updates) / (points[-1] * len(position.blocks))
        env_steps = int(share * num_trials * env_steps_after(points[-1], algorithm))
        position.run_seconds = time.perf_counter() - started
        return Progress(task, family, share, env_steps, position.run_seconds, position, halt)

    while position.evaluations < len(points):
        point, tested = points[position.evaluations], []
        made = point - points[max(position.evaluations - 1, 0)]
        for halt in advance_blocks(lanes, position, point, training, CHUNK_SECONDS):
            yield progress(halt)
        for halt in evaluate_blocks(lanes, position, env.max_steps, evaluating, EVALUATION_SECONDS, tested):
            yield progress(halt)
        values, sums, faults = measured(position, tested, num_trials)
        final = values[task.criterion.metric]
        position.blocks[:] = [
            block._replace(sums=jax.device_put(no_sums, block.key_eval.sharding)) for block in position.blocks
        ]
        position.faults = [before + new for before, new in zip(position.faults, faults)]
        position.evaluations += 1
        seconds = (time.perf_counter() - started) / len(family)
        for contender, own in each_contender(family, len(seeds)):
            own_values, own_sums = ({name: x[own] for name, x in of_all.items()} for of_all in (values, sums))
            rows = metric_rows(seeds, env_steps_after(point, algorithm), own_values, own_sums, made)
            rows += fault_rows(seeds, env_steps_after(point, algorithm), faults[own])
            yield Evaluated(task, family, contender, float(final[own].mean()), rows, seconds)

    acting = in_seed_order([policies.acting(block.state) for block in position.blocks], num_trials)
    run_seconds = (time.perf_counter() - started) / len(family)
    for contender, own in each_contender(family, len(seeds)):
        yield Finished(
            task,
            family,
            contender,
            final_values=final[own].tolist(),
            diverged=[seed for seed, value in zip(seeds, final[own]) if not np.isfinite(value)],
            env_steps=env_steps_after(points[-1], algorithm),
            compile_seconds=compile_seconds,
            run_seconds=run_seconds,
            acting=jax.tree.map(operator.itemgetter(own), acting),
            faulty=[seed for seed, count in zip(seeds, position.faults[own]) if count],
        )


def measured(
    position: Position, tested: list[Any], num_trials: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], list[int]]:
    """Returns (mean of each judged metric [trials], NaN where no policy is left to have one; sums of training metrics
    [trials]; how often the environment gave what is not finite, in training and evaluation, [trials])."""
    values, faults, finite = in_seed_order(tested, num_trials)
    faults = np.where(finite, faults, 0)  # else the policy is at fault
    values = {name: np.where(finite, x.mean(axis=1, dtype=np.float64), np.nan) for name, x in values.items()}
    sums = totals(in_seed_order([block.sums for block in position.blocks], num_trials))
    return values, sums, (faults + sums.pop("fault_count")).astype(int).tolist()


def each_contender(family: Family, num_seeds: int) -> Iterator[tuple[Contender, slice]]:
    """Yields each contender of a family and where its trials are among those of the family."""
    for index, contender in enumerate(family):
        yield contender, slice(index * num_seeds, (index + 1) * num_seeds)


def num_updates(steps: int, algorithm: Algorithm) -> int:
    """Returns how many whole updates the budget of environment steps allows; 0 or less when it allows none."""
    return (steps - algorithm.steps_in_init) // algorithm.steps_per_update


def env_steps_after(updates: int, algorithm: Algorithm) -> int:
    """Returns the environment steps that one trial has taken after so many updates."""
    return algorithm.steps_in_init + updates * algorithm.steps_per_update


def evaluation_points(num_updates: int, evaluations: int) -> list[int]:
    """Returns the updates after which to evaluate: 0, then evenly spaced ones, the last after `num_updates`."""
    return sorted({point * num_updates // evaluations for point in range(evaluations + 1)})


def metric_rows(
    seeds, env_steps: int, values: dict[str, np.ndarray], sums: dict[str, np.ndarray], num_updates: int
) -> list[Row]:
    """Returns the curves' rows at one evaluation: what was judged, and training metrics. Training metrics are means over the updates since the last one;
    a training return is the mean over the episodes that ended in them, and has no row when none did."""
    rows = [(seed, env_steps, name, float(x)) for name, judged in values.items() for seed, x in zip(seeds, judged)]
    if num_updates == 0:
        return rows
    sums = dict(sums)
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


def fault_rows(seeds, env_steps: int, faults: Sequence[int]) -> list[Row]:
    """Returns a row for each seed under which the environment gave what is not finite: sound ones have none."""
    return [(seed, env_steps, FAULTS, float(count)) for seed, count in zip(seeds, faults) if count]
