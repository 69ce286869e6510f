"""What is refused before anything compiles, each in one line."""

from pathlib import Path

import jax
import numpy as np

from algos.core.config import require_in_range
from algos.core.types import Algorithm
from envs import Env
from experiments.lab.definition.experiment import Contender, Experiment, Task, families, trials_held
from experiments.lab.definition.sweeps import selection
from experiments.lab.machine import hardware
from experiments.lab.outside import env_trace, loss_trace
from experiments.lab.outside.loss_errors import reason
from experiments.lab.recording.files import sha256
from experiments.lab.recording.kept_code import CODE, kept_name
from experiments.lab.recording.manifest import read_manifest
from experiments.lab.showing.plan import state_bytes

SEEDS = 2**32  # that a random key can be told apart by


def check(experiment: Experiment) -> None:
    """Raises ValueError, in one line, for an experiment that cannot run. Compiles nothing."""
    check_names(experiment)
    check_settings(experiment)
    for task in experiment.tasks:
        env = env_trace.checked(task)
        for family in families(task):
            algorithm = loss_trace.made(family[0], env)
            needed = algorithm.steps_in_init + algorithm.steps_per_update
            if experiment.steps < needed:
                raise ValueError(f"steps must be {needed} or more: {family[0].name} takes as many for its first update")
            most = algorithm.steps_in_init + algorithm.steps_per_update * (2**31 - 1)
            if experiment.steps > most:
                raise ValueError(f"steps must be {most} or fewer: {family[0].name} counts its updates in 32 bits")
            check_memory(algorithm, family[0], task.environment, trials_held(experiment, family))
            if task.judge:
                check_judge(task, algorithm, env, family[0])


def check_judge(task: Task, algorithm: Algorithm, env: Env, contender: Contender) -> None:
    """Raises ValueError where a task's judge cannot measure a contender, or names a metric that is recorded already."""
    state = jax.eval_shape(algorithm.init, jax.random.key(0), contender.hparams)
    try:
        measured = jax.eval_shape(
            lambda state, key: task.judge.measured(algorithm, env, state, key), state, jax.random.key(0)
        )
        if task.judge.on_host is not None:
            measured = task.judge.told({name: np.zeros(x.shape, x.dtype) for name, x in measured.items()})
    except Exception as error:  # a user's function raises what it likes
        raise ValueError(f"the judge {task.judge.metric} cannot measure {contender.name}: {reason(error)}") from None
    taken = {*loss_trace.RECORDED, *jax.eval_shape(algorithm.step, state, contender.hparams)[1]} - {task.judge.metric}
    for name in sorted(taken & measured.keys()):
        raise ValueError(f"the judge {task.judge.metric} gives {name!r}, which {contender.name} records already")


def check_names(experiment: Experiment) -> None:
    """Raises ValueError where results would be told apart by nothing, and where there is nothing to run."""
    environments = [task.environment for task in experiment.tasks]
    if not (experiment.seeds and environments and all(task.contenders for task in experiment.tasks)):
        raise ValueError("an experiment has one or more seeds, tasks, and contenders in each task")
    for names in (environments, *([one.name for one in task.contenders] for task in experiment.tasks)):
        seen: dict[str, str] = {}
        for name in names:
            other = seen.get(name.casefold())
            if other is not None:
                both = (
                    f"{other} and {name} differ in case alone, as files may not"
                    if other != name
                    else f"{name} is named twice"
                )
                raise ValueError(f"{both}: environments, and contenders on one, have names of their own")
            seen[name.casefold()] = name


def check_numbers(experiment: Experiment) -> None:
    """Raises ValueError for seeds that are not whole numbers of 32 bits, each once, and for amounts that cannot be."""
    seeds = experiment.seeds
    if not isinstance(seeds, tuple | list | range):
        raise ValueError(f"seeds must be a tuple, as in tuple(range(10)), not {seeds!r}")
    for seed in seeds:
        if type(seed) is not int or not 0 <= seed < SEEDS:
            raise ValueError(f"a seed must be an int from 0 to {SEEDS - 1}, not {seed!r}")
    if len(set(seeds)) < len(seeds):
        twice = next(seed for index, seed in enumerate(seeds) if seed in seeds[:index])
        raise ValueError(f"seed {twice} is there twice: the same run is no second sample")
    if seeds and selection.has_sweeps(experiment) and selection.report_seeds(experiment)[-1] >= SEEDS:
        raise ValueError(
            f"the best point of a sweep is run again under the seeds after {max(seeds)}, which is too late"
        )
    for name in ("steps", "evaluations", "eval_episodes", "width"):
        value = getattr(experiment, name)
        if (type(value) is not int or value < 1) and (name, value) != ("width", None):
            raise ValueError(f"{name} must be an int of 1 or more, not {value!r}")


def check_settings(experiment: Experiment) -> None:
    """Raises ValueError for a hyperparameter that no update could use: they are traced, and no program looks at them."""
    for task in experiment.tasks:
        for contender in task.contenders:
            try:
                require_in_range(contender.hparams)
            except (TypeError, ValueError) as error:
                raise ValueError(f"{contender.name}: {error}") from None


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
