"""What a learner has played so far on a game that is known, as the sum of realisation plans: its average policy is exact.

    average(a|I) ~ sum_t t x_t(I) pi_t(a|I)            x_t(I): how far the player's own choices under pi_t lead to I

One term an update, t = 1, 2, ...: later ones count for more, as in CFR+, so that the beginning is forgotten. Rows of a policy [I, A] are information sets, as in the `GameTree`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from algos.core import sequences
from envs import Env


def start(env: Env) -> jax.Array | None:
    """Returns the sum before anything was played, [I, A]; None where no game is known."""
    return None if env.game is None else jnp.zeros(env.game.legal.shape)


def add(env: Env, plans: jax.Array | None, policy_at, update) -> jax.Array | None:
    """Returns the sum with one more policy in it, after `update` others. policy_at: (observations [I, ...]) -> a policy at each."""
    if plans is None:
        return None
    return plans + (update + 1.0) * sequences.realisation_plan(form(env), probabilities(env, policy_at))


def average(env: Env, plans: jax.Array) -> jax.Array:
    """Returns the average of what was played, [I, A]."""
    return sequences.averaged(form(env), plans)


def probabilities(env: Env, policy_at) -> jax.Array:
    """Returns a policy [I, A] of all information sets, 0 where an action is not legal."""
    probs = jnp.exp(policy_at(observations(env)).log_probs())
    return jnp.where(env.game.legal, probs, 0.0)


def observations(env: Env) -> jax.Array:
    """Returns what is observed of all information sets, [I, ...]."""
    with jax.ensure_compile_time_eval():
        return jax.vmap(env.observe)(jnp.arange(env.game.num_info_sets))


def form(env: Env) -> sequences.Sequences:
    """Returns the environment's game in sequence form, float32."""
    return _form(_Same(env.game))


class _Same:
    """A game, the same as another where it is the same object."""

    def __init__(self, game):
        self.game = game

    def __eq__(self, other):
        return self.game is other.game

    def __hash__(self):
        return id(self.game)


@functools.lru_cache(maxsize=16)
def _form(same: _Same) -> sequences.Sequences:
    return sequences.tables(same.game, np.float32)
