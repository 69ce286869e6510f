"""A lenient natural policy gradient, for players with common interests who would find the best agreement.

    u_k(a) = E[max of k payoffs of a]           the others' actions drawn k times from their policies
    d theta(a) / dt = u_k(a) - u_k,   k = 1 + (leniency - 1) exp(-t / patience)

Lenient learners (Panait, Tuyls and Luke 2008): early on the others do not know yet what to do, and a player forgives them. What an
action earns is what it earns at best; an agreement that is punished where only one keeps it is then worth trying. As k falls to 1
the flow becomes that of the natural gradient, so that what is reached at last is an equilibrium of the game as it is. With cumulative
probabilities F of the payoffs of a in rising order, u_k(a) = sum_j payoff_j (F_j^k - F_{j-1}^k): no sample is drawn.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from algos.agents.gradient_flow import runge_kutta
from algos.agents.regret_matching import match
from algos.agents.solver import Solver
from envs.games.matrix import MatrixGame


@dataclass(frozen=True)
class Config:
    """leniency: k at the beginning, 1 is the natural gradient. patience: the time in which k - 1 falls by a factor of e. dt: time of a
    step."""

    leniency: float = 100.0
    patience: float = 20.0
    dt: float = 0.05


@struct.dataclass
class State:
    """Logits and the sum of policies so far, both [N, A], and the time."""

    logits: jax.Array
    total: jax.Array
    time: jax.Array


def lenient_value(game: MatrixGame, policy: jax.Array, k) -> jax.Array:
    """Returns u_k of each action of each player against the others' policies [N, A], [N, A]; 0 for what is no action."""
    sizes, found = game.payoff.shape[1:], []
    for player, size in enumerate(sizes):
        payoff = np.moveaxis(game.payoff[player], player, 0).reshape(size, -1)
        joint = jnp.ones(1, policy.dtype)
        for other, actions in enumerate(sizes):
            if other != player:
                joint = (joint[:, None] * policy[other, :actions]).reshape(-1)
        order = np.argsort(payoff, axis=1, kind="stable")
        below = jnp.cumsum(joint[order], axis=1)
        most = jnp.minimum(below / below[:, -1:], 1.0) ** k
        share = most - jnp.concatenate([jnp.zeros_like(most[:, :1]), most[:, :-1]], axis=1)
        worth = (share * np.take_along_axis(payoff, order, axis=1)).sum(1)
        found.append(jnp.pad(worth, (0, policy.shape[1] - size)))
    return jnp.stack(found)


def make(game: MatrixGame, config: Config = Config(), start=None) -> Solver:
    """Returns the method for a game. start: logits [N, A] to begin with; None: 0, which plays uniformly. Raises ValueError for
    numbers that cannot be, and for players whose payoffs differ."""
    if not (config.leniency >= 1.0 and config.patience > 0.0 and config.dt > 0.0):
        raise ValueError(f"leniency must be 1 or more, patience and dt above 0, not {config}")
    if any(not np.array_equal(game.payoff[0], one) for one in game.payoff):
        raise ValueError(
            "lenient_gradient is for games in which all are paid the same: who forgives a rival is exploited"
        )
    sizes = game.payoff.shape[1:]
    legal = np.arange(max(sizes)) < np.array(sizes)[:, None]

    def init():
        logits = jnp.zeros(legal.shape) if start is None else jnp.asarray(start, float)
        zeros = jnp.zeros(legal.shape)
        return State(jnp.where(legal, logits, -jnp.inf), zeros, jnp.zeros((), zeros.dtype))

    def step(state):
        k = 1.0 + (config.leniency - 1.0) * jnp.exp(-state.time / config.patience)

        def velocity(logits):
            policy = jax.nn.softmax(logits)
            worth = lenient_value(game, policy, k)
            return worth - (policy * worth).sum(1, keepdims=True)

        logits = runge_kutta(velocity, state.logits, config.dt)
        return State(logits, state.total + jax.nn.softmax(logits), state.time + config.dt)

    return Solver(init, step, lambda state: jax.nn.softmax(state.logits), lambda state: match(state.total, legal))
