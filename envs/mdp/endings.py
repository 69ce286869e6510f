"""Does an episode end? Without a discount, values exist only where going on for ever is worth nothing or less."""

import numpy as np

from envs.mdp.model import MDP, expected_reward

REMEDY = "without a discount that has no value; give a gamma below 1"


def check_ends(mdp: MDP) -> None:
    """Raises ValueError, naming a state, where the best values without a discount do not exist or sweeps would miss them.

    A policy that goes on for ever comes at last to pairs that are closed. It is worth minus infinity where each of them
    costs something (Bertsekas and Tsitsiklis 1991); where they are free, sweeps from 0 still find the best values of a
    model whose rewards are all of one sign (Puterman 1994, chapter 7). Sufficient, not necessary.
    """
    reward, possible = expected_reward(mdp), mdp.probability > 0.0
    endless, free = closed(mdp, np.ones(reward.shape, bool)), closed(mdp, reward == 0.0)
    one_sign = (mdp.reward >= 0.0).all() or (mdp.reward <= 0.0).all()
    gains = endless & ((reward > 0.0) | (reward == 0.0) & ~one_sign)
    if gains.any():
        state, action = np.argwhere(gains)[0]
        what = "gains by" if reward[state, action] > 0.0 else "loses nothing by"
        raise ValueError(f"from state {state} a policy can go on for ever, which {what} action {action}: {REMEDY}")
    saved = can_come_to(mdp, (mdp.terminated & possible).any(-1) | free)
    if not saved.all():
        raise ValueError(f"from state {np.flatnonzero(~saved)[0]} no policy ever ends: {REMEDY}")


def check_policy_ends(mdp: MDP, policy: np.ndarray) -> None:
    """Raises ValueError, naming a state, where episodes of the policy [S, A] can come to no end: without a discount
    their values solve no equation of full rank."""
    followed = mdp.replace(probability=mdp.probability * (policy > 0.0)[..., None])
    ends = can_come_to(followed, (mdp.terminated & (followed.probability > 0.0)).any(-1))
    if not ends.all():
        raise ValueError(f"from state {np.flatnonzero(~ends)[0]} the policy never ends: {REMEDY}")


def closed(mdp: MDP, allowed: np.ndarray) -> np.ndarray:
    """Returns the largest set among the allowed pairs, bool [S, A], all of whose outcomes go on to states that have such a
    pair again: what is left when all that leads out is taken away."""
    possible = mdp.probability > 0.0
    pairs = allowed & ~(mdp.terminated & possible).any(-1)
    while True:
        kept = pairs & ~(possible & ~pairs.any(1)[mdp.successor]).any(-1)
        if (kept == pairs).all():
            return pairs
        pairs = kept


def can_come_to(mdp: MDP, pairs: np.ndarray) -> np.ndarray:
    """Returns from which states one of the pairs [S, A] is ever possible under some actions, bool [S]."""
    possible = (mdp.probability > 0.0) & ~mdp.terminated
    found = pairs.any(1)
    while True:
        more = found | (possible & found[mdp.successor]).any((1, 2))
        if (more == found).all():
            return found
        found = more
