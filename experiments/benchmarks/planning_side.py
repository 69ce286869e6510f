"""Our side of `planning`: a process that solves the model it is given and prints its figures as a line of JSON."""

import json
import sys
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from algos.tabular import bellman
from algos.tabular.planning import modified_policy_iteration, sweeps, value_iteration
from envs.mdp import from_arrays
from experiments.benchmarks.planning import GAMMA, TOLERANCE

SWEEPS = 10  # in one compiled loop, whose call they share


def main(model: str, best: str, rounds: str) -> None:
    with np.load(model) as arrays:
        mdp = from_arrays(arrays["successor"], arrays["probability"], arrays["reward"][..., None], False)
    devices = jax.devices() if len(jax.devices()) > 1 else None
    wall, cpu = sweep_seconds(mdp, devices, int(rounds))
    rows = [{"what": "a sweep", "sweep": wall, "cpu": cpu}]
    for method in (value_iteration, modified_policy_iteration):
        solve = partial(method.solve, mdp, GAMMA, TOLERANCE, devices=devices)
        solution = solve()
        error = float(np.abs(solution.value - np.load(best)).max())
        wall, cpu = least(solve, int(rounds))
        rows.append({
            "what": method.__name__.split(".")[-1].replace("_", " "), "solution": wall, "cpu": cpu,
            "iterations": solution.iterations, "error": error,
        })  # fmt: skip
    print(json.dumps(rows))


def several(tables, value, gamma, tolerance, most, everywhere=lambda x: x):
    """A loop for `sweeps.placed` that makes so many sweeps and looks at nothing."""
    return lax.fori_loop(0, most, lambda _, v: everywhere(bellman.backup(tables, v, gamma)), value)


def sweep_seconds(mdp, devices, rounds: int) -> tuple[float, float]:
    with jax.enable_x64(True):
        tables, program = sweeps.placed(several, bellman.tables(mdp), devices)
        value = jnp.zeros(tables.reward.shape[0])
        times = least(lambda: program(tables, value, GAMMA, TOLERANCE, SWEEPS).block_until_ready(), rounds + 1)
    return times[0] / SWEEPS, times[1] / SWEEPS


def least(call, rounds: int) -> tuple[float, float]:
    """Returns the least seconds of wall clock and of processor time that a call takes."""
    times = []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return tuple(min(column) for column in zip(*times))


if __name__ == "__main__":
    main(*sys.argv[1:])
