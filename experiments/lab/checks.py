"""What is refused before anything compiles, each in one line."""

from pathlib import Path

import envs
from algos.core.types import Algorithm
from experiments.lab.experiment import Contender, Experiment, families, trials_held
from experiments.lab.folder.manifest import CODE, kept_name, read_manifest, sha256
from experiments.lab.machine import hardware
from experiments.lab.outside import loss_trace
from experiments.lab.plan import state_bytes


def check(experiment: Experiment) -> None:
    """Raises ValueError, in one line, for an experiment that cannot run. Compiles nothing."""
    check_names(experiment)
    for task in experiment.tasks:
        env = envs.make(task.environment, **task.fields)
        for family in families(task):
            algorithm = loss_trace.made(family[0], env)
            needed = algorithm.steps_in_init + algorithm.steps_per_update
            if experiment.steps < needed:
                raise ValueError(f"steps must be {needed} or more: {family[0].name} takes as many for its first update")
            check_memory(algorithm, family[0], task.environment, trials_held(experiment, family))


def check_names(experiment: Experiment) -> None:
    """Raises ValueError where results would be told apart by nothing, and where there is nothing to run."""
    environments = [task.environment for task in experiment.tasks]
    if not (experiment.seeds and environments and all(task.contenders for task in experiment.tasks)):
        raise ValueError("an experiment has one or more seeds, tasks, and contenders in each task")
    for names in (environments, *([one.name for one in task.contenders] for task in experiment.tasks)):
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name} is named twice: environments, and contenders on one, have names of their own")


def check_memory(algorithm: Algorithm, contender: Contender, where: str, num_trials: int) -> None:
    """Raises ValueError when the states of all trials, which live side by side, do not fit in free memory."""
    needed, free = num_trials * state_bytes(algorithm, contender.hparams), hardware.free_memory()
    if needed > free:
        buffer = getattr(contender.config, "buffer_size", None)
        most = f", most of it the replay buffers of {buffer:,} transitions" if buffer else ""
        raise ValueError(
            f"{contender.name} on {where} needs {needed / 2**30:,.1f} GiB for {num_trials} trials{most}; "
            f"{free / 2**30:,.1f} GiB are free"
        )


def check_sources(folder: Path) -> None:
    """Raises ValueError when a file of the run's own copies is not as it was when the run began."""
    for path, expected in read_manifest(folder)["sources"].items():
        kept = folder / CODE / kept_name(Path(path))
        if not kept.is_file():
            raise ValueError(f"{kept} is gone, and the run cannot go on without it; put back a copy of {path}")
        if sha256(kept) != expected:
            raise ValueError(f"{kept} was changed since the run began; the bits would not be the same")
