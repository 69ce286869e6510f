"""How the contenders of a task are judged: a function of what was trained, compiled with the rest.

A task without a judge is judged by the return of whole episodes with the greedy policy.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from algos.core.types import Algorithm
from envs import Env
from experiments.lab.criterion import Criterion


class Judge(NamedTuple):
    """measure(algorithm, env, state, key, **settings) -> {metric: values [n]}, pure, for one trial.

    Each metric's value is the mean of its values, in float64. The one called `metric` ranks; the others are recorded
    beside it. The same key is given to every contender under one seed at one evaluation.
    """

    metric: str
    higher_is_better: bool
    measure: Callable[..., dict[str, jax.Array]]
    settings: dict[str, Any] = {}  # numbers and words, recorded in the manifest

    @property
    def criterion(self) -> Criterion:
        """The metric that ranks, and which way."""
        return Criterion(self.metric, self.higher_is_better)

    def measured(self, algorithm: Algorithm, env: Env, state, key) -> dict[str, jax.Array]:
        """Returns what `measure` gives. Raises ValueError, in one line, where that is not as it should be."""
        found = self.measure(algorithm, env, state, key, **self.settings)
        if not isinstance(found, dict) or self.metric not in found:
            given = ", ".join(found) if isinstance(found, dict) else type(found).__name__
            raise ValueError(f"a judge gives a dict that has its metric {self.metric!r}, not: {given or 'nothing'}")
        return {name: jax.numpy.asarray(values).reshape(-1) for name, values in found.items()}
