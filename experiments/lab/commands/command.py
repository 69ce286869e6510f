"""What a command that runs an experiment does with its options."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from functools import partial

from experiments.lab.commands import signals
from experiments.lab.commands.cli import BadInput, run_command, seeds_of
from experiments.lab.commands.options import Options
from experiments.lab.definition.experiment import Experiment
from experiments.lab.definition.margins import margins_of
from experiments.lab.definition.overrides import overridden
from experiments.lab.machine import devices
from experiments.lab.running import more_seeds
from experiments.lab.running.launch import launch, prepared, resume, to_resume


def main(experiment: Experiment) -> None:
    """Makes an experiment file a command: runs the experiment with what the command line changes of it, and exits.

    In a notebook or a console, whose command line is not the experiment's, runs it as it is and returns.
    """
    if signals.interactive():
        _command(experiment, Options())
        return
    module = sys.modules["__main__"].__spec__
    name = f"python -m {module.name}" if module else f"python {sys.argv[0]}"
    run_command(Options, partial(_command, experiment), name, signals.NOTHING)


def _command(experiment: Experiment, options: Options) -> int:
    return run(lambda: experiment, options, Options())


def margins(words: Sequence[str], experiment: Experiment) -> dict[str, float]:
    """Returns the margins that `--margin` names. Raises BadInput."""
    try:
        return margins_of(words, [task.environment for task in experiment.tasks])
    except ValueError as error:
        raise BadInput(error) from None


def run(experiment: Callable[[], Experiment], options: Options, defaults: Options) -> int:
    """Runs the experiment as the options want it, or goes on with a run, and returns the exit status. Raises BadInput."""
    if options.resume is None:
        devices.start(options.portable)  # before the file of the experiment, or a loss's, can
        chosen = prepared(overridden(experiment(), options), options.trials)
        return launch(chosen, options.out, options.tensorboard, margins(options.margin, chosen))
    if dataclasses.replace(options, resume=None, trust=False, seeds=defaults.seeds) != defaults:
        raise BadInput(
            "--resume takes no other options but --trust and --seeds: the settings of a run are in its manifest"
        )
    added = options.seeds != defaults.seeds
    if added or more_seeds.begun(options.resume):
        return more_seeds.resume_with(options.resume, seeds_of(options.seeds) if added else None, options.trust)
    return resume(to_resume(options.resume, options.trust), options.resume)
