"""Checkpoints: the trials of a family as they are in the middle of their training, and progress.json, which says how far
a run is and which checkpoint counts.

A checkpoint is written whole before progress.json names it, and the one before is deleted after: whenever the process is
killed, progress.json names a checkpoint that is complete.
"""

import hashlib
import json
import logging
import math
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.recording.files import keep, sha256, write_json
from experiments.lab.recording.manifest import describe
from experiments.lab.recording.records import CURVES, Results
from experiments.lab.recording.run_folder import without_places
from experiments.lab.running.chunks import Position
from experiments.lab.running.programs import Trials
from experiments.lab.running.runner import Family

PROGRESS, FOLDER = "progress.json", "checkpoints"


class Changed(ValueError):
    """A file of the run folder is not as the run left it."""


def commit(folder: Path, experiment: Experiment, results: Results, saved: dict[str, Any] | None = None) -> None:
    """Writes that the run is as far as the results, the curves written so far, and the checkpoint `saved`."""
    curves = folder / CURVES
    if curves.exists():
        keep(curves)
    progress = {
        "settings": settings_hash(experiment),
        "results": results,
        "curves_bytes": curves.stat().st_size if curves.exists() else 0,
        "curves_sha256": sha256(curves) if curves.exists() else "",
        "checkpoint": saved,
    }
    write_json(folder / PROGRESS, progress)
    if saved is None:
        shutil.rmtree(folder / FOLDER, ignore_errors=True)
    for old in (folder / FOLDER).glob("*"):
        if old.name != saved["name"]:
            shutil.rmtree(old)


def save(folder: Path, task: Task, family: Family, position: Position) -> dict[str, Any]:
    """Writes the position under a new name and returns what progress.json has to say of it."""
    import orbax.checkpoint as ocp  # half a second, and not every command needs it

    number = max((int(old.name) for old in (folder / FOLDER).glob("[0-9]*") if old.name.isdigit()), default=0) + 1
    path = (folder / FOLDER / f"{number:06}").absolute()
    with _failing_as_files_do(path), ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, _as_arrays(position.blocks))
    for file in (path.parent, path, *path.rglob("*")):
        keep(file)
    return {
        "name": path.name,
        "environment": task.environment,
        "contenders": [contender.name for contender in family],
        "updates": position.updates,
        "faults": position.faults,
        "evaluations": position.evaluations,
        "run_seconds": position.run_seconds,
        "files": {str(file.relative_to(path)): sha256(file) for file in sorted(path.rglob("*")) if file.is_file()},
    }


@contextmanager
def _failing_as_files_do(path: Path) -> Iterator[None]:
    """Raises OSError, and leaves nothing behind, where orbax could not write; it raises ValueError and prints pages:
    by loggers, and by hooks for exceptions, from threads that outlive its event loop. They outlive the failure as well,
    and then what they say stays unsaid."""
    loggers = [logging.getLogger(name) for name in ("absl", "asyncio")]
    levels, hooks = [logger.level for logger in loggers], (sys.excepthook, sys.unraisablehook)
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    sys.excepthook, sys.unraisablehook = (lambda *_: None), _without_closed_loops(sys.unraisablehook)
    try:
        yield
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
        sys.unraisablehook = hooks[1]
    except (OSError, ValueError) as error:
        for partial in path.parent.glob(f"{path.name}*"):  # where the disk is full, its room is needed
            shutil.rmtree(partial, ignore_errors=True)
        code = re.search(r"os_error_code='(\d+)'", str(error))
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from None
    finally:
        sys.excepthook = hooks[0]


def _without_closed_loops(hook: Callable) -> Callable:
    """Returns the hook for exceptions that nothing can catch, without those of callbacks to a loop that is closed."""

    def told(unraisable):
        if str(unraisable.exc_value) != "Event loop is closed":
            hook(unraisable)

    return told


