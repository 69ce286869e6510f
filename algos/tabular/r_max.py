"""Planning on the model that is learned: R-max (Brafman and Tennenholtz 2002), and certainty equivalence.

A pair tried less than `known_after` times is held to earn `best_reward` for ever (untried="optimistic"): acting greedily
then either earns what is best or comes to know something. With untried="absorbing" it is held to end the episode, and
exploring is left to epsilon. The rest of the model is the likeliest one; it is solved again, by sweeps of

    Q(s, a) <- sum_k p_k (r_k + gamma (1 - terminated_k) max_a' Q(s'_k, a'))

that begin at the last solution, whenever a pair has been tried known_after, 2 known_after, 4 known_after ... times.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
from flax import struct
from jax import lax

from algos.core.config import BELOW_ONE, require
from algos.core.types import Algorithm
from algos.tabular import learned_model
from algos.tabular.online import Method, control
from envs import Env


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch."""

    known_after: int = 1  # tries
    untried: str = "optimistic"  # or "absorbing"
    num_sweeps: int = 200  # over all pairs, whenever the model is solved
    num_steps: int = 1000  # of the environment, in one call of `step`


@struct.dataclass
class HParams:
    """Traced numbers: changing one compiles nothing."""

    total_steps: float = 100_000.0  # environment steps; an experiment sets its budget here
    gamma: float = 0.99  # below 1: what earns `best_reward` for ever has no value at 1
    epsilon: float = 0.0
    best_reward: float = 1.0  # the most that a step may earn; a pair not known is worth it for ever

    RANGES: ClassVar = {"gamma": BELOW_ONE}


def make(env: Env, config: Config = Config()) -> Algorithm:
    """Returns the planner on `env`, whose pairs may have as many outcomes as the environment's model has at most. Raises
    ValueError for what has no finite model and for settings that cannot be."""
    require(config, "known_after", "num_sweeps", "num_steps")
    if config.untried not in learned_model.UNTRIED:
        raise ValueError(f"untried must be one of {', '.join(learned_model.UNTRIED)}, not {config.untried!r}")
    return control(env, "r_max", method(env, config), config.num_steps)


def method(env: Env, config: Config) -> Method:
    """Returns how the table is begun, and learned from a step."""

    def start(hparams):
        counts = learned_model.nothing_seen(*env.model.reward.shape)
        optimistic = config.untried == "optimistic"
        best = hparams.best_reward / (1.0 - hparams.gamma) if optimistic else 0.0
        return jnp.full(env.model.reward.shape[:2], jnp.asarray(best, float)), counts

    def learn(q, counts, step, hparams):
        counts = learned_model.seen(counts, step)
        times = learned_model.tried(counts, (step.state, step.action)).astype(jnp.uint32)
        rounds, rest = jnp.divmod(times, config.known_after)
        due = (rest == 0) & (lax.population_count(rounds) == 1)
        mdp = learned_model.maximum_likelihood(counts, config.untried, hparams.best_reward, config.known_after)

        def sweep(_, q):
            return learned_model.backup(mdp, q, hparams.gamma)

        return lax.fori_loop(0, jnp.where(due, config.num_sweeps, 0), sweep, q), counts

    return Method(start, learn)
