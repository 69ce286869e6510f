"""Where compiled programs are kept between runs: a folder for each version of jaxlib and each kind of processor.

Homes on a network are shared by unlike machines, and a program that was compiled for one may not run on another.
"""

import hashlib
import os
import platform
import sys
import time
from importlib import metadata
from pathlib import Path

import platformdirs

from experiments.lab.machine.folders import temporary, writable
from experiments.lab.machine.hardware import told

CACHE_BYTES = 2**30  # least recently used programs go first
CACHE_MIN_COMPILE_SECONDS = 0.2
WRITTEN_SECONDS = 3600.0  # by then a process that writes a program has written its time of use too, or is dead


def keep() -> None:
    """Has jax keep its compiled programs, unless the user set a folder; where home cannot be written to, for as long as
    this process lives, in which every lane needs them."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        chosen = folder() if writable(folder()) else temporary() / "programs"
        mend(chosen, time.time())
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(chosen)
    os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(CACHE_BYTES))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", str(CACHE_MIN_COMPILE_SECONDS))
    if "jax" in sys.modules:  # it read its own settings when it was imported
        import jax
        from jax.experimental.compilation_cache import compilation_cache

        wanted = os.environ["JAX_COMPILATION_CACHE_DIR"]
        if jax.config.jax_compilation_cache_dir != wanted:
            jax.config.update("jax_compilation_cache_dir", wanted)
            compilation_cache.reset_cache()  # jax asks only once whether there is a cache
        jax.config.update("jax_compilation_cache_max_size", int(os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"]))
        least = float(os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"])
        jax.config.update("jax_persistent_cache_min_compile_time_secs", least)


def folder() -> Path:
    """Returns where this version of jaxlib keeps the programs for this kind of processor."""
    kind = " ".join([platform.system(), platform.machine(), told("model name"), told("flags") or told("Features")])
    name = f"jaxlib-{metadata.version('jaxlib')}-{hashlib.sha256(kind.encode()).hexdigest()[:12]}"
    return Path(platformdirs.user_cache_dir("evenhand")) / "programs" / name


def mend(folder: Path, now: float) -> None:
    """Deletes compiled programs whose time of use is missing long after they were written: a process was killed between
    the two writes, and jax would stumble over them whenever it makes room."""
    for program in folder.glob("*-cache"):
        try:
            old = now - program.stat().st_mtime > WRITTEN_SECONDS
            if old and not program.with_name(program.name.removesuffix("-cache") + "-atime").exists():
                program.unlink()
        except OSError:  # another process was faster, or may write here and this one may not
            continue