def restore(folder: Path, saved: dict[str, Any], blocks: list[Trials]) -> Position:
    """Returns the position that was saved, placed as `blocks` are. The files are those that `check` has seen.

    Raises Changed where what is trained now has other arrays: another version of this code wrote them.
    """
    import orbax.checkpoint as ocp

    path = (folder / FOLDER / saved["name"]).absolute()
    template = _as_arrays(blocks)
    with ocp.StandardCheckpointer() as checkpointer:
        try:
            arrays = checkpointer.restore(path, template)
        except ValueError:  # pages of both trees
            raise Changed(
                f"the checkpoint {path} does not fit what this version of the code trains: go on with the version that "
                "wrote it, manifest.json says which, or run the experiment anew"
            ) from None
    leaves, structure = jax.tree.flatten(blocks)
    placed = [_as_leaf(arrays[_name(index)], leaf) for index, leaf in enumerate(leaves)]
    numbers = {name: saved[name] for name in ("updates", "faults", "evaluations", "run_seconds")}
    return Position(jax.tree.unflatten(structure, placed), **numbers)


def read(folder: Path, experiment: Experiment) -> dict[str, Any]:
    """Returns what progress.json says. Raises ValueError, in one line, when a run cannot go on from what is there."""
    path = folder / PROGRESS
    if not path.is_file():
        raise ValueError(f"{folder} has no {PROGRESS}: nothing of this run was saved; run it anew in another folder")
    try:
        progress = json.loads(path.read_bytes())
        if progress["settings"] != settings_hash(experiment):
            raise Changed(
                f"{folder / 'manifest.json'} was changed since the run began: its checkpoints belong to other settings"
            )
        _check_curves(folder / CURVES, progress["curves_bytes"], progress["curves_sha256"])
        if progress["checkpoint"] is not None:
            _check_checkpoint(folder, experiment, progress["checkpoint"])
        return {**progress, "results": _with_nan({**progress["results"]})}
    except Changed:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged ({type(error).__name__}): run the experiment anew in another folder"
        ) from None
    except OSError as error:
        raise ValueError(f"cannot read {error.filename}: {error.strerror}") from None


def settings_hash(experiment: Experiment) -> str:
    """Returns the SHA-256 of everything that decides the numbers of the run, in hexadecimal."""
    return hashlib.sha256(json.dumps(without_places(describe(experiment)), sort_keys=True).encode()).hexdigest()


def _check_curves(path: Path, size: int, expected: str) -> None:
    there = path.read_bytes() if path.exists() else b""
    if len(there) < size:
        raise Changed(f"{path} is shorter than the run had written it: it was changed since; run the experiment anew")
    if size and hashlib.sha256(there[:size]).hexdigest() != expected:
        raise Changed(f"{path} is not as the run had written it: it was changed since; run the experiment anew")


def _check_checkpoint(folder: Path, experiment: Experiment, saved: dict[str, Any]) -> None:
    path = folder / FOLDER / saved["name"]
    for name, expected in saved["files"].items():
        if not (path / name).is_file():
            raise Changed(f"the checkpoint {path} is not whole: {name} is missing; run the experiment anew")
        if sha256(path / name) != expected:
            raise Changed(f"the checkpoint {path} is damaged: {name} is not as it was written; run the experiment anew")
    if "devices" in saved:
        raise Changed(f"the checkpoint {path} is of a version of this code that laid trials out otherwise; run anew")


def _with_nan(content: Any) -> Any:
    """Returns the results with the numbers that JSON cannot hold: `write_json` makes null of what is not finite."""
    if isinstance(content, dict):
        return {key: _with_nan(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_with_nan(value) for value in content]
    return math.nan if content is None else content


def _as_arrays(blocks: list[Trials]) -> dict[str, Any]:
    """Returns every leaf by its number, as NumPy has it; random keys as the integers they are made of."""
    leaves = enumerate(jax.tree.leaves(blocks))
    return {_name(index): np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf) for index, leaf in leaves}


def _as_leaf(array: np.ndarray, like: jax.Array) -> jax.Array:
    leaf = jax.random.wrap_key_data(array) if _is_key(like) else array
    return jax.device_put(leaf, like.sharding)


def _is_key(leaf: jax.Array) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _name(index: int) -> str:
    return f"{index:05}"
