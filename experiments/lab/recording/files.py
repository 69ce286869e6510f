"""Files that are whole whenever they are read: written aside and put in place in one move."""

import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

LONGEST = 120  # characters of a name made from a user's: file systems allow 143 to 255, and an ending comes after it
DIGEST = 12  # hexadecimal digits that tell apart names which are cut


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


def require_text(path: Path) -> None:
    """Raises ValueError for a path that is no text: not all that is written in a run folder takes its bytes."""
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        name = ascii(str(path.absolute()))
        raise ValueError(f"{name} is no text where the locale is ASCII: set PYTHONUTF8=1, or name another") from None


def file_name(text: str, safe: str = "") -> str:
    """Returns a file's name for the text, another for each: characters that it may not have as %XX, a long one cut and
    ended by its SHA-256."""
    name = quote(text, safe=safe)
    name = name.replace(".", "%2E", 1) if name.startswith(".") else name
    if len(name) <= LONGEST:
        return name
    return f"{name[: LONGEST - DIGEST - 1]}-{hashlib.sha256(text.encode()).hexdigest()[:DIGEST]}"


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
