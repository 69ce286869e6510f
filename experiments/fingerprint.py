"""What the bits of short runs are on this kind of processor: python -m experiments.fingerprint"""

import hashlib
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from experiments.lab.commands.cli import BadInput, run_command, typed
from experiments.lab.machine import devices, flags, hardware

STEPS, IMAGE_STEPS = 20_000, 4_096  # of each run: some updates of every algorithm
IMAGES = "Breakout-MinAtar"
Run = tuple[str, str, int]  # algorithm, environment, environment steps


@dataclass(frozen=True)
class Args:
    """Run every algorithm for some updates, as runs come and as --portable has them, and print a digest of each: of its
    curves and trained parameters. Two kinds of processor that print the same digests give the same bits.

    Takes about a minute. What is printed is a line for the table in docs/hardware.md, and which of its lines it equals.
    """

    append: bool = False
    """Add the line to that table."""


def fingerprint(args: Args) -> int:
    """Prints this processor's line, how it compares with the table's, and returns the exit status. Raises BadInput."""
    named = flags.named(os.environ.get("XLA_FLAGS", ""))
    if any(name in named for name in (*flags.OPTIONS, *flags.PORTABLE, *flags.SMALL_LOOPS)):
        raise BadInput("XLA_FLAGS sets options that decide bits: unset it, so that digests are of runs as they come")
    devices.start()
    if not devices.on_cpu():
        raise BadInput("fingerprints are of CPUs: JAX_PLATFORMS=cpu stays on the CPU")
    from experiments.lab.recording import fingerprints

    chosen = runs()
    normal, portable = digests(False, chosen), {}
    if not flags.unfit_processor(platform.machine(), hardware.told("flags")):
        portable = of_another_process(chosen)
    line = fingerprints.line({name: f"{found} / {portable.get(name, '-')}" for name, found in normal.items()})
    known = [one for one in fingerprints.table() if one[:3] != line[:3]]
    print(line)
    print(*fingerprints.compared(line, known), sep="\n", end="\n" if known else "")
    if args.append:
        fingerprints.append(line)
    return 0


def runs() -> dict[str, Run]:
    """Returns what is run, by name: every algorithm of `compare`, and one on images."""
    from experiments.lab.definition.settings import ALGORITHMS

    found = {name: (name, "CartPole-v1", STEPS) for name in ALGORITHMS}
    return found | {f"ppo on {IMAGES}": ("ppo", IMAGES, IMAGE_STEPS)}


def of_another_process(chosen: dict[str, Run]) -> dict[str, str]:
    """Returns the digests of portable runs: jax starts portable or never is."""
    variables = {name: x for name, x in os.environ.items() if name not in (*flags.FROM_US, *flags.PRODUCTS)}
    script = "import json, sys; from experiments import fingerprint as f; "
    script += "print(json.dumps(f.digests(True, json.loads(sys.argv[1]))))"
    command = [sys.executable, "-c", script, json.dumps(chosen)]
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(command, env=variables, cwd=root, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def digests(portable: bool, chosen: dict[str, Run]) -> dict[str, str]:
    """Returns the digest of every run, by its name."""
    devices.start(portable)
    return {name: digest(*run) for name, run in chosen.items()}


def digest(name: str, environment: str, steps: int) -> str:
    """Returns the first six digits of the SHA-256 of a short run's curves and trained parameters."""
    import jax
    import numpy as np

    from experiments.lab.definition.experiment import Experiment, Task
    from experiments.lab.definition.settings import contender
    from experiments.lab.running import runner

    task = Task(environment, (contender(name, environment, steps),))
    events = list(runner.run(Experiment((task,), (0,), steps, evaluations=2, eval_episodes=4, width=1)))
    found = hashlib.sha256()
    for event in events:
        if isinstance(event, runner.Evaluated):
            found.update(repr([(*row[:3], float(row[3]).hex()) for row in event.rows]).encode())
    for leaf in jax.tree.leaves(events[-1].acting):
        found.update(np.asarray(leaf).tobytes())
    return found.hexdigest()[:6]


def main() -> NoReturn:
    """Runs the command and exits."""
    run_command(Args, fingerprint, typed("fingerprint"))


if __name__ == "__main__":
    main()
