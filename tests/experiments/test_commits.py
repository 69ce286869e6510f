"""Which commit a manifest says the code is of."""

import re
import subprocess
import sys
from datetime import datetime

import killed_run
import pytest

from experiments.lab.recording import commits, manifest
from experiments.lab.recording.commits import commit_of

UNKNOWN = {"commit": None, "dirty": None}


def git(folder, *words):
    name = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    run = subprocess.run(["git", *name, *words], cwd=folder, capture_output=True, text=True, check=True)
    return run.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """A user's repository with a loss, and what is installed beside it left out."""
    folder = tmp_path / "théorie"
    (folder / "venv" / "algos").mkdir(parents=True)
    (folder / "venv" / "algos" / "ppo.py").write_text("")
    (folder / ".gitignore").write_text("venv\n")
    (folder / "loss.py").write_text("first")
    git(tmp_path, "init", "-q", str(folder))
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


def test_code_installed_inside_anothers_repository_has_no_commit(repository):
    assert commit_of(repository / "venv", commits.OURS) == UNKNOWN


def test_code_in_no_repository_has_no_commit(tmp_path):
    assert commit_of(tmp_path, commits.OURS) == UNKNOWN and commits.of_files([tmp_path / "loss.py"]) == {}


def test_code_in_a_repository_has_its_commit_and_whether_it_was_changed(repository):
    head = {"commit": git(repository, "rev-parse", "HEAD")}
    assert commit_of(repository, ["loss.py"]) == head | {"dirty": False}
    (repository / "notes.txt").write_text("no code")
    assert commit_of(repository, ["loss.py"]) == head | {"dirty": False}
    (repository / "loss.py").write_text("second")
    assert commit_of(repository, ["loss.py"]) == head | {"dirty": True}


def test_the_settings_of_a_hook_of_git_lead_nowhere_else(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert commit_of(repository, ["loss.py"])["commit"]


def test_users_files_have_the_commit_of_their_own_repository(repository, tmp_path):
    outside, beside = tmp_path / "loss.py", repository / "venv" / "more.py"
    outside.write_text("")
    beside.write_text("")
    head = git(repository, "rev-parse", "HEAD")
    assert commits.of_files([outside, repository / "loss.py"]) == {str(repository): {"commit": head, "dirty": False}}
    # A neighbour that git leaves alone is in no commit.
    assert commits.of_files([beside, repository / "loss.py"])[str(repository)]["dirty"]


def test_the_experiment_file_is_the_one_that_was_started_and_no_program(monkeypatch, tmp_path):
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "__spec__", None)
    for file, own in ((tmp_path / "mine.py", True), (tmp_path / "bin" / "evenhand", False)):
        monkeypatch.setattr(main, "__file__", str(file), raising=False)
        assert commits.experiment_file() == ([file] if own else [])
    monkeypatch.delattr(main, "__file__")  # a notebook
    assert commits.experiment_file() == []


def test_the_manifest_has_the_day_and_the_commits(tmp_path):
    manifest.write_manifest(tmp_path, killed_run.EXPERIMENT, "")
    content = manifest.read_manifest(tmp_path)
    assert abs((datetime.now().astimezone() - datetime.fromisoformat(content["date"])).total_seconds()) < 60
    assert content["users_git"] == commits.of_files(commits.experiment_file())
    commit = content["git"]["commit"]
    assert commit is None or re.fullmatch("[0-9a-f]{40}", commit)
