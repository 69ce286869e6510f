"""A stage: a folder whose stage.json says what it was made from and of, by their hashes.

A stage of the same key is reused, one that was interrupted goes on. Whoever uses it says which it means, by its mark.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from experiments.lab.commands.cli import BadInput
from experiments.lab.recording.files import sha256, write_json

STAGE = "stage.json"


class Interrupted(Exception):
    """A signal asked the stage to stop, and all is saved."""

    def __init__(self, signal_number: int):
        super().__init__(signal_number)
        self.signal_number = signal_number


class Stage(NamedTuple):
    """What a stage is to be made from."""

    folder: Path
    settings: dict[str, Any]  # numbers and words
    inputs: dict[str, str]  # what it reads, by SHA-256

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def key(self) -> str:
        """Two stages of one key have the same bits."""
        return digest({"settings": self.settings, "inputs": self.inputs})


class Finished(NamedTuple):
    """A stage that is whole."""

    folder: Path
    mark: str  # the hash of all its outputs
    figures: dict[str, Any]


def made(stage: Stage, outputs: tuple[str, ...], make: Callable[[Stage], dict[str, Any]]) -> Finished:
    """Returns the stage, made by `make`, which writes the outputs and returns figures, unless it was finished before.

    Raises BadInput where the folder holds a stage of other settings, or one that was changed since.
    """
    path = stage.folder / STAGE
    found = read(stage.folder) if path.exists() else None
    if found and found["key"] != stage.key:
        raise BadInput(f"{stage.folder} was made {_difference(found, stage)}; name another folder")
    if found and found["outputs"]:
        print(f"{stage.name}: finished before", flush=True)
        return required(stage.folder, digest(found["outputs"]), BadInput)
    stage.folder.mkdir(parents=True, exist_ok=True)
    content = {"key": stage.key, "settings": stage.settings, "inputs": stage.inputs}
    write_json(path, {**content, "outputs": {}, "figures": {}})
    figures = make(stage)
    hashes = {name: sha256(stage.folder / name) for name in outputs}
    write_json(path, {**content, "outputs": hashes, "figures": figures})
    return Finished(stage.folder, digest(hashes), figures)


def required(folder: Path, mark: str, error: type[Exception] = ValueError) -> Finished:
    """Returns the finished stage in the folder. Raises `error`, in one line, where it is not the one of that mark."""
    found = read(folder)
    if not found["outputs"] or digest(found["outputs"]) != mark:
        raise error(f"{folder} is not the stage that this run began with: its stage.json has another mark")
    for name, expected in found["outputs"].items():
        if not (folder / name).is_file() or sha256(folder / name) != expected:
            raise error(f"{folder / name} is not as it was written; the bits would not be the same")
    return Finished(folder, mark, found["figures"])


def whole(folder: Path) -> Finished:
    """Returns the finished stage in the folder, whichever it is. Raises ValueError where there is none, or it was changed."""
    return required(folder, digest(read(folder)["outputs"]))


def read(folder: Path) -> dict[str, Any]:
    """Returns what stage.json says. Raises ValueError, in one line, where there is none that can be read."""
    path = folder / STAGE
    try:
        found = json.loads(path.read_bytes())
        found["key"], found["outputs"].items(), found["settings"].items(), found["figures"]
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{path} is damaged: make the stage anew in another folder") from None
    return found


def digest(content: Any) -> str:
    """Returns the SHA-256 of plain data, in hexadecimal."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _difference(found: dict[str, Any], stage: Stage) -> str:
    now, then = stage.settings, found["settings"]
    for name in sorted(now.keys() | then.keys(), key=lambda name: name in now and name in then):  # what one lacks first
        if then.get(name) != now.get(name):
            return f"with {name}={then.get(name)}, not {now.get(name)}"
    return "from other data or by another version of this code"
