"""A run folder that was damaged is refused in one line, before anything compiles, and nothing in it changes."""

import errno
import json
import os
import shutil
import sys

import jax.numpy as jnp
import killed_run
import pytest

from experiments import compare
from experiments.lab.commands import cli
from experiments.lab.commands.cli import BadInput
from experiments.lab.recording import book, checkpoints, manifest, records
from experiments.lab.running import launch, runner
from experiments.lab.running.programs import Trials


class Stop(BaseException):
    """Ends a run at once."""


def stop(*_):
    raise Stop


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A folder with two checkpoints' worth of progress."""
    folder = tmp_path_factory.mktemp("runs") / "begun"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(book, "CHECKPOINT_SECONDS", 0.0)
        patch.setattr(runner, "CHUNK_SECONDS", 0.0)
        patch.setattr(runner, "EVALUATION_SECONDS", 1e6)  # else a busy machine saves thrice before there is a curve
        for module, function, _ in killed_run.MOMENTS.values():
            patch.setattr(module, function, getattr(module, function))
        killed_run.at("commit:3", stop)
        with pytest.raises(Stop):
            killed_run.go(folder)
    return folder


@pytest.fixture
def folder(begun, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "compile_programs", stop)
    return shutil.copytree(begun, tmp_path / "run")


def contents(folder):
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}
    return {str(path.relative_to(folder)): content for path, content in files.items()}


def assert_refused(folder, said):
    """Going on is refused in one line that says `said`, and no byte in the folder changes."""
    before = contents(folder)
    with pytest.raises(BadInput) as told:
        killed_run.go(folder) if (folder / "progress.json").exists() else launch.resume(
            launch.to_resume(folder), folder
        )
    assert said in str(told.value) and "\n" not in str(told.value), told.value
    assert contents(folder) == before


def checkpoint(folder):
    (path,) = (
        path for path in (folder / "checkpoints").iterdir() if path.name == progress(folder)["checkpoint"]["name"]
    )
    return path


def progress(folder):
    return json.loads((folder / "progress.json").read_text())


def test_an_undamaged_folder_gets_as_far_as_compiling(folder):
    with pytest.raises(Stop):
        killed_run.go(folder)


@pytest.mark.parametrize("damage", ["altered", "truncated", "missing"])
def test_every_file_of_a_checkpoint_is_looked_at(folder, damage):
    files = [path for path in checkpoint(folder).rglob("*") if path.is_file()]
    assert len(files) > 3
    for path in files:
        content = path.read_bytes()
        if damage == "altered":
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        elif damage == "truncated":
            path.write_bytes(content[:-1])
        else:
            path.unlink()
        assert_refused(folder, str(path.relative_to(checkpoint(folder))))
        path.write_bytes(content)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", "\ufffd", '{"a": "\x00"}'])
def test_a_garbled_progress_file_is_refused(folder, content):
    (folder / "progress.json").write_text(content)
    assert_refused(folder, "progress.json is damaged")


@pytest.mark.parametrize(
    ("field", "value"),
    [("results", []), ("curves_bytes", "many"), ("checkpoint", 3), ("checkpoint", {"name": "000002"})],
)
def test_a_progress_file_with_a_field_that_cannot_be_is_refused(folder, field, value):
    (folder / "progress.json").write_text(json.dumps({**progress(folder), field: value}))
    assert_refused(folder, "progress.json is damaged")


def test_curves_that_were_cut_are_refused(folder):
    curves = folder / "curves.csv"
    curves.write_bytes(curves.read_bytes()[: progress(folder)["curves_bytes"] - 1])
    assert_refused(folder, "curves.csv is shorter than the run had written it")
    curves.unlink()
    assert_refused(folder, "curves.csv is shorter than the run had written it")


def test_curves_that_were_altered_are_refused(folder):
    curves = folder / "curves.csv"
    curves.write_bytes(curves.read_bytes().replace(b",1,0,evaluation_return,", b",7,0,evaluation_return,", 1))
    assert_refused(folder, "curves.csv is not as the run had written it")


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (lambda content: content.update(seeds=[0, 1]), "manifest.json was changed since the run began"),
        (lambda content: content.update(evaluations=4), "manifest.json was changed since the run began"),
        (
            lambda content: content["environments"]["CartPole-v1"]["algorithms"]["dqn"]["hparams"].update(gamma=0.5),
            "manifest.json was changed since the run began",
        ),
        (
            lambda content: content["environments"]["CartPole-v1"]["algorithms"]["dqn"].update(algorithm="algos.none"),
            "manifest.json does not fit this version",
        ),
        (lambda content: content.pop("steps"), "manifest.json does not fit this version: KeyError: 'steps'"),
        (lambda content: content.pop("sources"), "manifest.json cannot be read"),
        (lambda content: content.update(environments=3), "manifest.json cannot be read"),
    ],
)
def test_an_altered_manifest_is_refused(folder, alter, said):
    content = manifest.read_manifest(folder)
    alter(content)
    (folder / "manifest.json").write_text(json.dumps(content))
    assert_refused(folder, said)


