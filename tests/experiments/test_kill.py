"""Kill -9 at random moments, then resume: the same bits as a run that was never cut.

The long one, 30 kills: pytest -m slow -n 0 tests/experiments/test_kill.py
"""

import dataclasses
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import killed_run
import pytest

from experiments.lab.recording import book
from experiments.lab.running import runner

RUN = [sys.executable, str(Path(__file__).with_name("killed_run.py"))]


@pytest.fixture(scope="module")
def uncut(tmp_path_factory):
    """(what an uncut run found, the seconds it trained and saved)."""
    folder = tmp_path_factory.mktemp("runs") / "uncut"
    process = start(folder)
    began = time.monotonic()
    assert process.wait(timeout=300) == 0, process.stderr.read()
    return killed_run.outcome(folder), time.monotonic() - began


def start(folder):
    """Returns the process, once it has written to the folder or ended."""
    before = written(folder)
    process = subprocess.Popen([*RUN, folder], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and written(folder) == before:
        time.sleep(0.01)
    return process


def written(folder):
    """Returns a mark that changes with every commit that follows the compiling."""
    path = folder / "progress.json"
    if not (folder / "curves.csv").exists():
        return None
    return path.stat().st_mtime_ns


def kill_and_resume(folder, kills, within, uncut, chance):
    """Kills the run `kills` times, each time up to `within` seconds after it first commits, and goes on; a run that
    ends before is compared and begun anew."""
    number = 0
    while kills:
        process = start(folder / str(number))
        time.sleep(chance.uniform(0.0, within))
        process.kill()
        _, errors = process.communicate(timeout=300)
        if process.returncode == 0:
            assert killed_run.outcome(folder / str(number)) == uncut
            number += 1
        else:
            assert process.returncode == -9, errors
            kills -= 1
    process = start(folder / str(number))
    assert process.wait(timeout=300) == 0, process.stderr.read()
    assert killed_run.outcome(folder / str(number)) == uncut


def test_a_kill_loses_nothing(uncut, tmp_path):
    outcome, seconds = uncut
    kill_and_resume(tmp_path, 1, seconds / 2, outcome, random.Random(0))


@pytest.mark.slow
def test_thirty_kills_lose_nothing(uncut, tmp_path):
    outcome, seconds = uncut
    kill_and_resume(tmp_path, 30, seconds / 15, outcome, random.Random(1))


@pytest.mark.slow
def test_memory_stays_flat_over_hundreds_of_evaluations_and_checkpoints(tmp_path, monkeypatch):
    """Resident memory, in MiB, after the first fifth of the events and at the end."""
    (tmp_path / "manifest.json").touch()
    experiment = dataclasses.replace(
        killed_run.EXPERIMENT, tasks=(dataclasses.replace(killed_run.TASK, contenders=killed_run.CONTENDERS[2:]),),
        steps=8_000, evaluations=400,
    )  # fmt: skip
    monkeypatch.setattr(book, "CHECKPOINT_SECONDS", 0.0)
    pages = book.Book(tmp_path, experiment, {}, lambda: 0)
    resident = []
    for number, event in enumerate(runner.run(experiment)):
        if isinstance(event, runner.Evaluated) or number % 8 < 2 and isinstance(event, runner.Progress):
            pages.record(event)
            resident.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20)
    assert len(resident) > 450
    print(f"{len(resident)} events: {resident[len(resident) // 5]:.0f} MiB, at the end {resident[-1]:.0f} MiB")
    assert resident[-1] - resident[len(resident) // 5] < 50
