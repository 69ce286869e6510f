"""The peers of `planning`, in a virtual environment of their own: QuantEcon's DiscreteDP and a fused numba loop."""

import json
import sys
import time

import numba
import numpy as np
import scipy.sparse
from quantecon.markov import DiscreteDP

GAMMA, TOLERANCE = 0.99, 1e-6


@numba.njit(fastmath=True)
def sweep(successor, probability, reward, value, new):
    """One sweep of value iteration, as few lines as it takes; returns the largest change."""
    largest = 0.0
    for state in range(value.size):
        best = -np.inf
        for action in range(reward.shape[1]):
            q = 0.0
            for k in range(successor.shape[2]):
                q += probability[state, action, k] * value[successor[state, action, k]]
            best = max(best, reward[state, action] + GAMMA * q)
        largest = max(largest, abs(best - value[state]))
        new[state] = best
    return largest


def iterated(arrays):
    """Returns (values, sweeps) of value iteration that stops where the largest change proves the tolerance."""
    value, new, sweeps, change = np.zeros(len(arrays[2])), np.zeros(len(arrays[2])), 0, np.inf
    while change * GAMMA / (1.0 - GAMMA) > TOLERANCE:
        change = sweep(*arrays, value, new)
        value, new, sweeps = new, value, sweeps + 1
    return value, sweeps


def quantecon(successor, probability, reward):
    states, actions, width = successor.shape
    rows = np.arange(0, successor.size + 1, width)
    moves = scipy.sparse.csr_matrix((probability.ravel(), successor.ravel(), rows), (states * actions, states))
    pairs = np.repeat(np.arange(states), actions), np.tile(np.arange(actions), states)
    return DiscreteDP(reward.ravel(), moves, GAMMA, *pairs)


def least(call, rounds):
    times = []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        result = call()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return result, *(min(column) for column in zip(*times))


def main(model, best, rounds):
    with np.load(model) as file:
        arrays = tuple(file[name] for name in ("successor", "probability", "reward"))
    best, rounds = np.load(best), int(rounds)
    value, new = np.zeros(best.size), np.zeros(best.size)
    ddp = quantecon(*arrays)
    once = {
        "a sweep of numba": lambda: sweep(*arrays, best, new),
        "a sweep of QuantEcon": lambda: ddp.bellman_operator(best, Tv=value),
    }
    rows = []
    for what, call in once.items():
        _, wall, cpu = least(call, 3 * rounds + 1)
        rows.append({"what": what, "sweep": wall, "cpu": cpu})

    def solved():
        found = ddp.solve(method="mpi", epsilon=2 * TOLERANCE)  # it stops within epsilon / 2
        return found.v, int(found.num_iter)

    ddp.solve(method="mpi", epsilon=2 * TOLERANCE)
    # numba's value iteration makes some 1,800 sweeps, enough for one round to tell
    solutions = ("numba value iteration", lambda: iterated(arrays), 1), ("QuantEcon's modified p. i.", solved, rounds)
    for what, call, times in solutions:
        (found, iterations), wall, cpu = least(call, times)
        error = float(np.abs(found - best).max())
        rows.append({"what": what, "solution": wall, "cpu": cpu, "iterations": iterations, "error": error})
    print(json.dumps(rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
