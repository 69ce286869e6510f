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
from experiments.lab.running.programs import Programs, Trials, side_by_side

LOOK_SECONDS = 0.1  # between two looks at what else there is, while the devices work


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


def advance_blocks(programs: Sequence[Programs], position: Position, updates: int, pace: Pace) -> Iterator[None]:
    """Yields as the blocks advance, as many side by side as there are lanes, until each has made `updates`."""
    for first in range(0, len(position.blocks), len(programs)):
        together = slice(first, first + len(programs))
        while position.updates[first] < updates:
            size = min(updates - position.updates[first], pace.size)
            blocks = position.blocks[together]
            position.blocks[together] = pace.made(size, side_by_side, partial(advanced, size), programs, blocks)
            position.updates[together] = [made + size for made in position.updates[together]]
            yield


def advanced(num_updates: int, programs: Programs, block: Trials) -> Trials:
    """Returns the block after so many more updates; its state is given up."""
    state, sums = programs.advance(block.state, block.sums, block.hparams, np.int32(num_updates))
    return block._replace(state=state, sums=sums)


def evaluate_blocks(
    programs: Sequence[Programs], position: Position, max_steps: int, pace: Pace, tested: list[Any]
) -> Iterator[None]:
    """Yields as the blocks are evaluated, as many side by side as there are lanes, and adds what was found of each to
    `tested`: ({metric: values [width, n]}, faults of the environment [width], parameters are finite [width]).

    Nothing of the position changes: whoever goes on from it evaluates anew.
    """
    for first in range(0, len(position.blocks), len(programs)):
        blocks, point = position.blocks[first : first + len(programs)], np.int32(position.evaluations)
        if programs[0].judge:
            found = pace.made(1, side_by_side, partial(judged, point), programs, blocks)
            tested += [(values, np.zeros(np.shape(finite), int), finite) for values, finite in found]
            yield
        else:
            yield from _evaluate_together(programs, blocks, point, max_steps, pace, tested)


def judged(point: int, programs: Programs, block: Trials) -> Any:
    """Returns what the judge finds of a block."""
    found, finite = programs.judge(block.state, block.key_eval, point)
    if programs.told is None:
        return found, finite
    arrays = jax.device_get(found)
    trials = [programs.told({name: x[place] for name, x in arrays.items()}) for place in range(len(finite))]
    return {name: np.stack([trial[name] for trial in trials]) for name in trials[0]}, finite


def _evaluate_together(
    programs, blocks: list[Trials], point: int, max_steps: int, pace: Pace, tested
) -> Iterator[None]:
    evaluations = side_by_side(lambda on, block: on.begin_evaluation(block.key_eval, point), programs, blocks)
    steps, running = 0, True
    while running:
        if steps:
            yield
        size = min(max_steps - steps, pace.size)
        begun = [(block.state, evaluation) for block, evaluation in zip(blocks, evaluations)]
        found = pace.made(size, side_by_side, partial(_evaluated, np.int32(size)), programs, begun)
        evaluations, finite = zip(*found)
        steps, running = steps + size, any(bool(np.any(evaluation.running)) for evaluation in evaluations)
    for evaluation, is_finite in zip(evaluations, finite):
        faults = np.asarray(evaluation.faults) + np.sum(~np.isfinite(evaluation.returns), axis=-1)
        tested.append(({Criterion().metric: evaluation.returns}, faults, is_finite))


def _evaluated(num_steps: int, programs: Programs, begun: tuple[Any, Any]) -> Any:
    return programs.advance_evaluation(*begun, num_steps)
