"""Runs an experiment: every contender of every task under every seed, watched by the host between chunks of updates."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from algos.core.types import Algorithm
from envs import Env, make
from experiments.lab.experiment import Contender, Experiment, Task
from experiments.lab.programs import (
    Programs,
    Trials,
    compile_programs,
    in_seed_order,
    over_trials,
    seed_groups,
    trial_mesh,
)

CHUNK_SECONDS = 0.5  # how long the devices work before the host looks again
EPISODE_SUMS = ("episode_return_sum", "episode_length_sum", "episode_count")

Row = tuple[int, int, str, float]  # seed, environment steps, metric, value


@dataclass(frozen=True)
class Event:
    """What a run says of itself as it goes."""

    task: Task
    contender: Contender


@dataclass(frozen=True)
class Compiling(Event):
    """The contender's programs are about to be compiled."""


@dataclass(frozen=True)
class Progress(Event):
    """More updates are made."""

    share: float  # of all updates of all trials
    env_steps: int  # so far, over all trials
    run_seconds: float  # since compiling ended


@dataclass(frozen=True)
class Evaluated(Event):
    """Every seed has been evaluated at the same number of steps."""

    mean_return: float
    rows: list[Row]


@dataclass(frozen=True)
class Finished(Event):
    """Every trial of the contender is at its budget."""

    final_returns: list[float]  # in seed order
    diverged: list[int]  # seeds whose parameters are not finite
    env_steps: int  # of one trial
    compile_seconds: float
    run_seconds: float
    params: Any  # of every seed, NumPy arrays [seeds, ...]


def run(experiment: Experiment) -> Iterator[Event]:
    """Trains every contender of every task and yields what happens."""
    for task in experiment.tasks:
        env = make(task.environment, **task.fields)
        for contender in task.contenders:
            yield Compiling(task, contender)
            yield from train(experiment, task, contender, env)


def train(experiment: Experiment, task: Task, contender: Contender, env: Env) -> Iterator[Event]:
    """Trains one contender under every seed and yields what happens, `Finished` last."""
    algorithm, seeds, width = contender.make(env), experiment.seeds, experiment.width
    points = evaluation_points(num_updates(experiment.steps, algorithm), experiment.evaluations)
    mesh = trial_mesh(len(seeds), width)

    started = time.perf_counter()
    programs = compile_programs(env, algorithm, contender.hparams, mesh, width, experiment.eval_episodes)
    compile_seconds = time.perf_counter() - started

    clock = Clock(time.perf_counter())
    groups = [programs.begin(seed, over_trials(contender.hparams, seed)) for seed in seed_groups(seeds, mesh, width)]
    no_sums = groups[0].sums
    for index, (before, after) in enumerate(pairwise([0, *points])):
        for number in range(len(groups)):
            for trials in advance_group(programs, groups[number], after - before, clock):
                groups[number] = trials
                share = clock.updates / (points[-1] * len(groups))
                env_steps = int(share * len(seeds) * env_steps_after(points[-1], algorithm))
                yield Progress(task, contender, share, env_steps, clock.seconds())
        tested = [programs.evaluate(group.state, group.key_eval, jnp.int32(index)) for group in groups]
        returns, finite = in_seed_order(tested, len(seeds))
        returns = returns.mean(axis=1, dtype=np.float64)
        sums = in_seed_order([group.sums for group in groups], len(seeds))
        rows = metric_rows(seeds, env_steps_after(after, algorithm), returns, sums, after - before)
        groups = [group._replace(sums=no_sums) for group in groups]
        yield Evaluated(task, contender, float(returns.mean()), rows)

    yield Finished(
        task,
        contender,
        final_returns=returns.tolist(),
        diverged=[seed for seed, is_finite in zip(seeds, finite) if not is_finite],
        env_steps=env_steps_after(points[-1], algorithm),
        compile_seconds=compile_seconds,
        run_seconds=clock.seconds(),
        params=in_seed_order([group.state.params for group in groups], len(seeds)),
    )


@dataclass
class Clock:
    """Time since compiling ended, updates made by all groups, and how many to make before the host looks again."""

    started: float
    updates: int = 0
    chunk: int = 1

    def seconds(self) -> float:
        return time.perf_counter() - self.started


def advance_group(programs: Programs, trials: Trials, num_updates: int, clock: Clock) -> Iterator[Trials]:
    """Yields the trials as they advance by `num_updates`, in chunks of about CHUNK_SECONDS."""
    while num_updates:
        size = min(num_updates, clock.chunk)
        began = time.perf_counter()
        state, sums = programs.advance(trials.state, trials.sums, trials.hparams, jnp.int32(size))
        trials = jax.block_until_ready(trials._replace(state=state, sums=sums))
        clock.chunk = max(1, int(size * CHUNK_SECONDS / (time.perf_counter() - began)))
        clock.updates += size
        num_updates -= size
        yield trials


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
