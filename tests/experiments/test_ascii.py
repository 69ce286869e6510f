"""Commands where the console or the whole locale is ASCII only: no traceback, and files that are UTF-8."""

import dataclasses
import io
import os
import subprocess
import sys
from pathlib import Path

import killed_run
import pytest

from experiments import diff
from experiments.lab.commands import cli
from experiments.lab.definition.experiment import Task
from experiments.lab.recording import manifest, records
from experiments.lab.recording.files import write_json
from experiments.lab.running import launch, runner
from experiments.lab.showing.report import page

ROOT = Path(__file__).parents[2]
LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
NAME = "größe"
UNDECODED = os.fsdecode(b"\xff")  # what a name's bytes become where the locale cannot read them


def run_folder(folder, like=killed_run.CONTENDERS[0]):
    """Returns a run folder of a contender with a name of more than ASCII."""
    folder.mkdir()
    experiment = dataclasses.replace(
        killed_run.EXPERIMENT, tasks=(Task("CartPole-v1", (dataclasses.replace(like, name=NAME),)),)
    )
    manifest.write_manifest(folder, experiment, f"--out {UNDECODED}")
    rows = "".join(f"CartPole-v1,{NAME},{seed},0,evaluation_return,{seed}\n" for seed in range(3))
    (folder / "curves.csv").write_text(f"environment,algorithm,seed,env_steps,metric,value\n{rows}", encoding="utf-8")
    write_json(folder / "summary.json", {"seeds": [0, 1, 2], "environments": {}})
    return folder


def ascii_console(patch):
    """Makes the output an ASCII console that refuses all else, as Python's does, and returns its bytes."""
    shown = io.BytesIO()
    patch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii", write_through=True))
    return shown


def test_what_a_command_tells_on_an_ascii_console_is_spelled_out(tmp_path, monkeypatch):
    console = ascii_console(monkeypatch)
    folders = [run_folder(tmp_path / f"é–{number}", like) for number, like in enumerate(killed_run.CONTENDERS[:2])]
    monkeypatch.setattr(sys, "argv", ["diff", *map(str, folders)])
    with pytest.raises(SystemExit) as end:
        cli.run_command(diff.Args, diff.diff, "diff")
    assert end.value.code == 1 and rb"gr\xf6\xdfe" in console.getvalue() and rb"\xe9\u20130" in console.getvalue()


def test_a_run_on_an_ascii_console_ends_as_on_another(tmp_path, monkeypatch):
    console = ascii_console(monkeypatch)
    monkeypatch.setattr(runner, "run", lambda *rest: iter(()))
    assert launch.launch(killed_run.EXPERIMENT, tmp_path / "é–run") == 0
    assert b"files:" in console.getvalue() and rb"\xe9\u2013run" in console.getvalue()


def test_a_report_has_the_bytes_of_what_was_typed_and_the_names_in_utf_8(tmp_path):
    folder = run_folder(tmp_path / "run")
    assert b"--out \xff" in page.write(folder).read_bytes()
    assert NAME.encode() in (folder / "report.html").read_bytes()


def test_a_folder_that_the_locale_cannot_name_is_refused_before_it_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "check", lambda experiment: None)
    with pytest.raises(cli.BadInput, match=r"udcff' is no text where the locale is ASCII: set PYTHONUTF8=1, or"):
        launch.launch(killed_run.EXPERIMENT, tmp_path / UNDECODED)
    assert not list(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "absolute", lambda path: tmp_path / UNDECODED / path)
    with pytest.raises(ValueError, match="is no text"):
        records.create(None, ["CartPole-v1"])


@pytest.mark.slow
def test_a_report_is_written_in_an_ascii_locale(tmp_path):
    folder = run_folder(tmp_path / "é–run")
    command = [sys.executable, "-m", "experiments.report", folder]
    run = subprocess.run(command, cwd=ROOT, env=os.environ | LOCALE, capture_output=True, timeout=120)
    assert (run.returncode, run.stderr) == (0, b"")
    assert NAME.encode() in (folder / "report.html").read_bytes()
