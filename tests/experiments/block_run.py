"""A run of a program of `blocks.SHOWN` at a block width, as commands run: python block_run.py NUMBER WIDTH SEEDS STEPS DIR

Width 0: that which the lab chooses.
"""

import sys
from pathlib import Path

from experiments.lab.machine import devices

if __name__ == "__main__":
    devices.start()

from experiments.lab.definition import settings
from experiments.lab.definition.blocks import SHOWN, Shown
from experiments.lab.definition.experiment import Contender, Experiment, Task
from experiments.lab.running.launch import launch


def contender(shown: Shown, steps: int) -> Contender:
    """Returns the contender whose program that is."""
    if shown.fields is None:
        return settings.contender(shown.name, shown.environment, steps)
    algorithm, _ = settings.ALGORITHMS[shown.name]
    hparams = algorithm.HParams(total_steps=float(steps))
    return Contender(shown.name, algorithm, algorithm.Config(**shown.fields), hparams)


def main(number: int, width: int, seeds: int, steps: int, folder: Path) -> int:
    """Runs it and returns the exit status."""
    task = Task(SHOWN[number].environment, (contender(SHOWN[number], steps),))
    return launch(Experiment((task,), tuple(range(seeds)), steps, evaluations=4, width=width or None), folder)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:5]), Path(sys.argv[5])))