def altered_checkpoint(folder, monkeypatch):
    path = next(path for path in checkpoint(folder).rglob("*") if path.is_file())
    path.write_bytes(path.read_bytes() + b"x")
    return folder


def of_another_experiment(folder, monkeypatch):
    (folder / "progress.json").write_text(json.dumps({**progress(folder), "settings": "0" * 64}))
    return folder


def no_room(folder, monkeypatch):
    def write(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(records, "cut_curves", write)
    return folder


def read_only(folder, monkeypatch):
    def acquire(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(folder / ".lock"))

    monkeypatch.setattr(launch.FileLock, "acquire", acquire)
    return folder


def no_run(folder, monkeypatch):
    return folder.parent


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (altered_checkpoint, "is not as it was written; run the experiment anew"),
        (of_another_experiment, "its checkpoints belong to other settings"),
        (no_room, "No space left on device; what was saved before is whole: go on with"),
        (read_only, "Read-only file system; what was saved before is whole: go on with"),
        (no_run, "is no run folder: it has no manifest.json"),
    ],
)
def test_the_command_says_it_in_one_line_of_standard_error_and_exits_with_2(folder, harm, said, monkeypatch, capsys):
    named = harm(folder, monkeypatch)
    before = contents(folder)
    monkeypatch.setattr(cli.signals, "handle", lambda handler: None)  # pytest's stay
    monkeypatch.setattr(sys, "argv", ["compare", "--resume", str(named)])
    with pytest.raises(SystemExit) as ended:
        cli.run_command(compare.Args, compare.compare, "python -m experiments.compare")
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and line.startswith("error: ") and said in line
    assert contents(folder) == before


def test_a_checkpoint_from_when_trials_were_laid_out_by_devices_is_refused(folder):
    content = progress(folder)
    content["checkpoint"]["devices"] = 3
    (folder / "progress.json").write_text(json.dumps(content))
    assert_refused(folder, "is of a version of this code that laid trials out otherwise")


def test_a_checkpoint_of_another_version_of_the_code_is_refused_in_one_line(folder):
    with pytest.raises(checkpoints.Changed, match="does not fit what this version of the code trains") as told:
        checkpoints.restore(folder, progress(folder)["checkpoint"], [Trials(jnp.zeros(2), None, jnp.zeros(3), None)])
    assert "\n" not in str(told.value)


def test_the_progress_of_another_experiment_is_refused(folder):
    (folder / "progress.json").write_text(json.dumps({**progress(folder), "settings": "0" * 64}))
    assert_refused(folder, "its checkpoints belong to other settings")


def test_folders_that_are_no_runs_are_refused(tmp_path, folder):
    assert_refused(tmp_path / "nowhere", "is no run folder: it has no manifest.json")
    (tmp_path / "empty").mkdir()
    assert_refused(tmp_path / "empty", "is no run folder: it has no manifest.json")
    (folder / "progress.json").unlink()
    assert_refused(folder, "has no progress.json: nothing of this run was saved")


def test_a_new_run_is_refused_in_a_folder_that_has_one(folder):
    before = contents(folder)
    with pytest.raises(BadInput, match="is not empty; name a new folder, nothing is ever written over"):
        launch.launch(killed_run.EXPERIMENT, folder)
    assert contents(folder) == before


def test_a_folder_that_cannot_be_written_is_told_before_anything_compiles():
    with pytest.raises(BadInput, match="^cannot write to /proc/run: .*; name a folder that can be written$"):
        launch.launch(killed_run.EXPERIMENT, checkpoints.Path("/proc/run"))


def test_a_run_whose_folder_became_read_only_is_refused_in_one_line(folder, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(13, "Permission denied", str(folder / ".lock"))

    monkeypatch.setattr(launch.FileLock, "acquire", denied)
    assert_refused(folder, f"cannot write to {folder}: Permission denied")


def test_results_that_are_not_finite_come_back_as_they_were(tmp_path):
    (tmp_path / "manifest.json").touch()
    results = {"CartPole-v1": {"a2c": {"iqm": float("nan"), "final_values": [1.0, float("nan")], "diverged_seeds": []}}}
    checkpoints.commit(tmp_path, killed_run.EXPERIMENT, results)
    assert repr(checkpoints.read(tmp_path, killed_run.EXPERIMENT)["results"]) == repr(results)
