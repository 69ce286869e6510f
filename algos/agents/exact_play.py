"""Methods that know the whole game, as algorithms among others: CFR, CFR+ and fictitious play on its tree.

Nothing is sampled. An iteration looks at every history where somebody decides, and counts as so many environment steps. The
policy is the one that the method plays next; what it has learned is the average.
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct

from algos.agents import cfr, fictitious_play
from algos.core import played
from algos.core.distributions import Categorical
from algos.core.types import Algorithm
from envs import Env

METHODS = {
    "cfr": cfr.make,
    "cfr_plus": lambda game: cfr.make(game, cfr.PLUS),
    "fictitious_play": fictitious_play.make,
}


@dataclass(frozen=True)
class Config:
    """What changes a branch."""

    method: str = "cfr"


@struct.dataclass
class HParams:
    """Traced numbers: there is nothing to set."""

    total_steps: float = 500_000.0  # environment steps; an experiment sets its budget here, and it changes nothing


@struct.dataclass
class TrainState:
    """All that a run carries from one iteration to the next."""

    params: Any  # the method's own state


def make(env: Env, config: Config = Config()) -> Algorithm:
    """Returns the method on the game of `env`. Raises ValueError where none is known or its observations do
    not tell information sets apart, and for another method."""
    if env.game is None:
        raise ValueError(f"{config.method} needs a game that is known, and {env.name} is none")
    if config.method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, not {config.method!r}")
    shown = played.observations(env)
    if len({row.tobytes() for row in np.asarray(shown)}) < env.game.num_info_sets:
        raise ValueError(f"{config.method} plays by information set, and {env.name} shows several alike: ids=True")
    solver = METHODS[config.method](played.form(env))

    def init(key, hparams):
        return TrainState(solver.init())

    def step(state, hparams):
        state = TrainState(solver.step(state.params))
        return state, dict.fromkeys(NO_EPISODES, jnp.float32(0.0))

    def row(policy, observation):
        """The row of the policy [I, A] whose information set is observed; observations may be [..., D]."""
        same = jnp.all(observation[..., None, :] == shown, axis=-1)
        return Categorical(jnp.log(same.astype(policy.dtype) @ policy))

    def policy(state, observation):
        return row(solver.current(state.params), observation)

    def average(state, observation):
        return row(solver.average(state.params), observation)

    def act(state, key, observation, explore: bool):
        chosen = average(state, observation)
        return chosen.sample(key) if explore else chosen.mode()

    steps = int((env.game.player >= 0).sum())
    return Algorithm(init, step, act, steps, policy=policy, average=average)


NO_EPISODES = ("episode_count", "episode_return_sum", "episode_length_sum", "fault_count")
