"""Which commit code is of: this codebase, and a user's own files beside it."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.lab.outside.user_files import OURS

ROOT = Path(__file__).parents[3]


def of_this_code() -> dict[str, Any]:
    """Returns the commit of this code and whether its files differ from it; None where that cannot be known."""
    return commit_of(ROOT, OURS)


def of_files(files: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Returns the same of files, by the repository that they lie in; those in none are left out."""
    repositories: dict[str, list[Path]] = {}
    for file in files:
        if top := _git(file.parent, "rev-parse", "--show-toplevel"):
            repositories.setdefault(top, []).append(file)
    return {top: commit_of(Path(top), own, "--ignored") for top, own in repositories.items()}


def commit_of(folder: Path, paths: Sequence[Path | str], *options: str) -> dict[str, Any]:
    """Returns the commit of the repository around the folder and whether the paths differ from it.

    None where none of them is in that repository: it may be one that code was installed or copied into.
    """
    words = ("--", *map(str, paths))
    if not _git(folder, "ls-files", *words):
        return {"commit": None, "dirty": None}
    changed = _git(folder, "status", "--porcelain", *options, *words)
    return {"commit": _git(folder, "rev-parse", "HEAD"), "dirty": None if changed is None else bool(changed)}


def experiment_file() -> list[Path]:
    """Returns the file that this process was started with, where it is a user's and no program's."""
    main = sys.modules["__main__"]
    name, file = getattr(main.__spec__, "name", ""), getattr(main, "__file__", None)
    own = file is not None and file.endswith(".py") and name.partition(".")[0] not in OURS
    return [Path(file).resolve()] if own else []


def _git(folder: Path, *words: str) -> str | None:
    """Returns what git says in the folder, None where it fails or is not there. A hook's own settings do not count."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        run = subprocess.run(["git", *words], cwd=folder, env=settings, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return run.stdout.decode(errors="surrogateescape").strip()
