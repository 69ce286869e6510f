"""Compiled work in pieces of about so many seconds, so that the host can look, save and stop between them; the bits do
not depend on where it is cut."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from threading import Thread
from typing import Any

import jax
import numpy as np

from experiments.lab.judging.criterion import Criterion
from experiments.lab.running.lanes import LOOK_SECONDS, Work, done
from experiments.lab.running.programs import Programs, Trials


@dataclass
class Position:
    """How far the trials of a family are. A run that goes on from a saved one has the same bits as one never cut."""

    blocks: list[Trials]
    updates: list[int]  # made so far, by each block
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
        return interruptible(lambda: self.timed(size, program, *arguments), self.waiting)

    def timed(self, size: int, program: Callable, *arguments: Any) -> Any:
        """Returns what `made` does, with nobody looking meanwhile."""
        began = time.perf_counter()
        result = jax.block_until_ready(program(*arguments))
        self.size = max(1, int(size * self.seconds / (time.perf_counter() - began)))
        return result


def interruptible(work: Callable[[], Any], waiting: Callable[[], None] = patiently) -> Any:
    """Returns what `work()` returns. It is done in another thread: signals are handled while it lasts, not after."""
    future: Future = Future()

    def worker():
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    Thread(target=worker, daemon=True).start()
    return awaited(future, waiting)


def awaited(future: Future, waiting: Callable[[], None] = patiently) -> Any:
    """Returns the future's result. Looks up now and then: a signal that another thread got is not handled before."""
    while not future.done():
        waiting()
        try:
            future.exception(LOOK_SECONDS)
        except TimeoutError:
            continue
    return future.result()


@dataclass
class Lanes:
    """Where the blocks of a family are computed."""

    places: Sequence[Any]  # each lane's device
    programs: Sequence[Programs]  # each lane's
    home: list[int]  # of each block, its lane
    waiting: Callable[[], None] = patiently  # called now and then while the lanes work

    def placed(self, tree: Any, lane: int) -> Any:
        """Returns the arrays on the lane: copied where they lie on another, by way of the host, or the copy would wait for what
        that lane is at."""
        there = next(iter(jax.tree.leaves(tree)[0].devices())) is self.places[lane]
        return tree if there else jax.device_put(jax.device_get(tree), self.places[lane])


def advance_blocks(
    lanes: Lanes, position: Position, updates: int, paces: Sequence[Pace], seconds: float
) -> Iterator[Callable[[], None]]:
    """Yields while the blocks advance, every so many seconds and once each has made `updates`: what halts the lanes, after
    which the position is whole until the next is asked for."""

    def piece(lane: int, place: int) -> None:
        block = lanes.placed(position.blocks[place], lane)
        size = min(updates - position.updates[place], paces[lane].size)
        position.blocks[place] = paces[lane].timed(size, advanced, size, lanes.programs[lane], block)
        position.updates[place] += size

    work = Work(lanes.home, lambda place: updates - position.updates[place], piece)
    if any(map(work.left, range(len(lanes.home)))):
        for _ in done(work, len(lanes.programs), seconds, lanes.waiting):
            yield partial(work.halt, lanes.waiting)
        yield patiently


def advanced(num_updates: int, programs: Programs, block: Trials) -> Trials:
    """Returns the block after so many more updates; its state is given up."""
    state, sums = programs.advance(block.state, block.sums, block.hparams, np.int32(num_updates))
    return block._replace(state=state, sums=sums)


def evaluate_blocks(
    lanes: Lanes, position: Position, max_steps: int, paces: Sequence[Pace], seconds: float, tested: list[Any]
) -> Iterator[Callable[[], None]]:
    """Yields as `advance_blocks` does, but not at the end, while the blocks are evaluated, and fills `tested` with what was
    found of each: ({metric: values [width, n]}, faults of the environment [width], parameters are finite [width]).

    Nothing that is saved of the position changes: whoever goes on from it evaluates anew.
    """
    found: list[Any] = [None] * len(position.blocks)
    begun: dict[int, tuple[Any, int]] = {}  # by block, its evaluation and the steps that it has made
    point = np.int32(position.evaluations)

    def piece(lane: int, place: int) -> None:
        programs, block = lanes.programs[lane], lanes.placed(position.blocks[place], lane)
        position.blocks[place] = block
        if programs.judge:
            values, finite = judged(point, programs, block)
            found[place] = values, np.zeros(np.shape(finite), int), finite
            return
        evaluation, steps = begun.get(place) or (programs.begin_evaluation(block.key_eval, point), 0)
        evaluation, size = lanes.placed(evaluation, lane), min(max_steps - steps, paces[lane].size)
        evaluation, finite = paces[lane].timed(
            size, programs.advance_evaluation, block.state, evaluation, np.int32(size)
        )
        begun[place] = evaluation, steps + size
        if not np.any(evaluation.running):
            faults = np.asarray(evaluation.faults) + np.sum(~np.isfinite(evaluation.returns), axis=-1)
            found[place] = {Criterion().metric: evaluation.returns}, faults, finite

    work = Work(lanes.home, lambda place: int(found[place] is None), piece)
    for _ in done(work, len(lanes.programs), seconds, lanes.waiting):
        yield partial(work.halt, lanes.waiting)
    tested += found


def judged(point: int, programs: Programs, block: Trials) -> Any:
    """Returns what the judge finds of a block."""
    found, finite = jax.block_until_ready(programs.judge(block.state, block.key_eval, point))
    if programs.told is None:
        return found, finite
    arrays = jax.device_get(found)
    trials = [programs.told({name: x[place] for name, x in arrays.items()}) for place in range(len(finite))]
    return {name: np.stack([trial[name] for trial in trials]) for name in trials[0]}, finite
