"""Commands where the console or the whole locale is ASCII only: no traceback, and files of the same bytes."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import killed_run
import pytest

from experiments.lab.experiment import Task
from experiments.lab.folder import manifest
from experiments.lab.folder.files import write_json

ROOT = Path(__file__).parents[2]
CONSOLE = {"PYTHONIOENCODING": "ascii"}
LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
NAME = "größe"
RUN = """
import sys, pathlib
sys.path.insert(0, "tests/experiments")
import killed_run
from experiments.lab import conclusion, launch, runner
runner.run = lambda *rest: iter(())
launch.check = lambda experiment: None
raise SystemExit(launch.launch(killed_run.EXPERIMENT, pathlib.Path(sys.argv[1])))
"""


@pytest.fixture
def folder(tmp_path):
    """A run folder with a name, and a contender, of more than ASCII."""
    folder = tmp_path / "é–run"
    folder.mkdir()
    one = dataclasses.replace(killed_run.CONTENDERS[0], name=NAME)
    manifest.write_manifest(
        folder, dataclasses.replace(killed_run.EXPERIMENT, tasks=(Task("CartPole-v1", (one,)),)), "é"
    )
    rows = "".join(f"CartPole-v1,{NAME},{seed},0,evaluation_return,{seed}\n" for seed in range(3))
    (folder / "curves.csv").write_text(f"environment,algorithm,seed,env_steps,metric,value\n{rows}", encoding="utf-8")
    write_json(folder / "summary.json", {"seeds": [0, 1, 2], "environments": {}})
    return folder


def ran(settings, *words):
    """Returns (status, output, errors), both in ASCII."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONIOENCODING"} | settings
    command = [sys.executable, *map(str, words)]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=120)
    return run.returncode, run.stdout, run.stderr.decode("ascii", "replace")


@pytest.mark.parametrize("settings", [CONSOLE, LOCALE], ids=["console", "locale"])
def test_what_is_told_of_folders_and_names_is_spelled_out(settings, folder):
    status, printed, errors = ran(settings, "-m", "experiments.report", folder)
    assert (status, errors) == (0, "") and b"report.html" in printed
    assert NAME in (folder / "report.html").read_text(encoding="utf-8")
    other = folder.with_name("other")
    other.mkdir()
    one = dataclasses.replace(killed_run.CONTENDERS[1], name=NAME)
    manifest.write_manifest(other, dataclasses.replace(killed_run.EXPERIMENT, tasks=(Task("CartPole-v1", (one,)),)), "")
    status, printed, errors = ran(settings, "-m", "experiments.diff", folder, other)
    assert (status, errors) == (1, "") and rb"gr\xf6\xdfe" in printed


def test_a_run_on_an_ascii_console_ends_as_on_another(tmp_path):
    status, printed, errors = ran(CONSOLE, "-c", RUN, tmp_path / "é–run")
    assert (status, errors) == (0, "") and b"files:" in printed and rb"\xe9\u2013run" in printed


def test_a_folder_that_an_ascii_locale_cannot_name_is_refused_before_anything_is_made(tmp_path):
    status, printed, errors = ran(LOCALE, "-c", RUN, tmp_path / "é–run")
    assert status and "is no text where the locale is ASCII: set PYTHONUTF8=1, or name another" in errors
    assert not list(tmp_path.iterdir())
