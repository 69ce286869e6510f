"""Ctrl-C and SIGTERM at awkward moments: one line, status 130 or 143, and a folder that goes on to the same bits.

The long ones, at more moments, and at ten random ones of `experiments.compare` as users run it (some 6 minutes):
pytest -m slow -n 0 tests/experiments/test_signals.py
"""

import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import killed_run
import pytest

SCRIPT = Path(__file__).with_name("signalled_run.py")
IMPORTS = [sys.executable, "-X", "importtime", "-m"]  # each import is a line on standard error once it is done
AT_ONCE = "interrupted at once: what was saved before is kept; go on with python -m experiments.compare --resume {}"
SAVED = "interrupted: what is done is kept; go on with python -m experiments.compare --resume {}"
NOTHING = "interrupted: nothing was run"
INT, TERM = signal.SIGINT, signal.SIGTERM

# moment, signals one after another, exit status, the line
MOMENTS = [
    ("save", (INT, TERM), 143, AT_ONCE),  # two of one kind that a busy machine sees together are one
    ("report", (INT,), 130, AT_ONCE),
]
MORE_MOMENTS = [
    ("compile", (INT, INT), 130, AT_ONCE),
    ("compile", (INT,), 130, SAVED),
    ("compile", (INT, TERM), 143, AT_ONCE),
    ("save", (INT, INT), 130, AT_ONCE),
    ("save", (TERM,), 143, SAVED),
    ("save", (INT,), 130, SAVED),
    ("summary", (TERM,), 143, AT_ONCE),
    ("report", (TERM, TERM), 143, AT_ONCE),
]


@pytest.fixture(scope="module")
def uncut(tmp_path_factory):
    """What an uncut run finds."""
    folder = tmp_path_factory.mktemp("runs") / "uncut"
    with pytest.MonkeyPatch.context() as patch:
        killed_run.lighten(patch)
        assert killed_run.go(folder) == 0
        yield killed_run.outcome(folder)


def signalled(command, is_there, numbers, delay=0.0):
    """Returns (status, lines of standard output, lines of standard error) of a process that gets the signals so many
    seconds after a line of either output is one of those waited for."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([str(word) for word in command], text=True, **pipes)
    lines = {"stdout": [], "stderr": []}

    def read(name):
        for line in getattr(process, name):
            lines[name].append(line.rstrip("\n"))
            if is_there(line):
                arrived.set()
        arrived.set()

    arrived = threading.Event()
    readers = [threading.Thread(target=read, args=[name]) for name in lines]
    for reader in readers:
        reader.start()
    assert arrived.wait(120)
    time.sleep(delay)
    for number in numbers:
        process.send_signal(number)
        time.sleep(0.5)
    process.wait(120)
    for reader in readers:
        reader.join()
    return (
        process.returncode,
        lines["stdout"],
        [line for line in lines["stderr"] if not line.startswith("import time:")],
    )


@pytest.mark.parametrize(
    ("moment", "numbers", "status", "line"),
    [*MOMENTS, *(pytest.param(*moment, marks=pytest.mark.slow) for moment in MORE_MOMENTS)],
)
def test_a_signal_at_an_awkward_moment_is_one_line_and_loses_nothing(moment, numbers, status, line, uncut, tmp_path):
    command = [sys.executable, SCRIPT, tmp_path / "run", moment]
    found, printed, errors = signalled(command, f"at {moment}\n".__eq__, numbers)
    assert found == status, errors
    told = [line for line in printed + errors if line.startswith("interrupted")]
    assert told == [line.format(tmp_path / "run")]
    assert set(errors) <= set(told)
    assert killed_run.go(tmp_path / "run") == 0
    assert killed_run.outcome(tmp_path / "run") == uncut


@pytest.mark.parametrize(("module", "number"), [("tyro._arguments", INT), ("jax._src.core", TERM)])
def test_a_signal_while_importing_says_that_nothing_was_run(module, number, tmp_path):
    command = [*IMPORTS, "experiments.compare", "--out", tmp_path / "run"]
    found, printed, errors = signalled(command, lambda line: line.endswith(f" {module}\n"), [number])
    assert (found, printed, errors) == (128 + number, [], [NOTHING])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_signals_at_random_moments_of_a_command_lose_nothing(tmp_path):
    chance = random.Random(0)
    command = [*IMPORTS, "experiments.compare", "--algos", "a2c", "dqn", "--seeds", 2, "--steps", 4000]
    command += ["--evaluations", 3, "--eval-episodes", 2, "--out"]
    began = time.monotonic()
    status, printed, errors = signalled([*command, tmp_path / "uncut"], begun, [])
    assert status == 0, errors
    seconds = time.monotonic() - began
    for number in range(10):
        folder, numbers = tmp_path / str(number), [chance.choice((INT, TERM))] * chance.choice((1, 2))
        status, printed, errors = signalled([*command, folder], begun, numbers, chance.uniform(0.01, seconds))
        told = [line for line in printed + errors if line.startswith("interrupted")]
        assert status in (0, 128 + numbers[0], -numbers[0]), errors
        assert len(told) == (status > 0) and set(errors) <= set(told), (told, errors)
        if told == [NOTHING]:
            assert not (folder / "progress.json").exists() or not (folder / "curves.csv").exists()
            continue
        done = subprocess.run([*IMPORTS[:1], "-m", "experiments.compare", "--resume", folder], capture_output=True)
        assert done.returncode == 0, done.stderr
        assert killed_run.outcome(folder) == killed_run.outcome(tmp_path / "uncut")


def begun(line):
    """Returns whether the process has just imported what handles signals."""
    return line.endswith(" experiments.lab.commands.signals\n")
