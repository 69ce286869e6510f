"""What a method that looks for an equilibrium is: pure functions, as an algorithm's, without samples and without keys."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax


class Solver(NamedTuple):
    """`step` is one iteration. Compiled, and in float64 where that is on, by who calls it."""

    init: Callable[[], Any]  # () -> state
    step: Callable[[Any], Any]  # state -> state
    current: Callable[[Any], jax.Array]  # state -> the policy that is played next, [I, A]
    average: Callable[[Any], jax.Array]  # state -> the average of those played so far, by own reach, [I, A]
