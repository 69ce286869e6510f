"""Folders below the user's home, and what takes their place where that cannot be written to. Says nothing of it."""

import functools
import os
import tempfile
from pathlib import Path

import platformdirs


def writable(folder: Path) -> bool:
    """Returns whether files can be put into the folder, which is made where it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def temporary() -> Path:
    """Returns a folder of this process, deleted at its end."""
    return Path(_temporary().name)


@functools.cache
def _temporary() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="evenhand-", ignore_cleanup_errors=True)


def give_matplotlib_one() -> None:
    """Names matplotlib a temporary folder where its own cannot be written to: it would make one itself and warn."""
    if "MPLCONFIGDIR" not in os.environ and not writable(Path(platformdirs.user_config_dir("matplotlib"))):
        os.environ["MPLCONFIGDIR"] = str(temporary())
