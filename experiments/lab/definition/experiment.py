"""An experiment as plain frozen data: which algorithms meet on which environments, under which seeds, for how long."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import envs
from algos.core.types import Algorithm, Loss
from envs import Env
from experiments.lab.judging.criterion import Criterion
from experiments.lab.judging.judges import Judge
from experiments.lab.outside.calls import network_of

# Trials in a block. On CPU five of PPO ran faster than two, and than ten. On an accelerator, which waits for small
# kernels more than it computes, thirty seeds fill one block, and the places that ten leave empty cost little.
VMAPPED = {"cpu": 5, "accelerator": 32}


@dataclass(frozen=True)
class Contender:
    """One line of a comparison: an algorithm with its settings, its loss and its network."""

    name: str
    algorithm: ModuleType  # algos.ppo, ..., or a user's file: a module with Config, HParams, loss and make
    config: Any
    hparams: Any
    loss: Loss | None = None  # None: the algorithm's own
    network: Callable[..., Any] | None = None  # (env, config) or (env) -> network; None: the algorithm's own
    parent: str = ""  # the contender whose loss or network this one replaces
    sweep: str = ""  # the sweep that this is a point of
    network_fields: dict[str, Any] = field(default_factory=dict)  # more arguments of `network`, by name
    block: int | None = None  # trials in its blocks, with the bits of the experiment's width; None: the width

    def make(self, env: Env) -> Algorithm:
        """Returns the algorithm on `env`. Raises ValueError for settings that cannot be."""
        chosen = {} if self.loss is None else {"loss": self.loss}
        if self.network is not None:
            chosen["network"] = network_of(self.network, env, self.config, self.network_fields)
        return self.algorithm.make(env, self.config, **chosen)


@dataclass(frozen=True)
class Task:
    """One environment and the contenders that meet on it."""

    environment: str
    contenders: tuple[Contender, ...]
    fields: dict[str, Any] = field(default_factory=dict)  # of the environment, as `envs.make` or the factory takes them
    factory: Callable[..., Env] | None = None  # of a user's own file; None: `envs.make` knows the environment
    judge: Judge | None = None  # None: by the return of whole episodes with the greedy policy

    @property
    def criterion(self) -> Criterion:
        """The metric that ranks its contenders."""
        return self.judge.criterion if self.judge else Criterion()

    def make(self) -> Env:
        """Returns the environment. Raises ValueError for an id or a field that there is not."""
        return envs.make(self.environment, **self.fields) if self.factory is None else self.factory(**self.fields)


def families(task: Task) -> list[tuple[Contender, ...]]:
    """Returns the contenders that one program serves together, in order: those that differ in numbers alone."""
    groups: dict[Any, list[Contender]] = {}
    for contender in task.contenders:
        network = (contender.network, *sorted(contender.network_fields.items()))
        program = (
            contender.algorithm,
            contender.config,
            contender.loss,
            network,
            type(contender.hparams),
            contender.block,
        )
        groups.setdefault(program, []).append(contender)
    return [tuple(group) for group in groups.values()]


def label(family: tuple[Contender, ...]) -> str:
    """Returns what a family is called: its contender's name, or what its contenders' names share, and how many."""
    first = family[0]
    if len(family) == 1:
        return first.name
    shared = [word for word in first.name.split(" ") if all(word in one.name.split(" ") for one in family)]
    return f"{' '.join(shared)} ({len(family)} points)" if shared else f"{first.name} and {len(family) - 1} more"


@dataclass(frozen=True)
class Experiment:
    """Everything a run folder must say to be run again."""

    tasks: tuple[Task, ...]
    seeds: tuple[int, ...]
    steps: int  # environment steps a trial may take; whole updates within it are made
    evaluations: int = 12  # evenly spaced, beside the one before training
    eval_episodes: int = 32  # whole episodes with the greedy policy, each time
    width: int | None = None  # trials vmapped into one block; a seed's bits belong to it; None: the device decides


def trials_in_block(experiment: Experiment, family: tuple[Contender, ...]) -> int:
    """Returns how many trials of a family are vmapped together."""
    return family[0].block or experiment.width or 1


def trials_held(experiment: Experiment, family: tuple[Contender, ...]) -> int:
    """Returns how many trials of a family are computed, those among them that fill up its last block."""
    block = trials_in_block(experiment, family)
    return -(-len(family) * len(experiment.seeds) // block) * block
