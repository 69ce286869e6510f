"""What a fixed log of steps says of the policy that made it (Sutton and Barto 2018, section 6.3): batch TD(0) by sweeps over
the log, and what it comes to in closed form: the values of the model that makes the log most likely.

    V <- V + alpha sum_t (R_{t+1} + gamma V(S_{t+1}) - V(S_t)) [S_t]   until nothing changes
"""

import numpy as np
from jax import lax

from algos.core.returns import td_target


def td_sweeps(v, log, learning_rate, gamma, num_sweeps: int):
    """Returns V [S] after sweeps over a log of steps [T], each of which changes V once, by the sum of all changes."""

    def sweep(_, v):
        error = td_target(log.reward, log.terminated, v[log.next_state], gamma) - v[log.state]
        return v.at[log.state].add(learning_rate * error)

    return lax.fori_loop(0, num_sweeps, sweep, v)


def monte_carlo_sweeps(v, log, returns, learning_rate, num_sweeps: int):
    """Returns V [S] after such sweeps with the returns [T] that followed the steps as targets: least squares on them."""

    def sweep(_, v):
        return v.at[log.state].add(learning_rate * (returns - v[log.state]))

    return lax.fori_loop(0, num_sweeps, sweep, v)


def td_solution(log, num_states: int, gamma: float) -> np.ndarray:
    """Returns what batch TD(0) comes to, float64 [S], by least squares (LSTD with a table): A V = b. A state that is in no
    step has the value 0.

        A = sum_t [S_t] ([S_t] - gamma (1 - terminated_t) [S_{t+1}])^T,   b = sum_t R_{t+1} [S_t]
    """
    state, next_state = np.asarray(log.state), np.asarray(log.next_state)
    goes_on = 1.0 - np.asarray(log.terminated, np.float64)
    matrix, earned = np.zeros((num_states, num_states)), np.zeros(num_states)
    np.add.at(matrix, (state, state), 1.0)
    np.add.at(matrix, (state, next_state), -gamma * goes_on)
    np.add.at(earned, state, np.asarray(log.reward, np.float64))
    never = ~np.isin(np.arange(num_states), state)
    matrix[never, never] = 1.0
    return np.linalg.solve(matrix, earned)
