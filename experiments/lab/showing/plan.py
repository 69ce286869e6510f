"""The plan of a run, in words, told before anything compiles: trials, programs, environment steps, memory."""

import math
import textwrap

import jax

from algos.core.types import Algorithm
from experiments.lab.definition import tuning
from experiments.lab.definition.experiment import Experiment, Task, families, label, trials_held, trials_in_block
from experiments.lab.definition.sweeps import selection
from experiments.lab.machine import devices
from experiments.lab.outside.env_trace import LONG
from experiments.lab.recording.manifest import device


def announcement(experiment: Experiment) -> str:
    """Returns what will run, in words: for each environment a line and one of whose settings each contender has, then the
    sums, and the run that reports on sweeps."""
    seeds = selection.in_words(experiment.seeds)
    rows = [
        row
        for task in experiment.tasks
        for row in (
            f"{task.environment}: {', '.join(label(family) for family in families(task))}; {seeds}; "
            f"{experiment.steps:,} steps each{judged_by(task)}",
            f"  {tuning.groups_in_words(tuning.of_task(task))}",
            *long_episodes(task, experiment.eval_episodes),
        )
    ]
    machine = device()
    rows.append(
        f"{sums(experiment)}, states of {in_bytes(memory(experiment))} at a time (estimated); "
        f"{counted(machine['count'], 'CPU core' if devices.on_cpu() else machine['platform'] + ' device')} "
        f"({machine['machine']})"
    )
    if any(one.block for task in experiment.tasks for one in task.contenders):
        rows.append(blocks_in_words(experiment))
    if selection.has_sweeps(experiment):
        rows.append(f"then, to report, {report(experiment)}")
    return "\n".join(rows)


def blocks_in_words(experiment: Experiment) -> str:
    """Returns in words how many trials are computed together, of which contenders."""
    sizes: dict[int, dict[str, None]] = {}
    for task in experiment.tasks:
        for family in families(task):
            sizes.setdefault(trials_in_block(experiment, family), {})[label(family)] = None
    rows = [f"{', '.join(names)}: {counted(size, 'trial')}" for size, names in sorted(sizes.items(), reverse=True)]
    return f"computed together, each with the bits it has alone: {'; '.join(rows)}"


def long_episodes(task: Task, eval_episodes: int) -> list[str]:
    """Returns a line where an evaluation may take very long: it plays whole episodes, and a policy may never end one."""
    max_steps = task.make().max_steps
    if task.judge is not None or max_steps <= LONG:
        return []
    return [
        f"  an episode may take {max_steps:,} steps, and an evaluation plays {eval_episodes} to their end; a smaller max_steps, "
        "or envs.wrappers.time_limit, cuts them"
    ]


def wrapped(text: str, width: int = 80) -> str:
    """Returns the lines cut between words where they are longer, the rest of a line further in."""
    lines = text.splitlines()
    far = [len(line) - len(line.lstrip()) + 2 for line in lines]
    return "\n".join(
        textwrap.fill(line, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
        for line, indent in zip(lines, far)
    )


def judged_by(task: Task) -> str:
    """Returns in words the judge of a task and its settings, but for files, which the manifest names; nothing where it is
    by the return of whole episodes."""
    if task.judge is None:
        return ""
    settings = ", ".join(
        f"{name}={x}" for name, x in task.judge.settings.items() if not isinstance(x, dict | list | tuple)
    )
    return f"; judged by {task.criterion.words}{f' ({settings})' if settings else ''}"


def report(experiment: Experiment) -> str:
    """Returns in words the run that reports on the sweeps of an experiment; which points it has is not known yet."""
    sweeps = [(task, selection.sweeps_of(task)) for task in experiment.tasks]
    best = sum(len(of_task) for _, of_task in sweeps)
    unswept = sum(one.sweep not in of_task for task, of_task in sweeps if of_task for one in task.contenders)
    trials = (unswept + best) * len(experiment.seeds)
    again = " and what is not swept" if unswept else ""
    return (
        f"the best point of {counted(best, 'sweep')}{again} again, under fresh seeds "
        f"({selection.in_words(selection.report_seeds(experiment))}): {counted(trials, 'trial')}, "
        f"{_millions(trials * experiment.steps)}"
    )


def sums(experiment: Experiment) -> str:
    """Returns in words how many programs, trials and environment steps there are."""
    programs = sum(len(families(task)) for task in experiment.tasks)
    trials = len(experiment.seeds) * sum(len(task.contenders) for task in experiment.tasks)
    return f"{counted(programs, 'program')}, {counted(trials, 'trial')}, {_millions(trials * experiment.steps)}"


def memory(experiment: Experiment) -> int:
    """Returns the bytes of the states of the largest family: its trials live side by side. Work
    space is not in it."""
    return max(
        trials_held(experiment, family) * state_bytes(family[0].make(env), family[0].hparams)
        for task in experiment.tasks
        for env in (task.make(),)
        for family in families(task)
    )


def state_bytes(algorithm: Algorithm, hparams) -> int:
    """Returns the size of one trial's state."""
    state = jax.eval_shape(algorithm.init, jax.random.key(0), hparams)
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))


def in_bytes(number: int) -> str:
    """Returns 3 * 2**20 as '3.0 MiB'."""
    for unit in ("bytes", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.3g} {unit}"
        number /= 1024
    return f"{number:,.1f} GiB"


def counted(number: int, what: str) -> str:
    """Returns '1 program', '2 programs'."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _millions(steps: int) -> str:
    """Returns a number of environment steps in words, to three digits where it is in millions."""
    if steps < 1_000_000:
        return f"{steps:,} environment steps"
    millions = steps / 1e6
    return (
        f"{millions:,.0f} million environment steps"
        if millions >= 100.0
        else f"{millions:.3g} million environment steps"
    )
