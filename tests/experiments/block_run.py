"""A run of a program of `blocks.SHOWN` at a block width, as commands run: python block_run.py NUMBER WIDTH STEPS OTHER DIR

Ten seeds. Other: 0, or 1 for numbers that are not the settings', none of them 0 or 1.
"""

import dataclasses
import sys
from pathlib import Path

from experiments.lab.machine import devices

if __name__ == "__main__":
    devices.start()

from experiments.lab.definition import settings
from experiments.lab.definition.blocks import SHOWN, Shown
from experiments.lab.definition.experiment import Contender, Experiment, Task
from experiments.lab.running.launch import launch

SEEDS = 10


def contender(shown: Shown, steps: int, other: bool) -> Contender:
    """Returns the contender whose program that is; other: with other numbers."""
    one = settings.contender(shown.name, shown.environment, steps)
    if shown.fields is not None:
        hparams = one.algorithm.HParams(total_steps=float(steps))
        one = dataclasses.replace(one, config=one.algorithm.Config(**shown.fields), hparams=hparams)
    if not other:
        return one
    numbers = {name: 0.93 * value or 0.0137 for name, value in vars(one.hparams).items()}
    return dataclasses.replace(one, hparams=one.hparams.replace(**numbers))


def main(number: int, width: int, steps: int, other: int, folder: Path) -> int:
    """Runs it and returns the exit status."""
    task = Task(SHOWN[number].environment, (contender(SHOWN[number], steps, bool(other)),))
    return launch(Experiment((task,), tuple(range(SEEDS)), steps, evaluations=4, width=width), folder)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:5]), Path(sys.argv[5])))
