"""What a command that runs an experiment does with its options."""

import dataclasses
import sys
from collections.abc import Callable
from functools import partial

from experiments.lab import devices, signals
from experiments.lab.cli import BadInput, run_command
from experiments.lab.experiment import Experiment, with_width
from experiments.lab.launch import default_folder, launch, resume, to_resume
from experiments.lab.options import Options
from experiments.lab.overrides import overridden


def main(experiment: Experiment) -> None:
    """Makes an experiment file a command: runs the experiment with what the command line changes of it, and exits."""
    module = sys.modules["__main__"].__spec__
    name = f"python -m {module.name}" if module else f"python {sys.argv[0]}"
    run_command(Options, partial(_command, experiment), name, signals.NOTHING)


def _command(experiment: Experiment, options: Options) -> int:
    return run(lambda: experiment, options, Options())


def run(experiment: Callable[[], Experiment], options: Options, defaults: Options) -> int:
    """Runs the experiment as the options want it, or goes on with a run, and returns the exit status. Raises BadInput."""
    if options.resume is None:
        devices.start()
        chosen = overridden(experiment(), options)
        chosen = with_width(chosen, options.trials)
        return launch(chosen, options.out or default_folder(chosen), options.tensorboard)
    if dataclasses.replace(options, resume=None) != defaults:
        raise BadInput("--resume takes no other option: the settings of a run are in its manifest")
    return resume(to_resume(options.resume), options.resume)
