"""The training of a stage: compiled chunks of updates, between which the host looks, saves and stops.

What is trained lies whole in one file, checkpoint.npz; a training that goes on from it has the same bits as one never cut.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import SingleDeviceSharding

from experiments.lab.commands import signals
from experiments.lab.machine import devices, flags
from experiments.lab.recording import book, trees
from experiments.lab.running.chunks import Pace
from experiments.lab.showing.screen import duration
from experiments.rlhf.stages.stage import Interrupted, Stage

CHECKPOINT, CHUNK_SECONDS = "checkpoint.npz", 0.5


class Parted(NamedTuple):
    """An update in parts that are computed side by side where there are cores for it; its bits do not depend on where."""

    parts: int
    reads: Callable[[Any], Any]  # state -> what of it a part reads: no more is sent to another core
    part: Callable[[Any, jax.Array], Any]  # (what is read, number of the part) -> part, pure
    join: Callable[[Any, list[Any]], Any]  # (state, every part) -> state, pure


class Course(NamedTuple):
    """What is trained, and who looks at it."""

    begin: Callable[..., Any]  # () -> state, or (start) -> state where there is one; pure
    step: Callable[[Any], Any] | Parted  # state -> state, pure: one update
    keep: Callable[[Any], Any]  # state -> what the stage is after
    look: Callable[[Any, int], float]  # (what is kept, updates made) -> its loss on validation texts, on the host
    updates: int
    looks: int
    patience: int  # looks in a row without a gain that end the training; 0: it goes to its end
    unit: str  # what a look measures
    given: Any = None  # arrays that every update reads and leaves as they are: then `step` takes (given, state)
    start: Any = None  # parameters that it begins as: a constant would be compiled in

    @property
    def begins_with(self) -> tuple[Any, ...]:
        """What `begin` takes."""
        return () if self.start is None else (self.start,)


class Position(NamedTuple):
    """How far a training is; all of it is in the checkpoint."""

    state: Any
    best: Any  # `keep` of the state that was best so far
    made: np.ndarray  # int64, updates
    seconds: np.ndarray  # float64, of training
    seen: np.ndarray  # float64 [looks, 2]: updates made, what was measured; NaN where it is still to come


class Trained(NamedTuple):
    """What a training gives."""

    best: Any  # `keep` of the state that was best on validation data; of the last where patience is 0
    looks: np.ndarray  # float64 [n, 2]: updates made, what was measured
    seconds: float  # of training


def train(stage: Stage, course: Course, every: float = book.CHECKPOINT_SECONDS) -> Trained:
    """Returns what was trained. Raises Interrupted, all saved, where a signal asks to stop. every: seconds a checkpoint."""
    device, path = lane(), stage.folder / CHECKPOINT
    shape = jax.eval_shape(course.begin, *course.begins_with)
    in_parts = isinstance(course.step, Parted)
    advance = _advanced_in_parts(course.step, shape) if in_parts else _advanced(course.step, shape, course.given)
    now = _begun(course, device, path)
    with book.asked_to_stop() as stop:
        at_once = signals.at_once("interrupted at once: what was saved before is kept")
        pace, saved_at = Pace(CHUNK_SECONDS, book.patience(stop, at_once)), time.monotonic()
        while not _over(now.seen, course.patience):
            now = _further(now, course, advance, pace, device, stage.name)
            asked = stop()  # once: who is asked between the two has not saved
            if asked or time.monotonic() - saved_at >= every or _over(now.seen, course.patience):
                trees.write(path, now)
                saved_at = time.monotonic()
            if asked:
                raise Interrupted(asked)
    return Trained(jax.device_get(now.best), now.seen[np.isfinite(now.seen[:, 0])], float(now.seconds))


def _advanced(step: Callable, state: Any, given: Any = None) -> Callable:
    """Returns (state, updates) -> state, one program on one lane. given: what it reads; a constant would be compiled in."""
    arguments = () if given is None else (jax.device_put(given, lane()),)

    def advance(*arguments_state_updates):
        *own, state, updates = arguments_state_updates
        return lax.fori_loop(0, updates, lambda _, x: step(*own, x), state)

    program = compiled(advance, lane(), *arguments, state, jnp.int32(0))
    return lambda state, updates: program(*arguments, state, updates)


def _advanced_in_parts(step: Parted, state: Any) -> Callable:
    """Returns (state, updates) -> state: the parts on as many lanes as there are, joined on the first."""
    lanes, read, number = devices.lanes(step.parts), jax.eval_shape(step.reads, state), jnp.int32(0)
    parts = [compiled(step.part, device, read, number) for device in lanes]
    join = compiled(step.join, lanes[0], state, [jax.eval_shape(step.part, read, number)] * step.parts)

    def in_turn(place: int, read: Any) -> list[Any]:
        own = jax.device_put(read, lanes[place])
        numbers = range(place, step.parts, len(lanes))
        given = [jax.device_put(np.int32(number), lanes[place]) for number in numbers]
        return jax.device_get([jax.block_until_ready(parts[place](own, number)) for number in given])

    def advance(state, updates):
        with ThreadPoolExecutor(len(lanes)) as pool:
            for _ in range(int(updates)):
                read = jax.device_get(step.reads(state))  # a copy from lane to lane would wait for the first's part
                found = list(pool.map(in_turn, range(len(lanes)), [read] * len(lanes)))
                in_order = [found[part % len(lanes)][part // len(lanes)] for part in range(step.parts)]
                state = jax.block_until_ready(join(state, jax.device_put(in_order, lanes[0])))
        return state

    return advance


def _begun(course: Course, device: Any, path: Path) -> Position:
    """Returns where the training goes on, placed on the device: at its checkpoint, or at its beginning."""
    state = run_on(course.begin, device, *course.begins_with)
    nothing = np.full((course.looks, 2), np.nan)
    now = Position(state, course.keep(state), np.array(0), np.array(0.0), nothing)
    if path.exists():
        now = trees.read(path, now)
    return now._replace(state=jax.device_put(now.state, device), best=jax.device_put(now.best, device))


def _further(now: Position, course: Course, advance: Callable, pace: Pace, device: Any, name: str) -> Position:
    """Returns the position after a chunk of updates, and after a look where one is due."""
    began, looks = time.perf_counter(), int(np.sum(np.isfinite(now.seen[:, 0])))
    mark = course.updates * (looks + 1) // course.looks
    size = min(mark - int(now.made), pace.size)
    state = pace.made(size, advance, now.state, jax.device_put(np.int32(size), device))
    seconds = now.seconds + time.perf_counter() - began
    now = now._replace(state=state, made=now.made + size, seconds=seconds)
    if int(now.made) < mark:
        return now
    seen = now.seen.copy()
    seen[looks] = mark, course.look(course.keep(state), mark)
    better = not course.patience or seen[looks, 1] <= np.nanmin(seen[:, 1])
    left = duration(float(seconds) * (course.updates / mark - 1.0))
    print(f"{name}: {mark / course.updates:.0%}, {course.unit} {seen[looks, 1]:.3f}, {left} left", flush=True)
    return now._replace(seen=seen, best=course.keep(state) if better else now.best)


def _over(seen: np.ndarray, patience: int) -> bool:
    """Returns whether all looks are made, or so many in a row had nothing better than one before them."""
    values = seen[np.isfinite(seen[:, 0]), 1]
    waited = len(values) - 1 - int(np.argmin(values)) if len(values) else 0
    return len(values) == len(seen) or bool(patience and waited >= patience)


def lane() -> Any:
    """Returns the device of a stage: one core or one accelerator, so that the number of cores decides no bits."""
    return devices.lanes(1)[0]


def compiled(function: Callable, device: Any, *arguments: Any) -> Callable:
    """Returns the function compiled for arguments of those shapes, as the lab compiles: options and device decide bits."""
    place = SingleDeviceSharding(device)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), x.dtype, sharding=place), arguments)
    with devices.exact_products():
        lowered = jax.jit(function, out_shardings=place).lower(*shapes)
    return lowered.compile(compiler_options=flags.options(devices.platform()))


def run(function: Callable, device: Any, *arguments: Any) -> Any:
    """Returns what the function, compiled as `compiled` does, gives for the arguments, as NumPy arrays."""
    return jax.device_get(run_on(function, device, *arguments))


def run_on(function: Callable, device: Any, *arguments: Any) -> Any:
    """Returns what the function, compiled as `compiled` does, gives for the arguments, on the device."""
    placed = jax.device_put(arguments, device)
    return compiled(function, device, *placed)(*placed)
