"""The code that a run folder keeps is run only where it is one's own, or after a yes."""

import builtins
import dataclasses
import json
import os
import sys

import killed_run
import pytest

from experiments import watch
from experiments.lab.commands.cli import BadInput
from experiments.lab.definition import contenders
from experiments.lab.definition.experiment import Task
from experiments.lab.recording import kept_code, manifest
from experiments.lab.running import launch

LOSS = """
from pathlib import Path
from algos import ppo

Path(__file__).with_name("was run").touch()


def mine(params, apply, batch, hparams: ppo.HParams):
    return ppo.loss(params, apply, batch, hparams)
"""
TOLD = r"was made by .* on .* and holds code of theirs, to be run as yours: code/.*/losses.py"


@pytest.fixture
def folder(tmp_path):
    """A run folder of one's own with a loss in it, which nothing has loaded from there."""
    source, folder = tmp_path / "losses.py", tmp_path / "run"
    source.write_text(LOSS)
    folder.mkdir()
    own = contenders.own_loss(f"{source}:mine", "CartPole-v1", 1000)
    own = dataclasses.replace(killed_run.EXPERIMENT, tasks=(Task("CartPole-v1", (own,)),))
    manifest.write_manifest(folder, own, "")
    return folder


def was_run(folder):
    return any(folder.rglob("was run"))


def edit(folder, change):
    content = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    change(content)
    (folder / "manifest.json").write_text(json.dumps(content), encoding="utf-8")


def of_another_machine(folder, patch):
    patch.setattr(kept_code, "_machine_id", lambda: "another")


def of_another_user(folder, patch):
    patch.setattr(kept_code, "_uid", lambda: -1)


def copied_from_another_user(folder, patch):
    with patch.context() as as_another:
        as_another.setattr(kept_code, "_uid", lambda: -1)
        maker = kept_code.made_by(folder, manifest.read_manifest(folder))
    edit(folder, lambda content: content.update(made_by=maker))


def of_nobody(folder, patch):
    edit(folder, lambda content: content.pop("made_by"))


def with_a_file_more(folder, patch):
    (next(folder.rglob("losses.py")).parent / "json.py").touch()


MAKERS = [of_another_machine, of_another_user, copied_from_another_user, of_nobody, with_a_file_more]


def test_ones_own_code_is_run_without_a_question(folder):
    launch.to_resume(folder)
    assert was_run(folder)


@pytest.mark.parametrize("change", MAKERS)
def test_anothers_code_is_named_in_one_line_and_not_run(folder, change, monkeypatch):
    change(folder, monkeypatch)
    show = watch.Args(folder)
    for command in (lambda: launch.to_resume(folder), lambda: watch.chosen(show)):
        with pytest.raises(BadInput, match=f"{TOLD}.*; read it, then give --trust") as error:
            command()
        assert "\n" not in str(error.value) and not was_run(folder)


def test_a_folder_that_another_user_owns_is_anothers_whatever_it_says(folder, monkeypatch):
    kept = kept_code.code(folder, manifest.read_manifest(folder))
    mark = kept_code._mark(kept)
    monkeypatch.setattr(kept_code, "_mark", lambda kept: mark)
    monkeypatch.setattr(kept_code, "_uid", lambda: os.stat(folder).st_uid + 1)
    with pytest.raises(BadInput, match=TOLD):
        launch.to_resume(folder)


def test_with_trust_anothers_code_is_named_and_run(folder, monkeypatch, capsys):
    of_another_machine(folder, monkeypatch)
    launch.to_resume(folder, trust=True)
    assert "code of theirs, to be run as yours: code/" in capsys.readouterr().out and was_run(folder)


@pytest.mark.parametrize(("answer", "runs"), [("y", True), ("Yes ", True), ("", False), ("n", False)])
def test_in_a_terminal_a_yes_is_typed(folder, answer, runs, monkeypatch):
    of_another_machine(folder, monkeypatch)
    monkeypatch.setattr(kept_code, "_is_terminal", lambda stream: True)
    monkeypatch.setattr(builtins, "input", lambda question: answer)
    if runs:
        launch.to_resume(folder)
    else:
        with pytest.raises(BadInput, match="^nothing was run$"):
            launch.to_resume(folder)
    assert was_run(folder) == runs


def test_a_folder_without_code_needs_no_question(tmp_path, monkeypatch):
    manifest.write_manifest(tmp_path, killed_run.EXPERIMENT, "")
    of_another_machine(tmp_path, monkeypatch)
    assert launch.to_resume(tmp_path) == killed_run.EXPERIMENT


@pytest.mark.parametrize("where", ["payload", "/../../payload.py"])
def test_modules_and_files_outside_the_folder_are_named_too(tmp_path, where, monkeypatch):
    manifest.write_manifest(tmp_path, killed_run.EXPERIMENT, "")
    monkeypatch.setitem(sys.modules, "payload", None)

    def name(content):
        content["environments"]["CartPole-v1"]["algorithms"]["dqn"]["loss"] = f"{where}:loss"

    edit(tmp_path, name)
    with pytest.raises(BadInput, match="payload.*; read it, then give --trust"):
        launch.to_resume(tmp_path)
