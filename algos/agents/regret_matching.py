"""Regret matching (Hart and Mas-Colell 2000), and regret matching+ (Tammelin 2014), for games in normal form.

    R_t(a) = sum_{s <= t} u(a, pi_s^{-p}) - u(pi_s)         what always playing a would have earned more
    pi_{t+1}(a) ~ max(R_t(a), 0), uniform where no regret is positive
    plus: R_t = max(R_{t-1} + u(a, .) - u(pi_t), 0)

Everyone moves at once. Between two with opposite interests the average policy goes to equilibrium, at a rate of 1/sqrt(t) at
worst, and the current one need not: in rock-paper-scissors it goes round for ever. `cfr` does the same in every information set
of a tree.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from algos.agents.solver import Solver
from envs.games.matrix import MatrixGame


@dataclass(frozen=True)
class Config:
    """plus: negative regrets are forgotten."""

    plus: bool = False


@struct.dataclass
class State:
    """Regrets and the sum of policies so far, both [N, A]."""

    regret: jax.Array
    total: jax.Array


def match(regret: jax.Array, legal: jax.Array) -> jax.Array:
    """Returns probabilities [..., A] in proportion to positive regrets; uniform over legal actions where there are none."""
    positive = jnp.where(legal, jnp.maximum(regret, 0.0), 0.0)
    total, alike = positive.sum(-1, keepdims=True), jnp.asarray(legal, regret.dtype)
    return jnp.where(total > 0.0, positive / jnp.where(total > 0.0, total, 1.0), alike / alike.sum(-1, keepdims=True))


def action_value(game: MatrixGame, policy: jax.Array) -> jax.Array:
    """Returns what each action of each player earns against the others' policies [N, A], [N, A]; 0 for what is no action."""
    sizes, found = game.payoff.shape[1:], []
    for player, size in enumerate(sizes):
        worth = jnp.asarray(game.payoff[player], policy.dtype)
        for other in reversed(range(len(sizes))):  # the last axis first: those before it keep their places
            if other != player:
                worth = jnp.tensordot(worth, policy[other, : sizes[other]], axes=(other, 0))
        found.append(jnp.pad(worth, (0, policy.shape[1] - size)))
    return jnp.stack(found)


def make(game: MatrixGame, config: Config = Config(), start=None) -> Solver:
    """Returns the method for a game. start: regrets [N, A] to begin with; None: 0, which plays uniformly."""
    sizes = game.payoff.shape[1:]
    legal = np.arange(max(sizes)) < np.array(sizes)[:, None]

    def init():
        regret = jnp.zeros(legal.shape) if start is None else jnp.asarray(start, float)
        return State(regret, jnp.zeros(legal.shape))

    def step(state):
        policy = match(state.regret, legal)
        worth = action_value(game, policy)
        regret = state.regret + worth - (policy * worth).sum(1, keepdims=True)
        return State(jnp.maximum(regret, 0.0) if config.plus else regret, state.total + policy)

    def average(state):
        return match(state.total, legal)

    return Solver(init, step, lambda state: match(state.regret, legal), average)
