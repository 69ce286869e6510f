"""How far players of a known game are from an equilibrium: exactly, of the policy that is played and of the average."""

import jax
import jax.numpy as jnp

from algos.agents import exact
from algos.core import played
from algos.core.types import Algorithm
from envs import Env
from envs.games.tree import GameTree
from experiments.lab.judging.judges import Judge

SMALL = 16  # information sets of a game of which the policy is recorded too


def nash_conv() -> Judge:
    """Returns the judge by NashConv, what the players could gain by leaving the policy one at a time, summed; lower is better.

    nash_conv: of the average policy, for all methods that keep one, as every method of a known game does; else of the policy now.
    nash_conv_current, nash_conv_average: of the policy that explores, as it is now, and of the average: NFSP's and CFR's own,
    else that over updates, by own reach, update t weighing t. value_first: what the first player earns under the policy of
    nash_conv. In small games both policies are recorded, as policy_current/<player> <information set> <action>.
    """
    return Judge("nash_conv", False, measure_nash_conv)


def measure_nash_conv(algorithm: Algorithm, env: Env, state, key) -> dict[str, jax.Array]:
    """Returns what `nash_conv` says, each [1], to float32's rounding. Raises ValueError where it cannot be known."""
    if env.game is None:
        raise ValueError(f"{env.name} is no game that is known")
    if algorithm.policy is None:
        raise ValueError("it says no policy")
    form = played.form(env)
    policies = {"current": played.probabilities(env, lambda seen: algorithm.policy(state, seen))}
    if algorithm.average is not None:
        policies["average"] = played.probabilities(env, lambda seen: algorithm.average(state, seen))
    elif getattr(state, "plans", None) is not None:
        policies["average"] = played.average(env, state.plans)
    judged = policies.get("average", policies["current"])
    found = {f"nash_conv_{which}": exact.nash_conv(form, policy) for which, policy in policies.items()}
    found["nash_conv"] = exact.nash_conv(form, judged)
    found["value_first"] = exact.value(form, judged)[0]
    if env.game.num_info_sets <= SMALL:
        for which, policy in policies.items():
            found |= {f"policy_{which}/{name}": policy[place] for name, place in choices(env.game).items()}
    return {name: jnp.reshape(value, 1) for name, value in found.items()}


def choices(game: GameTree) -> dict[str, tuple[int, int]]:
    """Returns the place in a policy [I, A] of "<player> <information set> <action>" for every legal action; of two legal ones
    the second, which says the first too."""
    legal = {
        row: [action for action in range(game.num_actions) if game.legal[row, action]] for row in range(len(game.legal))
    }
    return {
        f"{game.mover[row]} {game.names[row]} {game.action_names[action]}": (row, action)
        for row, actions in legal.items()
        for action in (actions[1:] if len(actions) == 2 else actions)
    }
