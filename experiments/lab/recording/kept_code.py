"""The code that a run folder keeps: where it lies, whose it is, and a yes before another's is run."""

import getpass
import hashlib
import json
import os
import platform
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.lab.commands.cli import BadInput
from experiments.lab.outside.user_files import OURS
from experiments.lab.recording.files import sha256

CODE = "code"  # the folder of the run folder that keeps users' own files
MACHINE_IDS = ("/etc/machine-id", "/var/lib/dbus/machine-id")


def kept_name(path: Path) -> str:
    """Returns where below DIR/code a user's file is kept: under its folders' names, so that neighbours stay neighbours."""
    return str(path.relative_to(path.anchor))


def made_by(folder: Path, manifest: dict[str, Any]) -> dict[str, str]:
    """Returns who made the run folder, on which machine, and the mark by which both know their code again."""
    return {"user": user(), "machine": platform.node(), "mark": _mark(code(folder, manifest))}


def require_trust(folder: Path, manifest: dict[str, Any], trusted: bool) -> None:
    """Says whose code is run, where this user did not make it on this machine, and wants a yes: `trusted`, or typed.

    Raises BadInput, in one line, for a no, and where nobody can be asked.
    """
    kept = code(folder, manifest)
    if not kept or _is_ours(folder, kept, manifest.get("made_by")):
        return
    maker = manifest.get("made_by") or {}
    who = f"{maker.get('user', 'an unknown user')} on {maker.get('machine', 'an unknown machine')}"
    line = f"{folder} was made by {who} and holds code of theirs, to be run as yours: {', '.join(kept)}"
    if trusted:
        print(line, flush=True)
    elif not (_is_terminal(sys.stdin) and _is_terminal(sys.stdout)):
        raise BadInput(f"{line}; read it, then give --trust")
    elif input(f"{line}\nrun it? [y/N] ").strip().lower() not in ("y", "yes"):
        raise BadInput("nothing was run")


def code(folder: Path, manifest: dict[str, Any]) -> dict[str, str]:
    """Returns what reading the experiment back may execute that is not of this codebase: files by their SHA-256, modules
    and files outside the folder by nothing."""
    files = [path for path in sorted((folder / CODE).rglob("*")) if path.is_file()]
    found = {path.relative_to(folder).as_posix(): sha256(path) for path in files}
    for where in sorted({*_named(manifest)}):
        if where.endswith(".py"):
            found.setdefault(f"{CODE}/{Path(kept_name(Path(where))).as_posix()}", "")
        elif where.partition(".")[0] not in OURS:
            found[where] = ""
    return found


def user() -> str:
    """Returns the name of this process's user, or the number of one who has none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return str(_uid())


def _named(content: Any) -> Iterator[str]:
    """Yields the files and modules that a manifest's settings name, whatever else it holds."""
    for key, value in content.items() if isinstance(content, dict) else ():
        if key in ("loss", "network", "hparams_class", "reward") and isinstance(value, str) and ":" in value:
            yield value.rpartition(":")[0]
        elif key == "algorithm" and isinstance(value, str):
            yield value
        yield from _named(value)


def _is_ours(folder: Path, kept: dict[str, str], maker: dict[str, str] | None) -> bool:
    places = [folder / "manifest.json", *(folder / name for name, digest in kept.items() if digest)]
    owned = os.name != "posix" or all(place.stat().st_uid == _uid() for place in places)
    return owned and isinstance(maker, dict) and maker.get("mark") == _mark(kept)


def _mark(kept: dict[str, str]) -> str:
    """Returns the SHA-256 of this machine, this user and the code: another machine cannot make it, nor for other code."""
    return hashlib.sha256(json.dumps([_machine_id(), _uid(), kept]).encode()).hexdigest()


def _machine_id() -> str:
    for path in map(Path, MACHINE_IDS):
        if path.is_file() and (content := path.read_bytes().strip()):
            return content.decode("ascii", "replace")
    return f"{platform.node()} {uuid.getnode()}"


def _uid() -> int | str:
    return os.getuid() if hasattr(os, "getuid") else getpass.getuser()


def _is_terminal(stream: Any) -> bool:
    return stream is not None and stream.isatty()
