"""Examines a loss and says in plain words what it found: python -m experiments.doctor my_losses.py:spo"""

from dataclasses import dataclass
from typing import Annotated

import tyro

from experiments.lab import devices
from experiments.lab.cli import BadInput, run_command

COLOURS = {"ok": "green", "note": "yellow", "problem": "bold red"}


@dataclass(frozen=True)
class Args:
    """Examine a loss: its form, its gradient, what it makes of samples and mask, what it does at the limits.

    One line a finding: ok, note or problem, with the line of the file to look at. Exit status 1 when there is a problem.
    """

    loss: Annotated[str, tyro.conf.Positional]
    """The loss: FILE.py:FUNCTION or MODULE:FUNCTION, annotated with the HParams of its algorithm."""


def doctor(args: Args) -> int:
    """Prints the findings and returns the exit status: 1 when there is a problem, else 0. Raises BadInput."""
    devices.start()
    import jax
    from rich.console import Console
    from rich.text import Text

    from experiments.lab.examination import PROBLEM, examine
    from experiments.lab.outside.user_loss import load_loss

    jax.config.update("jax_disable_most_optimizations", True)  # many programs, each run a few times
    try:
        user = load_loss(args.loss)
    except ValueError as error:
        raise BadInput(error) from None
    findings = examine(user)
    console = Console()
    for finding in findings:
        place = f"{user.path}:{finding.line}: " if finding.line else ""
        line = Text.assemble((f"{finding.level:<8}", COLOURS[finding.level]), place, finding.text)
        console.print(line, soft_wrap=True)
    problems = sum(finding.level == PROBLEM for finding in findings)
    name = user.function.__name__
    console.print(f"{name}, a loss of {user.algorithm}: " + (f"{problems} to mend" if problems else "no problem found"))
    return 1 if problems else 0


if __name__ == "__main__":
    run_command(Args, doctor, "python -m experiments.doctor")
