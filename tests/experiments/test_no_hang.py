"""Every algorithm finishes with any number of seeds on any number of cores, mapped or vmapped, every time, and seed 0
has the same bits each time: python -m pytest -m slow -n 0 tests/experiments/test_no_hang.py (some 10 minutes).

A program that vmaps LAPACK calls on few cores has hung for ever; a watchdog ends what does not finish.
"""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.lab.definition.settings import ALGORITHMS
from experiments.lab.machine.hardware import cores as cores_here

WATCHDOG_SECONDS = 600
CORES = (1, 2, 4)
SEEDS = {1: 20, 2: 20, 10: 20, 33: 3}  # how many seeds: how many times

SCRIPT = """
import hashlib, json, sys
from experiments.lab.machine import devices

devices.prepare()

import jax
from experiments.lab.running import runner
from experiments.lab.definition.experiment import Contender, Experiment, Task
from experiments.lab.definition.settings import ALGORITHMS

compiled, compile_programs = {}, runner.compile_programs


def compile_once(env, algorithm, hparams, lanes, width, *rest):
    if (len(lanes), width) not in compiled:
        compiled[len(lanes), width] = compile_programs(env, algorithm, hparams, lanes, width, *rest)
    return compiled[len(lanes), width]


runner.compile_programs = compile_once
name, repeats = sys.argv[1], json.loads(sys.argv[2])
algorithm, makes_it = ALGORITHMS[name]
small = {"num_envs": 2, "hidden_sizes": (16,), **({"buffer_size": 200, "warmup_steps": 40} if name == "dqn" else {})}
contender = Contender(name, algorithm, algorithm.Config(**{**small, **makes_it}), algorithm.HParams())
task = Task("CartPole-v1", (contender,), {"max_steps_in_episode": 20})
found = {}
for width in (1, 5):
    hashes = set()
    for seeds, times in repeats.items():
        experiment = Experiment((task,), tuple(range(int(seeds))), 600, evaluations=2, eval_episodes=2, width=width)
        for _ in range(times):
            *_, finished = runner.run(experiment)
            first = [leaf[0].tobytes() for leaf in jax.tree.leaves(finished.acting["params"])]
            hashes.add(hashlib.sha256(b"".join(first)).hexdigest())
    found[width] = sorted(hashes)
print(json.dumps(found))
"""


@functools.cache
def hashes(name: str, cores: int) -> dict[str, list[str]]:
    """Returns what seed 0's final parameters hash to, by width, over all numbers of seeds and repeats."""
    names = ("XLA_FLAGS", "NPROC", "JAX_PLATFORMS")
    plain = {key: value for key, value in os.environ.items() if key not in names} | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        ["taskset", "-c", ",".join(map(str, range(cores))), sys.executable, "-c", SCRIPT, name, json.dumps(SEEDS)],
        env=plain, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=WATCHDOG_SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("cores", CORES)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_short_run_ends_and_seed_0_has_the_same_bits_whatever_runs_beside_it(name, cores):
    if cores > cores_here():
        pytest.skip(f"this process may use {cores_here()} cores")
    found = hashes(name, cores)
    assert [len(found[width]) for width in ("1", "5")] == [1, 1]
    assert found == hashes(name, 1)
