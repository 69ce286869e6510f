"""A run that was cut anywhere and resumed is the run that was never cut."""

import dataclasses
import errno
import json
import os
import shutil
import signal
import subprocess
import sys

import jax.numpy as jnp
import killed_run
import numpy as np
import pytest
from filelock import FileLock
from flax import struct

from algos import a2c
from experiments.compare import Args, compare
from experiments.lab.commands.cli import BadInput
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.recording import book, checkpoints, records
from experiments.lab.running import conclusion, runner

NEVER = 1e9


class Killed(BaseException):
    """The end of a process, as far as its files can tell: nothing of ours catches it."""


def kill():
    raise Killed


@pytest.fixture(scope="module", autouse=True)
def one_update_a_chunk():
    """No pictures and no report: they take longer than the runs and are read from what is compared here."""
    with pytest.MonkeyPatch.context() as patch:
        killed_run.lighten(patch)
        patch.setattr(runner, "CHUNK_SECONDS", 0.0)
        yield


@pytest.fixture(scope="module")
def uncut(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "uncut"
    assert killed_run.go(folder) == 0
    return folder


def cut(folder, moment, end, monkeypatch, save_every=0.0):
    """Runs the experiment into the folder, or goes on with it, until `end` is called at the moment."""
    with monkeypatch.context() as patch:
        patch.setattr(book, "CHECKPOINT_SECONDS", save_every)
        for module, function in {killed_run.MOMENTS[moment.split(":")[0]][:2]}:
            patch.setattr(module, function, getattr(module, function))  # put back what `at` replaces
        killed_run.at(moment, end)
        killed_run.go(folder)


# a2c is saved whenever one of its 42 pieces is done, an update of a block: 21 times or more on two cores. The rest are dqn's.
@pytest.mark.parametrize(
    ("moment", "save_every"),
    [(moment, 0.0) for moment in ("commit:1", "append:1", "save:1", "commit:2", "save:2", "write:4", "append:5", "save:18")]
    + [("policies:1", NEVER), ("policies:2", NEVER), ("policies:3", NEVER)],
)  # fmt: skip
def test_a_kill_at_any_write_leaves_a_folder_that_goes_on_to_the_same_bits(
    moment, save_every, uncut, tmp_path, monkeypatch
):
    with pytest.raises(Killed):
        cut(tmp_path / "run", moment, kill, monkeypatch, save_every)
    assert killed_run.go(tmp_path / "run") == 0
    assert killed_run.outcome(tmp_path / "run") == killed_run.outcome(uncut)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_run_killed_again_and_again_goes_on_to_the_same_bits(uncut, tmp_path, monkeypatch):
    for moment in ("save:3", "append:1", "commit:3"):
        with pytest.raises(Killed):
            cut(tmp_path / "run", moment, kill, monkeypatch)
    assert killed_run.go(tmp_path / "run") == 0
    assert killed_run.outcome(tmp_path / "run") == killed_run.outcome(uncut)


def test_the_checkpoint_before_is_deleted_only_after_the_commit_of_the_next(tmp_path, monkeypatch):
    with pytest.raises(Killed):
        cut(tmp_path / "run", "commit:4", kill, monkeypatch)
    assert {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()} == {"000002", "000003"}
    assert json.loads((tmp_path / "run" / "progress.json").read_text())["checkpoint"]["name"] == "000003"


def test_ctrl_c_saves_says_how_to_go_on_and_loses_nothing(uncut, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"
    cut(folder, "append:3", lambda: os.kill(os.getpid(), signal.SIGINT), monkeypatch, NEVER)
    assert f"--resume {folder}" in capsys.readouterr().out
    assert json.loads((folder / "summary.json").read_text())["interrupted"]
    assert json.loads((folder / "progress.json").read_text())["checkpoint"]["updates"][0] > 0
    assert killed_run.go(folder) == 0
    assert killed_run.outcome(folder) == killed_run.outcome(uncut)


def test_ctrl_c_after_the_last_update_does_not_call_a_finished_run_interrupted(uncut, tmp_path, monkeypatch):
    cut(tmp_path / "run", "policies:3", lambda: os.kill(os.getpid(), signal.SIGINT), monkeypatch, NEVER)
    assert killed_run.outcome(tmp_path / "run") == killed_run.outcome(uncut)


def full():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("moment", "save_every"), [("append:2", 0.0), ("save:3", 0.0), ("write:3", 0.0), ("policies:1", NEVER)]
)
def test_a_full_disk_is_told_in_one_line_and_the_run_goes_on_when_there_is_room(
    moment, save_every, uncut, tmp_path, monkeypatch
):
    folder = tmp_path / "run"
    with pytest.raises(BadInput) as told:
        cut(folder, moment, full, monkeypatch, save_every)
    assert str(told.value) == (
        f"cannot write to {folder}: No space left on device; what was saved before is whole: "
        f"go on with python -m experiments.compare --resume {folder}"
    )
    assert killed_run.go(folder) == 0
    assert killed_run.outcome(folder) == killed_run.outcome(uncut)


@pytest.mark.parametrize("function", ["write_json", "plots.draw_curves"])
def test_a_disk_that_is_full_at_the_very_end_is_told_in_one_line_and_only_the_end_is_done_again(
    function, uncut, tmp_path, monkeypatch, capsys
):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(BadInput, match="No space left on device.* go on with"):
        patch.setattr(f"{conclusion.__name__}.{function}", lambda *_: full())
        killed_run.go(folder)
    assert killed_run.go(folder) == 0
    assert "finished before" in capsys.readouterr().out
    assert killed_run.outcome(folder) == killed_run.outcome(uncut)


def test_a_checkpoint_that_the_disk_has_no_room_for_is_an_os_error_and_leaves_nothing_behind(tmp_path):
    """RLIMIT_FSIZE stands for the full disk: orbax writes through C++, which no monkeypatch reaches. Its threads fail for
    a while after the first of many arrays has."""
    script = (
        "import resource, sys, pathlib, time\n"
        "from experiments.lab.running import runner\n"
        "from experiments.lab.recording import checkpoints\n"
        "import jax.numpy as jnp, numpy as np\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "noise = np.random.default_rng(0).normal(size=(100, 200))\n"
        "position = runner.Position([jnp.asarray(noise + index) for index in range(60)], [0], [0])\n"
        "try:\n"
        "    checkpoints.save(pathlib.Path(sys.argv[1]), None, (), position)\n"
        "except OSError as error:\n"
        "    print(error.errno, list(pathlib.Path(sys.argv[1], 'checkpoints').iterdir()))\n"
        "time.sleep(0.5)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == f"{errno.EFBIG} []", done.stderr
    assert "Traceback" not in done.stderr


def test_resuming_a_finished_run_says_so_and_changes_no_result(uncut, tmp_path, capsys):
    folder = shutil.copytree(uncut, tmp_path / "run")
    before = {name: (folder / name).read_bytes() for name in ("curves.csv", "progress.json", "summary.json")}
    assert killed_run.go(folder) == 0
    assert "finished before" in capsys.readouterr().out
    assert before == {name: (folder / name).read_bytes() for name in before}


def test_a_second_process_is_refused_and_the_first_one_loses_no_row(uncut, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    with pytest.raises(Killed):
        cut(folder, "append:3", kill, monkeypatch, NEVER)
    rows = (folder / "curves.csv").read_bytes()
    assert len(rows) > json.loads((folder / "progress.json").read_text())["curves_bytes"]
    with FileLock(folder / ".lock"), pytest.raises(BadInput, match=f"another process is running {folder}$"):
        killed_run.go(folder)
    assert (folder / "curves.csv").read_bytes() == rows


def test_resume_takes_no_other_option(uncut):
    with pytest.raises(BadInput, match="^--resume takes no other option"):
        compare(Args(resume=uncut, steps=7))


@struct.dataclass
class Poisoned(a2c.HParams):
    """A class of its own, for programs of its own."""


def test_a_diverged_contender_is_marked_the_others_go_on_and_the_verdict_counts_it_as_worst(tmp_path):
    def loss(params, apply, batch, hparams):
        value, metrics = a2c.loss(params, apply, batch, hparams)
        return value * jnp.where(hparams.learning_rate == jnp.float32(0.5), jnp.nan, 1.0), metrics

    well = dataclasses.replace(killed_run.CONTENDERS[0], loss=loss, hparams=Poisoned())
    ill = dataclasses.replace(well, name="ill", hparams=well.hparams.replace(learning_rate=0.5))
    experiment = Experiment((Task("CartPole-v1", (well, ill), killed_run.TASK.fields),), (0, 1, 2), 120, 3, 2, 1)
    results = {}
    for event in runner.run(experiment):
        if isinstance(event, runner.Finished):
            results.setdefault("CartPole-v1", {})[event.contender.name] = records.figures(event)
    assert [figures["diverged_seeds"] for figures in results["CartPole-v1"].values()] == [[], [0, 1, 2]]
    assert [np.isfinite(figures["iqm"]) for figures in results["CartPole-v1"].values()] == [True, False]
    (tmp_path / "manifest.json").touch()
    checkpoints.commit(tmp_path, experiment, results)
    again = checkpoints.read(tmp_path, experiment)["results"]
    assert repr(records.summarise(again, experiment)) == repr(records.summarise(results, experiment))
    (line,) = records.summarise(again, experiment)["environments"]["CartPole-v1"]["verdicts"]
    assert "ill: 3 of 3 runs diverged, counted as worst" in line
