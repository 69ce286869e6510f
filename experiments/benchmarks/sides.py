"""The processes of `peers`: each side trains in one of its own, in a virtual environment that is made where it is missing."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from experiments.lab.machine import flags, hardware

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Side:
    """One row of a table. The defaults are those of a side that computes in this environment."""

    name: str
    file: str  # in this folder: its `make_round` trains
    workloads: tuple[str, ...]
    folder: str | None = None  # of its virtual environment
    requirements: tuple[str, ...] = ()  # what pip puts there
    arguments: tuple[str, ...] = ()
    our_flags: bool = False  # the peer computes with the flags that ours computes with
    flags: str = ""  # XLA's, for more than one seed
    one_seed: bool = False  # it knows no training of several seeds


@dataclass(frozen=True)
class Started:
    """A process that trains on request."""

    process: subprocess.Popen
    facts: Mapping[str, str | int]  # its packages' versions, and how many devices or threads it has


@contextmanager
def started(sides: tuple[Side, ...], num_seeds: int, peers_folder: Path) -> Iterator[dict[str, Started]]:
    """Gives the sides' processes by name; they end with the context.

    The user's XLA_FLAGS reach none of them: each row of the table says by which flags it was made.
    """
    commands = {side.name: command(side, num_seeds, peers_folder) for side in sides}
    with ExitStack() as stack:
        yield {side.name: start(stack, commands[side.name], environment(side, num_seeds)) for side in sides}


def start(stack: ExitStack, command: tuple[str, ...], environment: Mapping[str, str]) -> Started:
    """Returns the started process; leaving the stack closes its input, at which it ends."""
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    )
    stack.enter_context(process)
    return Started(process, json.loads(answer(process)))


def one_round(side: Started, job: tuple[str, int, int]) -> float:
    """Returns the seconds in which the side did the job once. Raises RuntimeError when its process has ended."""
    side.process.stdin.write(json.dumps(job) + "\n")
    side.process.stdin.flush()
    return float(answer(side.process))


def answer(process: subprocess.Popen) -> str:
    """Returns the next line that the process prints."""
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{' '.join(process.args)} ended with status {process.wait()}; its error is above")
    return line


def command(side: Side, num_seeds: int, peers_folder: Path) -> tuple[str, ...]:
    """Returns what starts the side. Makes and fills a peer's virtual environment where that is missing."""
    if side.folder is None:
        module = f"experiments.benchmarks.{Path(side.file).stem}"
        return (sys.executable, "-m", module, str(num_seeds), *side.arguments)
    python = install(peers_folder / side.folder, side.requirements)
    # -I: nothing of this project's environment reaches the peer
    return (str(python), "-I", str(HERE / "serve.py"), str(HERE / side.file), *side.arguments)


def install(folder: Path, requirements: tuple[str, ...]) -> Path:
    """Returns the interpreter of the virtual environment `folder`, made where it is missing and filled by pip.

    Where all is there already, pip asks no index.
    """
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"making a virtual environment for {' '.join(requirements)} in {folder}")
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *requirements], check=True)
    return python


def environment(side: Side, num_seeds: int) -> dict[str, str]:
    """Returns the environment variables that the side computes with."""
    plain = {name: value for name, value in os.environ.items() if name not in flags.FROM_US}
    if side.our_flags:
        return plain | our_settings(num_seeds)
    if side.flags and num_seeds > 1:
        return plain | {"XLA_FLAGS": side.flags}
    return plain


def our_settings(num_seeds: int) -> dict[str, str]:
    """Returns XLA's flags and threads as ours are, for a peer that spreads its seeds over devices: one a core."""
    count = min(hardware.cores(), num_seeds)
    return {"XLA_FLAGS": flags.with_ours(f"--xla_force_host_platform_device_count={count}"), "NPROC": str(count)}
