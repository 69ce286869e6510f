"""TensorBoard event files, written as a run goes: DIR/tensorboard/ENVIRONMENT/CONTENDER/seed-N, a TensorBoard run each.

Where there are several seeds, a run `mean` beside them has the mean of every metric that all of them have at a step.
Tags are the metrics of curves.csv, steps are environment steps. After --resume the files are made anew from curves.csv:
no step is there twice, and what came before has the wall time of the resumption.
"""

import csv
import importlib.util
import shutil
import struct
import time
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

import numpy as np

from experiments.lab.recording.files import file_name
from experiments.lab.recording.records import CURVES
from experiments.lab.running.runner import Evaluated, Row

FOLDER = "tensorboard"
FILE = "events.out.tfevents.0"


def check(wanted: bool) -> None:
    """Raises ValueError where event files are wanted and tensorboardX is not installed."""
    if wanted and importlib.util.find_spec("tensorboardX") is None:
        raise ValueError("--tensorboard needs a package that is not installed: pip install tensorboardX")


def start(folder: Path, wanted: bool) -> None:
    """Makes the folder of the event files, if they are wanted; from then on `append` writes there."""
    if wanted:
        (folder / FOLDER).mkdir(exist_ok=True)


def started(folder: Path) -> bool:
    """Returns whether the run has event files."""
    return (folder / FOLDER).is_dir()


def append(folder: Path, event: Evaluated) -> None:
    """Adds one evaluation of a contender, if the run folder has event files."""
    if started(folder):
        _write(folder, event.task.environment, event.contender.name, event.rows)


def rewrite(folder: Path) -> None:
    """Makes the event files, if the run folder has some, anew from curves.csv."""
    if not started(folder):
        return
    for old in (folder / FOLDER).iterdir():  # the folder stays: it says that the files are wanted
        shutil.rmtree(old)
    if (folder / CURVES).exists():
        with (folder / CURVES).open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))[1:]
        for (environment, contender), those in groupby(rows, key=lambda row: row[:2]):
            _write(folder, environment, contender, [(int(s), int(n), m, float(v)) for _, _, s, n, m, v, *_ in those])


def run_of(folder: Path, environment: str, contender: str, run: str) -> Path:
    """Returns the event file of one TensorBoard run."""
    return folder / FOLDER / file_name(environment) / file_name(contender, "=, ") / run / FILE


def _write(folder: Path, environment: str, contender: str, rows: Iterable[Row]) -> None:
    """Writes rows of one contender: those of one number of steps become one event of each seed."""
    for env_steps, group in groupby(rows, key=lambda row: row[1]):
        metrics: dict[str, dict[int, float]] = {}
        for seed, _, metric, value in group:
            metrics.setdefault(metric, {})[seed] = value
        seeds = sorted({seed for values in metrics.values() for seed in values})
        for seed in seeds:
            values = {metric: by_seed[seed] for metric, by_seed in metrics.items() if seed in by_seed}
            _append(run_of(folder, environment, contender, f"seed-{seed}"), env_steps, values)
        if len(seeds) > 1:
            values = {m: float(np.mean(list(v.values()))) for m, v in metrics.items() if len(v) == len(seeds)}
            _append(run_of(folder, environment, contender, "mean"), env_steps, values)


def _append(path: Path, env_steps: int, values: dict[str, float]) -> None:
    """Adds one event to a file. It is opened for that alone: a run can have more seeds than a process open files."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

    now, content = time.time(), b""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        content = _record(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
    scalars = [Summary.Value(tag=metric, simple_value=value) for metric, value in values.items()]
    event = Event(wall_time=now, step=env_steps, summary=Summary(value=scalars))
    with path.open("ab") as file:
        file.write(content + _record(event.SerializeToString()))


def _record(data: bytes) -> bytes:
    """Returns the data as a record of TensorFlow's format: uint64 length, its checksum, the data, its checksum."""
    from tensorboardX.record_writer import masked_crc32c

    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc32c(length)) + data + struct.pack("<I", masked_crc32c(data))
