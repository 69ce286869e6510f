"""What is observed of the states of a problem whose features are part of it."""

import numpy as np


def baird(mdp) -> np.ndarray:
    """Returns the eight features of Baird's seven states (S&B figure 11.1): 2 e_i + e_8 above, e_7 + 2 e_8 below."""
    table = np.zeros((7, 8))
    table[np.arange(6), np.arange(6)], table[:6, 7] = 2.0, 1.0
    table[6, 6], table[6, 7] = 1.0, 2.0
    return table
