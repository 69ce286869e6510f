"""Compiled work in pieces of about so many seconds, so that the host can look, save and stop between them; the bits do
not depend on where it is cut."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.lab.criterion import Criterion
from experiments.lab.programs import Programs, Trials

LOOK_SECONDS = 0.1  # between two looks at what else there is, while the devices work


@dataclass
class Position:
    """How far the trials of a family are. A run that goes on from a saved one has the same bits as one never cut."""

    groups: list[Trials]
    updates: list[int]  # made so far, by each group
    faults: list[int]  # by each trial: how often its environment gave what is not finite, until the last evaluation
    evaluations: int = 0  # made so far
    run_seconds: float = 0.0  # since compiling ended


def patiently() -> None:
    """Waits as long as it takes."""


@dataclass
class Pace:
    """How many updates or steps to make before the host looks again."""

    seconds: float  # that a piece of work should take
    waiting: Callable[[], None] = patiently  # called now and then while the devices work
    size: int = 1

    def made(self, size: int, program: Callable, *arguments: Any) -> Any:
        """Returns what the program gives for arguments that make it work through `size`, and learns from the time."""
        began = time.perf_counter()
        result = interruptible(lambda: jax.block_until_ready(program(*arguments)), self.waiting)
        self.size = max(1, int(size * self.seconds / (time.perf_counter() - began)))
        return result


def interruptible(work: Callable[[], Any], waiting: Callable[[], None] = patiently) -> Any:
    """Returns what `work()` returns. It is done in another thread: signals are handled while it lasts, not after."""
    done: Future = Future()

    def worker():
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    Thread(target=worker, daemon=True).start()
    while not done.done():
        waiting()
        try:
            done.exception(LOOK_SECONDS)
        except TimeoutError:
            continue
    return done.result()


def advance_groups(programs: Programs, position: Position, updates: int, pace: Pace) -> Iterator[None]:
    """Yields as the groups advance, one after another, until each has made `updates`."""
    for number, trials in enumerate(position.groups):
        while position.updates[number] < updates:
            size = min(updates - position.updates[number], pace.size)
            arguments = trials.state, trials.sums, trials.hparams, jnp.int32(size)
            state, sums = pace.made(size, programs.advance, *arguments)
            trials = trials._replace(state=state, sums=sums)
            position.groups[number] = trials
            position.updates[number] += size
            yield


def evaluate_groups(
    programs: Programs, position: Position, max_steps: int, pace: Pace, tested: list[tuple[Any, Any]]
) -> Iterator[None]:
    """Yields as the groups are evaluated, one after another, and adds what was found of each to `tested`:
    ({metric: values [..., n]}, faults of the environment [...], parameters are finite [...]).

    Nothing of the position changes: whoever goes on from it evaluates anew.
    """
    for trials in position.groups:
        if programs.judge:
            arguments = trials.state, trials.key_eval, jnp.int32(position.evaluations)
            values, finite = pace.made(1, programs.judge, *arguments)
            tested.append((values, np.zeros(np.shape(finite), int), finite))
            yield
            continue
        evaluation = programs.begin_evaluation(trials.key_eval, jnp.int32(position.evaluations))
        steps, running = 0, True
        while running:
            if steps:
                yield
            size = min(max_steps - steps, pace.size)
            evaluation, finite = pace.made(size, programs.advance_evaluation, trials.state, evaluation, jnp.int32(size))
            steps, running = steps + size, bool(np.any(evaluation.running))
        faults = evaluation.faults + np.sum(~np.isfinite(evaluation.returns), axis=-1)
        tested.append(({Criterion().metric: evaluation.returns}, faults, finite))
