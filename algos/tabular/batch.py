"""What a fixed log of steps says of the policy that made it (Sutton and Barto 2018, section 6.3): what batch TD(0) comes to, in
closed form: the values of the model that makes the log most likely.

    V <- V + alpha sum_t (R_{t+1} + gamma V(S_{t+1}) - V(S_t)) [S_t]   until nothing changes
"""

import numpy as np


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
