"""The gambler's problem (Sutton and Barto 2018, example 4.3)."""

import numpy as np

from envs.mdp.build import from_step
from envs.mdp.model import MDP


def gambler(heads: float = 0.4, goal: int = 100) -> MDP:
    """Returns the gambler who stakes 1 to min(s, goal - s) of his capital s on heads, and earns 1 at the goal. Action a
    stakes a + 1, or the most that is allowed. He begins with any capital, all alike."""
    if not 0.0 < heads < 1.0:
        raise ValueError(f"heads must be between 0 and 1, not {heads}")

    def step(capital, action):
        stake = np.minimum(action + 1, np.minimum(capital, goal - capital))
        reached = np.concatenate(np.broadcast_arrays(capital + stake, capital - stake), -1)
        over = (reached == 0) | (reached == goal)
        earned = (reached == goal) & (capital != goal)
        return reached, np.array([heads, 1.0 - heads]), earned, over

    start = np.zeros(goal + 1)
    start[1:goal] = 1.0 / (goal - 1)
    return from_step(step, goal + 1, goal // 2, start)
