"""Policy gradients of all players at once in continuous time, on matrix games: the limit of small learning rates, without noise.

    pi_p = softmax(theta_p),  u_p(a) = E[payoff_p | a, pi_{-p}],  u_p = sum_a pi_p(a) u_p(a)
    policy gradient            d theta(a) / dt = pi(a) (u(a) - u)
    natural policy gradient    d theta(a) / dt = u(a) - u,   so that  d pi(a) / dt = pi(a) (u(a) - u)

The second is the replicator equation (Taylor and Jonker 1978; natural gradient: Kakade 2001). Where interests are opposite it turns
round the equilibrium for ever and keeps its distance, sum_p KL(equilibrium || pi_p); its average over time goes there. Where they are
common it climbs, to an agreement that need not be the best. One step is `dt` of time, by the classical Runge-Kutta method.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from algos.agents.regret_matching import action_value, match
from algos.agents.solver import Solver
from envs.games.matrix import MatrixGame


@dataclass(frozen=True)
class Config:
    """natural: by the natural gradient, else by the plain one. dt: time of a step."""

    natural: bool = True
    dt: float = 0.05


@struct.dataclass
class State:
    """Logits and the sum of policies so far, both [N, A]."""

    logits: jax.Array
    total: jax.Array


def velocity(game: MatrixGame, logits: jax.Array, natural: bool) -> jax.Array:
    """Returns d theta / dt, [N, A], of logits that are -inf where there is no action."""
    policy = jax.nn.softmax(logits)
    worth = action_value(game, policy)
    advantage = worth - (policy * worth).sum(1, keepdims=True)
    return advantage if natural else policy * advantage


def runge_kutta(velocity: Callable[[jax.Array], jax.Array], at: jax.Array, dt: float) -> jax.Array:
    """Returns where the flow is after `dt` of time, by the classical method."""
    first = velocity(at)
    second = velocity(at + 0.5 * dt * first)
    third = velocity(at + 0.5 * dt * second)
    fourth = velocity(at + dt * third)
    return at + dt / 6.0 * (first + 2.0 * second + 2.0 * third + fourth)


def make(game: MatrixGame, config: Config = Config(), start=None) -> Solver:
    """Returns the method for a game. start: logits [N, A] to begin with; None: 0, which plays uniformly. Raises ValueError
    for a dt that is not above 0."""
    if not config.dt > 0.0:
        raise ValueError(f"dt must be above 0, not {config.dt}")
    sizes = game.payoff.shape[1:]
    legal = np.arange(max(sizes)) < np.array(sizes)[:, None]

    def init():
        logits = jnp.zeros(legal.shape) if start is None else jnp.asarray(start, float)
        return State(jnp.where(legal, logits, -jnp.inf), jnp.zeros(legal.shape))

    def step(state):
        logits = runge_kutta(lambda logits: velocity(game, logits, config.natural), state.logits, config.dt)
        return State(logits, state.total + jax.nn.softmax(logits))

    return Solver(init, step, lambda state: jax.nn.softmax(state.logits), lambda state: match(state.total, legal))
