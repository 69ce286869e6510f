"""An experiment as plain frozen data: which algorithms meet on which environments, under which seeds, for how long."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from algos.core.types import Algorithm, Loss
from envs import Env


@dataclass(frozen=True)
class Contender:
    """One line of a comparison: an algorithm with its settings, its loss and its network."""

    name: str
    algorithm: ModuleType  # algos.ppo, ...: a module with Config, HParams, loss and make
    config: Any
    hparams: Any
    loss: Loss | None = None  # None: the algorithm's own
    network: Callable[[Env], Any] | None = None  # None: the algorithm's own

    def make(self, env: Env) -> Algorithm:
        """Returns the algorithm on `env`. Raises ValueError for settings that cannot be."""
        chosen = {} if self.loss is None else {"loss": self.loss}
        if self.network is not None:
            chosen["network"] = self.network(env)
        return self.algorithm.make(env, self.config, **chosen)


@dataclass(frozen=True)
class Task:
    """One environment and the contenders that meet on it."""

    environment: str
    contenders: tuple[Contender, ...]
    fields: dict[str, Any] = field(default_factory=dict)  # of the environment, as `envs.make` takes them


@dataclass(frozen=True)
class Experiment:
    """Everything a run folder must say to be run again."""

    tasks: tuple[Task, ...]
    seeds: tuple[int, ...]
    steps: int  # environment steps a trial may take; whole updates within it are made
    evaluations: int = 50  # evenly spaced, beside the one before training
    eval_episodes: int = 32  # whole episodes with the greedy policy, each time
    width: int = 1  # trials vmapped into one block; a seed's bits belong to it
