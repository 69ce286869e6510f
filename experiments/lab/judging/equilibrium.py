"""How far players of a known game are from an equilibrium: exactly, of the policy that is played and of the average."""

import jax
import jax.numpy as jnp

from algos.agents import exact, played
from algos.core.types import Algorithm
from envs import Env
from experiments.lab.judging.judges import Judge


def nash_conv() -> Judge:
    """Returns the judge by NashConv, what the players could gain by leaving the policy one at a time, summed; lower is better.

    nash_conv: of what the method learns: the average of its policies where that is what it learns (NFSP, CFR), else the
    policy that explores, as it is now. nash_conv_current, nash_conv_average: of the policy now, and of the average over updates,
    by own reach, update t weighing t. value_first: what the first player earns under the policy of nash_conv.
    """
    return Judge("nash_conv", False, measure_nash_conv)


def measure_nash_conv(algorithm: Algorithm, env: Env, state, key) -> dict[str, jax.Array]:
    """Returns what `nash_conv` says, each [1], to float32's rounding. Raises ValueError where it cannot be known."""
    if env.game is None:
        raise ValueError(f"{env.name} is no game that is known")
    if algorithm.policy is None:
        raise ValueError("it says no policy")
    form, found = played.form(env), {}
    learned = current = played.probabilities(env, lambda seen: algorithm.policy(state, seen))
    if algorithm.average is not None:
        learned = played.probabilities(env, lambda seen: algorithm.average(state, seen))
        found["nash_conv_average"] = exact.nash_conv(form, learned)
    elif getattr(state, "plans", None) is not None:
        found["nash_conv_average"] = exact.nash_conv(form, played.average(env, state.plans))
    found["nash_conv"] = exact.nash_conv(form, learned)
    found["nash_conv_current"] = exact.nash_conv(form, current)
    found["value_first"] = exact.value(form, learned)[0]
    return {name: jnp.reshape(value, 1) for name, value in found.items()}
