"""How many trials are computed together in one block, where that decides no bit of any of them.

Trials side by side share what it costs to start a kernel: each is up to twice as fast as alone. But XLA and LLVM write
another program for several than for one, in which sums may come in another order and other products be rounded. So a
block on a CPU has one trial, but for programs of which it was shown that a seed has the bits that it has alone, in its
parameters, in every metric and in evaluation: those of SHOWN, as they come, in blocks of the sizes that are given there.
There the number of trials and the run's length decide how many share a block, and a block has the bits of width 1.
"""

import dataclasses
import math
import os
from importlib import metadata
from typing import Any, NamedTuple

from experiments.lab.definition import settings
from experiments.lab.definition.experiment import VMAPPED, Contender, Experiment, Task, families
from experiments.lab.machine import devices, flags, hardware


class Shown(NamedTuple):
    """A program of which it was shown, by tests/experiments/test_blocks.py."""

    environment: str
    name: str  # the algorithm's
    costs: dict[int, float]  # by the size of its blocks: processor time of a trial, of that of one alone
    fields: dict[str, Any] | None = None  # of Config, those that are not its defaults; None: as set for the environment

    def is_of(self, contender: Contender) -> bool:
        """Returns whether it is a contender's."""
        set_here = settings.contender(self.name, self.environment, 1)
        config = set_here.config if self.fields is None else set_here.algorithm.Config(**self.fields)
        return contender.algorithm is set_here.algorithm and contender.config == config


SHOWN = (
    Shown("CartPole-v1", "a2c", {5: 0.80}),
    Shown("CartPole-v1", "dqn", {5: 0.89}),
    Shown("CartPole-v1", "ppo", {5: 0.90}),
    Shown("CartPole-v1", "ppo", {5: 0.88}, {}),
    Shown("CartPole-v1", "pgql", {5: 0.86}),
)
PAYS_FROM = 3_000_000  # environment steps of all trials together: in fewer, what a block's programs take to compile is not won back
# Where it was shown: other versions write other programs, and so do the same for processors of another kind.
JAXLIB = ("0.10.2",)
PROCESSORS = (("AuthenticAMD", "25"),)  # maker and family, as Linux tells them


def with_width(experiment: Experiment, trials: str | None = None) -> Experiment:
    """Returns the experiment with its width decided, if it was not: 1 for `map` and by default on CPU, else VMAPPED.

    Never by the number of seeds: bits belong to the width. Where nothing was asked for, on CPU, contenders whose bits do
    not have blocks of their own. Asks jax for its devices.
    """
    if experiment.width:
        return experiment
    on_cpu = devices.on_cpu()
    width = 1 if trials == "map" or (trials is None and on_cpu) else VMAPPED["cpu" if on_cpu else "accelerator"]
    experiment = dataclasses.replace(experiment, width=width)
    return with_blocks(experiment) if on_cpu and trials is None else experiment


def with_blocks(experiment: Experiment) -> Experiment:
    """Returns the experiment of width 1 with the blocks that are fastest for its number of trials."""

    def blocked(task: Task) -> Task:
        together = {one.name: len(family) * len(experiment.seeds) for family in families(task) for one in family}
        contenders = []
        for one in task.contenders:
            program = shown(experiment, task, one)
            pays = program and experiment.steps * together[one.name] >= PAYS_FROM
            size = fastest(program.costs, together[one.name], devices.count()) if pays else 1
            contenders.append(dataclasses.replace(one, block=size if size > 1 else None))
        return dataclasses.replace(task, contenders=tuple(contenders))

    return dataclasses.replace(experiment, tasks=tuple(map(blocked, experiment.tasks)))


def anew(experiment: Experiment) -> Experiment:
    """Returns the experiment, whose seeds are no longer those that its blocks were made for, with blocks for these."""
    planned = any(one.block for task in experiment.tasks for one in task.contenders)
    return with_blocks(experiment) if planned else experiment


def fastest(costs: dict[int, float], trials: int, cores: int) -> int:
    """Returns the size of blocks, 1 or one of `costs`, with which so many trials are done first, the smallest of equals.

    costs: by size, of a trial, of that of one alone. Empty places of the last block are computed all the same; cores
    share what blocks there are.
    """
    costs = {1: 1.0} | costs

    def seconds(size: int) -> float:
        of_block = size * costs[size]
        return max(of_block, math.ceil(trials / size) * of_block / cores)

    return min(sorted(costs), key=lambda size: round(seconds(size), 6))


def shown(experiment: Experiment, task: Task, contender: Contender) -> Shown | None:
    """Returns the program of SHOWN that a contender's is in an experiment, None where it is none of them."""
    if elsewhere() or changed(experiment, task, contender):
        return None
    return next((one for one in SHOWN if one.environment == task.environment and one.is_of(contender)), None)


def why(experiment: Experiment, task: Task, contender: Contender) -> str:
    """Returns in words why as many trials of a contender are computed together as are, at width 1 on a CPU."""
    if contender.block:
        return "a seed's bits are those of width 1, as tests/experiments/test_blocks.py shows"
    if shown(experiment, task, contender):
        return "larger blocks are no faster for so many trials, or in a run this short, or were not wanted"
    reason = elsewhere() or changed(experiment, task, contender)
    return reason or "not shown, with these settings on this environment, to have the same bits in a larger block"


def changed(experiment: Experiment, task: Task, contender: Contender) -> str:
    """Returns what of a user's own a contender's program has, or its evaluation, in words."""
    if contender.loss is not None or type(contender.hparams) is not getattr(contender.algorithm, "HParams", None):
        return "a loss of its own"
    if contender.network is not None:
        return "a network of its own"
    if task.factory is not None or task.fields:
        return "an environment, or fields of it, of its own"
    if task.judge is not None or experiment.eval_episodes != Experiment.eval_episodes:
        return "judged in another way, or by another number of episodes, than shown"
    return ""


def elsewhere() -> str:
    """Returns in words what is not, of this process, as it was where SHOWN was shown."""
    if flags.options("cpu") != flags.OPTIONS or flags.beside_ours(os.environ.get("XLA_FLAGS", "")):
        return "XLA's flags are not those with which it was shown"
    if metadata.version("jaxlib") not in JAXLIB:
        return f"not shown with jaxlib {metadata.version('jaxlib')}"
    kind = hardware.told("vendor_id"), hardware.told("cpu family")
    if kind not in PROCESSORS or "avx512f" not in hardware.told("flags").split():
        return f"not shown on this kind of processor, {' family '.join(kind)}"
    return ""
