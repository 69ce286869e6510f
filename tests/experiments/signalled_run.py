"""The run of `killed_run` as a command that halts at a moment, for a signal to come there.

`python signalled_run.py DIR MOMENT` prints "at MOMENT" once it is there, and dwells before it goes on.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import killed_run

from experiments.lab.commands import cli, signals
from experiments.lab.recording import book
from experiments.lab.running import conclusion, runner

DWELL = 4.0  # seconds, which a signal that ends the process at once cuts short


@dataclass(frozen=True)
class Nothing:
    """No options."""


def halting(moment: str, function, after: bool = False):
    """Returns the function, which dwells before it begins, or after it, the first time it is called."""
    left = [moment]

    def halted(*arguments, **options):
        if after:
            result = function(*arguments, **options)
        if left:
            print(f"at {left.pop()}", flush=True)
            time.sleep(DWELL)
        return result if after else function(*arguments, **options)

    return halted


def halt_at(moment: str) -> None:
    """Has the run dwell at the moment."""
    if moment == "compile":
        runner.compile_programs = halting(moment, runner.compile_programs)
    elif moment == "save":  # what orbax writes in other threads is begun
        import orbax.checkpoint as ocp

        book.CHECKPOINT_SECONDS = 0.0
        ocp.StandardCheckpointer.save = halting(moment, ocp.StandardCheckpointer.save, after=True)
    elif moment == "summary":
        conclusion.write_json = halting(moment, conclusion.write_json)
    elif moment == "report":
        conclusion.page.write = halting(moment, conclusion.page.write)


if __name__ == "__main__":
    folder, moment = Path(sys.argv.pop(1)), sys.argv.pop(1)
    runner.CHUNK_SECONDS = 0.0
    conclusion.plots.draw_curves = conclusion.page.write = lambda *_: None
    halt_at(moment)
    cli.run_command(Nothing, lambda _: killed_run.go(folder), "signalled_run.py", signals.NOTHING)
