"""Fictitious play (Brown 1951; Robinson 1951) on matrix games and trees (Heinrich, Lanctot and Silver 2015).

    b_t = best response to average_{t-1}
    average_t(a|I) ~ sum_{s <= t} x_s(I) b_s(a|I)            x: own reach of b_s

The mixture of whole policies, not of their rows: what a best response does where it never goes counts for nothing. Between two with
opposite interests the average goes to equilibrium; the best responses themselves go round. The sum of what was played is responded
to, not its mean, and payoffs are in units in which, times chance, they are whole numbers: so ties are ties, and go to the first
action, whatever a program rounds. Other rules for ties are other runs of the same method.
"""

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from algos.agents import exact
from algos.agents.solver import Solver
from algos.core import sequences
from algos.core.sequences import Sequences

LARGEST = 10_000


@struct.dataclass
class State:
    """The sum of realisation plans so far, and the last best response, both [I, A], and how many plans were added."""

    plans: jax.Array
    response: jax.Array
    count: jax.Array


def make(game: Sequences, start=None) -> Solver:
    """Returns the method for a game. start: a policy [I, A] that counts as played first; None: nothing is, and the first best
    response is to the uniform policy."""
    game = game.replace(payoff=whole(game.payoff))

    def init():
        zeros = jnp.zeros(game.legal.shape)
        if start is None:
            return State(zeros, sequences.averaged(game, zeros), jnp.zeros((), zeros.dtype))
        policy = jnp.asarray(start, zeros.dtype)
        return State(sequences.realisation_plan(game, policy), policy, jnp.ones((), zeros.dtype))

    def step(state):
        played = jnp.append(state.plans.reshape(-1), state.count)
        reach = jnp.where(state.count > 0.0, played, exact.sequence_reach(game, state.response))
        response = exact.best_response_to_reach(game, reach)
        return State(state.plans + sequences.realisation_plan(game, response), response, state.count + 1.0)

    return Solver(init, step, lambda state: state.response, lambda state: sequences.averaged(game, state.plans))


def whole(payoff: np.ndarray) -> np.ndarray:
    """Returns payoffs in units in which they are whole numbers, to their precision, where one is up to 10,000 units; else as
    they are."""
    unit = math.lcm(*(Fraction(float(x)).limit_denominator(LARGEST).denominator for x in np.unique(payoff)))
    if unit > LARGEST:
        return payoff
    rounded = np.round(payoff * unit)
    rounding = 4.0 * np.finfo(payoff.dtype).eps * np.abs(rounded).max(initial=1.0)
    return rounded if np.abs(payoff * unit - rounded).max(initial=0.0) <= rounding else payoff
