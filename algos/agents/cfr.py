"""Counterfactual regret minimisation (Zinkevich et al. 2007), and CFR+ (Tammelin 2014; Tammelin et al. 2015).

    R(I, a) <- R(I, a) + q(I, a) - sum_b pi(b|I) q(I, b)         q: counterfactual values under pi
    pi(a|I) ~ max(R(I, a), 0), uniform where no regret is positive
    average(a|I) ~ sum_t x_t(I) pi_t(a|I)                        x: own reach

The regret of a player is at most the sum of those of the player's information sets, so that regret matching in each of them takes
the average to equilibrium between two with opposite interests. CFR+ forgets negative regrets, R <- max(R, 0), and weighs the policy
of iteration t by t. Players take turns in an iteration, each against what the others play by then, or all move at once.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import struct

from algos.agents import exact
from algos.agents.regret_matching import match
from algos.agents.solver import Solver
from algos.core import sequences
from algos.core.sequences import Sequences


@dataclass(frozen=True)
class Config:
    """plus: negative regrets are forgotten. linear: iteration t weighs t in the average. alternating: players take turns."""

    plus: bool = False
    linear: bool = False
    alternating: bool = True


PLUS = Config(plus=True, linear=True)  # CFR+


@struct.dataclass
class State:
    """Regrets and the weighted sum of realisation plans so far, both [I, A], and how many iterations there were."""

    regret: jax.Array
    plans: jax.Array
    iteration: jax.Array


def make(game: Sequences, config: Config = Config(), start=None) -> Solver:
    """Returns the method for a game. start: regrets [I, A] to begin with; None: 0, which plays uniformly."""

    def init():
        zeros = jnp.zeros(game.legal.shape)
        return State(zeros if start is None else jnp.asarray(start, zeros.dtype), zeros, jnp.zeros((), zeros.dtype))

    def current(state):
        return match(state.regret, game.legal)

    def step(state):
        iteration = state.iteration + 1.0
        weight = iteration if config.linear else 1.0
        policy, regret, plans = current(state), state.regret, state.plans
        for player in range(game.num_players):
            rows = game.rows(player)
            own, plan = policy[rows], sequences.own_reach(game, policy, player)
            q = exact.action_value(game, policy, player)
            new = regret[rows] + q - (own * q).sum(1, keepdims=True)
            regret = regret.at[rows].set(jnp.maximum(new, 0.0) if config.plus else new)
            plans = plans.at[rows].add(weight * plan)
            if config.alternating:
                policy = policy.at[rows].set(match(regret[rows], game.legal[rows]))
        return State(regret, plans, iteration)

    return Solver(init, step, current, lambda state: sequences.averaged(game, state.plans))
