"""What the command line changes of an experiment."""

import dataclasses

from experiments.lab.commands.cli import BadInput, seeds_of
from experiments.lab.commands.options import Options
from experiments.lab.definition.experiment import Contender, Experiment, Task
from experiments.lab.definition.sweeps import points
from experiments.lab.definition.sweeps.fields import owners, parsed, read, with_value
from experiments.lab.outside import user_judge, user_network


def overridden(experiment: Experiment, options: Options) -> Experiment:
    """Returns the experiment as the options want it. Raises BadInput, in one line, for what cannot be."""
    if options.width and options.trials:
        raise BadInput("--trials map is --width 1 and --trials vmap another width: give one of --trials, --width")
    if options.seeds:
        experiment = dataclasses.replace(experiment, seeds=seeds_of(options.seeds))
    if options.steps:
        experiment = with_budget(experiment, options.steps)
    for name in ("evaluations", "eval_episodes", "width"):
        if getattr(options, name):
            experiment = dataclasses.replace(experiment, **{name: getattr(options, name)})
    try:
        tasks = only(experiment.tasks, options.only)
        for setting in options.set:
            tasks = with_setting(tasks, setting)
        tasks = user_network.with_networks(tasks, options.network)
        tasks = points.expanded(tasks, options.sweep)
        if options.judge:
            judge = user_judge.named(options.judge)
            tasks = tuple(dataclasses.replace(task, judge=judge) for task in tasks)
    except ValueError as error:
        raise BadInput(error) from None
    return dataclasses.replace(experiment, tasks=tasks)


def with_budget(experiment: Experiment, steps: int) -> Experiment:
    """Returns the experiment with another budget; schedules that ended with the old one end with the new one."""

    def scheduled(contender: Contender) -> Contender:
        if getattr(contender.hparams, "total_steps", None) != experiment.steps:
            return contender
        return dataclasses.replace(contender, hparams=contender.hparams.replace(total_steps=float(steps)))

    tasks = tuple(
        dataclasses.replace(task, contenders=tuple(map(scheduled, task.contenders))) for task in experiment.tasks
    )
    return dataclasses.replace(experiment, tasks=tasks, steps=steps)


def only(tasks: tuple[Task, ...], names: tuple[str, ...]) -> tuple[Task, ...]:
    """Returns the tasks with the contenders of those names alone; the name of a sweep keeps its points, and a task that
    has none of them is left out. Raises ValueError for a name that no task knows."""
    contenders = [contender for task in tasks for contender in task.contenders]
    known = dict.fromkeys(contender.sweep or contender.name for contender in contenders)
    for name in names:
        if name not in known and all(name != contender.name for contender in contenders):
            raise ValueError(f"--only {name}: there is no such contender; choose from: {', '.join(known)}")
    if not names:
        return tasks
    kept = [tuple(one for one in task.contenders if one.name in names or one.sweep in names) for task in tasks]
    return tuple(dataclasses.replace(task, contenders=some) for task, some in zip(tasks, kept) if some)


def with_setting(tasks: tuple[Task, ...], setting: str) -> tuple[Task, ...]:
    """Returns the tasks with CONTENDER.FIELD=VALUE in force. Raises ValueError for what is no setting, and for one that
    the experiment sweeps: its points would be called what they are not."""
    name, field, text = parsed(setting)
    chosen = owners(tasks, name, field)
    for task in tasks:
        for sweep in {one.sweep for one in task.contenders if one in chosen}:
            if field in points.swept_fields(task.contenders, sweep):
                raise ValueError(f"{setting}: the experiment sweeps {field} of {sweep}")

    def apply(contender: Contender) -> Contender:
        if contender not in chosen:
            return contender
        return with_value(contender, field, read(contender, field, text))

    return tuple(dataclasses.replace(task, contenders=tuple(map(apply, task.contenders))) for task in tasks)
