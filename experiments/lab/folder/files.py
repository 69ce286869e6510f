"""Files that are whole whenever they are read: written aside and put in place in one move."""

import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any


def write_json(path: Path, content: Any) -> None:
    """Writes strict JSON (a number that is not finite becomes null) in one move: readers see the old file or the new."""
    write_whole(path, (json.dumps(_strict(content), indent=2, allow_nan=False) + "\n").encode())


def write_whole(path: Path, content: bytes) -> None:
    """Writes the bytes in one move, on the disk before the file's name points at them."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)  # where the disk is full, its room is needed
        raise
    keep(path.parent)


def keep(path: Path) -> None:
    """Puts on the disk what was written to a file, or which names a folder has, so that a power cut takes none of it."""
    if os.name != "posix":  # elsewhere neither can be asked for
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _strict(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _strict(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_strict(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content
