"""One core and several give the same bits, every metric and every saved array, at the sizes that experiments have.

All algorithms: python -m pytest -m slow -n 0 tests/experiments/test_cores.py (some minutes).
"""

import json
import os
import subprocess
import sys

import pytest

CASES = {  # algorithm: (environment, environment steps): a few updates of the size that each has there
    "reinforce": ("Acrobot-v1", 12_000),
    "a2c": ("Acrobot-v1", 8_000),
    "npg": ("Acrobot-v1", 8_200),
    "trpo": ("CartPole-v1", 8_200),
    "ppo": ("Breakout-MinAtar", 8_200),
    "dqn": ("Breakout-MinAtar", 6_000),
    "pgql": ("Breakout-MinAtar", 8_200),
}
RUN = """
import hashlib, json, os, sys
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[1])])
from experiments.lab.machine import devices
devices.start()
import jax
import numpy as np
from experiments.lab.running import runner
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.definition.settings import contender

found = {}
for name, (environment, steps) in json.loads(sys.argv[2]).items():
    task = Task(environment, (contender(name, environment, steps),))
    events = list(runner.run(Experiment((task,), (0, 1, 2), steps, evaluations=2, eval_episodes=2)))
    rows = [row for event in events if isinstance(event, runner.Evaluated) for row in event.rows]
    arrays = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree.leaves_with_path(events[-1].acting)}
    hashes = {key: hashlib.sha256(array.tobytes()).hexdigest() for key, array in arrays.items()}
    found[name] = {**{str(row[:3]): float(row[3]).hex() for row in rows}, **hashes}
print(json.dumps(found))
"""
# The operations that XLA cuts up by its number of threads, under many threads, on a lane and on jax's own device.
SUMS = """
import hashlib, json, os
os.environ["NPROC"] = "7"
import jax
import numpy as np
jax.numpy.ones(3)
from experiments.lab.machine import devices

values = np.random.default_rng(0).standard_normal((4000, 64), np.float32)
of = jax.jit(lambda x: (x.T @ x, x.sum(), x.sum(0)))
places = {"lane": devices.lanes(1)[0], "jax": jax.devices()[0]}
found = {name: jax.device_get(of(jax.device_put(values, device))) for name, device in places.items()}
print(json.dumps({name: hashlib.sha256(b"".join(x.tobytes() for x in xs)).hexdigest() for name, xs in found.items()}))
"""


def printed(script, *arguments, **variables):
    """Returns what the script prints, in a process of its own."""
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def assert_same_on_one_core_and_on_all(names):
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("this process has one core")
    cases = json.dumps({name: CASES[name] for name in names})
    one, several = (printed(RUN, cores, cases) for cores in ("1", "64"))
    for name in names:
        differing = [key for key, value in one[name].items() if several[name].get(key) != value]
        print(f"{name} on {CASES[name][0]}: {len(one[name]) - len(differing)} of {len(one[name])} the same")
        assert len(one[name]) > 30 and one[name].keys() == several[name].keys()
        assert not differing, (name, differing)


def test_reinforce_has_the_same_bits_on_one_core_and_on_all():
    assert_same_on_one_core_and_on_all(["reinforce"])


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_an_algorithm_has_the_same_bits_on_one_core_and_on_all(name):
    assert_same_on_one_core_and_on_all([name])


def test_large_products_and_sums_have_the_bits_of_one_thread_however_many_jax_was_started_with():
    many, one = printed(SUMS), printed(SUMS.replace('"7"', '"1"'))
    assert many["lane"] == one["lane"] == one["jax"]
    assert many["jax"] != one["jax"]  # else this proves nothing
