"""The platform of the tests, set before jax starts: CPU, and XLA's flags as commands set them."""

import gc
import itertools
import os
from fnmatch import fnmatch
from pathlib import Path

from compiling import QUICK

from experiments.lab.machine import flags

os.environ["XLA_FLAGS"] = flags.with_ours(QUICK)
os.environ["NPROC"] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"
# What one test compiles, another and the commands that tests start need not compile again.
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(Path(__file__).parents[1] / ".pytest_cache" / "programs")
os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = "-1"  # bounded and unbounded use of one folder do not mix
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"

import jax
import pytest

# A file runs on one worker. The longest begin first, so that no worker is left alone with one at the end.
LONGEST_FIRST = (
    "test_same_bits", "test_algorithms", "test_runner", "test_doctor", "test_kill", "test_outside_loss",
    "test_compare", "test_readme", "test_dqn",
)  # fmt: skip


LONG = [line for line in Path(__file__).with_name("long.txt").read_text().splitlines() if not line.startswith("#")]


@pytest.hookimpl(tryfirst=True)  # before `-m 'not slow'` chooses
def pytest_collection_modifyitems(items):
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))
    for item in items:
        fitting = [line for line in LONG if fnmatch(item.nodeid, line.removeprefix("!"))]
        if fitting and not fitting[-1].startswith("!"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def float64():
    """Runs the test in double precision."""
    with jax.enable_x64(True):
        yield


# Every compiled program takes places in the process's memory map, of which Linux allows 65,530: a worker that has compiled
# for all files so far would die of a segmentation fault.
MAPS, MANY, TOO_MANY, SELDOM = Path("/proc/self/maps"), 20_000, 52_000, 20
tests_so_far = itertools.count(1)


@pytest.fixture(scope="module", autouse=True)
def programs_are_let_go_after_a_file():
    yield
    let_go(MANY)


@pytest.fixture(autouse=True)
def programs_are_let_go_before_there_is_no_room():
    yield
    if next(tests_so_far) % SELDOM == 0:
        let_go(TOO_MANY)


def let_go(places: int) -> None:
    """Has jax forget its compiled programs where they take more places than that."""
    if MAPS.exists() and MAPS.read_bytes().count(b"\n") > places:
        jax.clear_caches()
        gc.collect()
