"""Cores, memory and processor, as far as the system tells. Imports no jax by itself."""

import math
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

CGROUP, OWN_CGROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
CPUINFO, MEMINFO = Path("/proc/cpuinfo"), Path("/proc/meminfo")


def cores() -> int:
    """Returns the number of CPU cores this process may use: by its affinity, and by the quota of its container, of which
    a part of a core counts as one."""
    given = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    allowed = quota()
    return given if math.isinf(allowed) else max(1, min(given, math.ceil(allowed)))


def quota(mounted: Path = CGROUP, own: Path = OWN_CGROUP) -> float:
    """Returns how many cores' time the control groups of this process allow it, infinity where they set no limit."""
    return min((_limit(group) for group in _groups(mounted, own)), default=math.inf)


def _groups(mounted: Path, own: Path) -> Iterator[Path]:
    """Yields the folders of the process's own groups and of those above, which bind it as well. A container sees its own
    as the topmost, whatever it is called."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        for top in (mounted, mounted / "cpu", mounted / controllers) if "cpu" in controllers.split(",") else (mounted,):
            place = top / group.lstrip("/")
            yield from (folder for folder in (place, *place.parents) if folder.is_relative_to(top))


def _limit(group: Path) -> float:
    """Returns the limit of one group: version 2 has `<quota> <period>` in cpu.max, version 1 a file for each."""
    try:
        if (group / "cpu.max").is_file():
            words = (group / "cpu.max").read_text(encoding="utf-8").split()
        else:
            words = [(group / f"cpu.cfs_{name}_us").read_text(encoding="utf-8") for name in ("quota", "period")]
        allowed, period = (float(word) for word in words)
    except (OSError, ValueError):  # no such files, or the word max
        return math.inf
    return allowed / period if allowed > 0 and period > 0 else math.inf


def free_memory(meminfo: Path = MEMINFO) -> int:
    """Returns the bytes that are free for use: of the accelerator where there is one, else of main memory; no limit, the
    largest number, where the system does not say."""
    import jax

    stats = jax.devices()[0].memory_stats() if jax.devices()[0].platform != "cpu" else None
    if stats:
        return stats["bytes_limit"] - stats["bytes_in_use"]
    try:
        lines = meminfo.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf, and not every system knows the names
        return sys.maxsize


def processor() -> str:
    """Returns the processor's name, as well as the system tells it."""
    return told("model name") or platform.processor() or platform.machine()


def told(name: str, cpuinfo: Path = CPUINFO) -> str:
    """Returns what the system says of its first processor under a name, '' where it says nothing."""
    try:
        lines = [line.partition(":") for line in cpuinfo.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return ""
    return next((value.strip() for what, _, value in lines if what.strip() == name), "")
