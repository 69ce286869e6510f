"""A loss in a file outside the repository, on its way through compare, Ctrl-C, --resume, rerun and report."""

import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from io import StringIO

import pandas as pd
import pytest
from rich.console import Console
from tfevents import scalars

from experiments.compare import Args, compare, experiment_of
from experiments.lab.outside.loss_trace import own_loss
from experiments.lab.recording import run_folder
from experiments.lab.recording import tensorboard as event_files
from experiments.lab.recording.records import append_curves
from experiments.lab.running import conclusion, launch
from experiments.lab.running.runner import Evaluated

LOSSES = """
import jax.numpy as jnp

from algos.core.losses import mean
from parts_of_mine import HParams, network
from values_of_mine import value_part

def spo(params, apply, batch, hparams: HParams):
    policy, value = apply(params, batch.observation)
    ratio = jnp.exp(policy.log_prob(batch.action) - batch.log_prob)
    parabola = jnp.abs(batch.advantage) / (2.0 * hparams.eps) * (ratio - 1.0) ** 2
    loss = parabola - ratio * batch.advantage + hparams.value_coef * value_part(value, batch.value_target)
    return mean(loss, batch.mask), {"ratio": mean(ratio, batch.mask)}

spo.network = network
"""
PARTS = """
from flax import struct

from algos import ppo
from algos.core.networks import actor_critic

@struct.dataclass
class HParams(ppo.HParams):
    eps: float = 0.25

def network(env, config):
    return actor_critic(env, (4,))
"""
VALUES = """
from algos.core.losses import squared

def value_part(value, target):
    return squared(value - target)
"""
FILES = {"losses_outside.py": LOSSES, "parts_of_mine.py": PARTS, "values_of_mine.py": VALUES}
SMALL = ("all.num_envs=2", "all.num_steps=8", "all.num_epochs=1", "all.num_minibatches=1", "ppo.hidden_sizes=(4,)")


def python(*arguments):
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


NAN = """
from algos import a2c

def spo(params, apply, batch, hparams: a2c.HParams):
    loss, metrics = a2c.loss(params, apply, batch, hparams)
    return loss * float("nan"), metrics
"""


@contextmanager
def ctrl_c_when(condition):
    yield lambda: signal.SIGINT if condition() else 0


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """Returns the folder of the user's files and the run folder, the run stopped while it trains the user's loss."""
    mine, run = tmp_path_factory.mktemp("mine"), tmp_path_factory.mktemp("runs") / "run"
    for name, text in FILES.items():
        (mine / name).write_text(text)
    curves = run / "curves.csv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            launch, "asked_to_stop", lambda: ctrl_c_when(lambda: curves.exists() and ",spo," in curves.read_text())
        )
        algos = ("ppo", f"{mine / 'losses_outside.py'}:spo")
        args = Args(
            algos=algos, seeds=2, steps=320, evaluations=4, eval_episodes=2, set=SMALL, tensorboard=True, out=run
        )
        assert compare(args) == 130
    return mine, run


@pytest.fixture(scope="module")
def resumed(outside):
    """Returns the run folder, the run resumed as after a kill, the loss changed and its neighbours deleted since."""
    mine, run = outside
    (task,) = launch.to_resume(run).tasks
    (mine / "losses_outside.py").write_text("this is no Python any more")
    for name in ("parts_of_mine.py", "values_of_mine.py"):
        (mine / name).unlink()
    lost = Evaluated(task, task.contenders[1:], task.contenders[1], 0.0, [(0, 80, "evaluation_return", -1.0)])
    append_curves(run, lost)  # what a killed run wrote after it was saved last
    event_files.append(run, lost)
    done = python("experiments.compare", "--resume", run)
    assert done.returncode == 0, done.stderr
    return run


def test_the_run_folder_keeps_the_users_file_and_what_it_imports(outside):
    mine, run = outside
    manifest = json.loads((run / "manifest.json").read_text())
    assert sorted(manifest["sources"]) == [str(mine / name) for name in FILES]
    kept = {path.name: path.read_text() for path in (run / "code").rglob("*.py")}
    assert kept == FILES
    spo = manifest["environments"]["CartPole-v1"]["algorithms"]["spo"]
    assert spo["hparams"]["eps"] == 0.25 and spo["parent"] == "ppo"


def test_a_run_goes_on_from_its_own_copies_and_finishes(resumed):
    summary = json.loads((resumed / "summary.json").read_text())
    assert not summary["interrupted"]
    found = summary["environments"]["CartPole-v1"]
    assert list(found["algorithms"]) == ["ppo", "spo"] and found["verdicts"][0].startswith("spo against ppo")
    curves = pd.read_csv(resumed / "curves.csv")
    assert not curves.duplicated(["algorithm", "seed", "env_steps", "metric"]).any()
    assert set(curves[curves.metric == "ratio"].algorithm) == {"spo"}


def test_the_event_files_of_a_resumed_run_have_what_its_curves_have_once(resumed):
    for (name, seed), rows in pd.read_csv(resumed / "curves.csv").groupby(["algorithm", "seed"]):
        found = scalars(event_files.run_of(resumed, "CartPole-v1", name, f"seed-{seed}"))
        assert found == pytest.approx(dict(zip(zip(rows.env_steps, rows.metric), rows.value)), rel=1e-6)


def test_a_rerun_gives_the_same_bits_without_the_users_files(resumed):
    done = python("experiments.rerun", resumed, "--out", resumed.parent / "again")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the same bit for bit" in done.stdout.strip().splitlines()[-1]
    assert run_folder.read(resumed.parent / "again").summary["environments"]["CartPole-v1"]["algorithms"]["spo"]


def test_the_report_shows_the_loss_against_its_parent_first(resumed):
    done = python("experiments.report", resumed, "--out", resumed.parent / "report.html")
    assert done.returncode == 0, done.stderr
    text = (resumed.parent / "report.html").read_text()
    assert 0 < text.index("spo against ppo") < text.index("<svg")


@pytest.mark.parametrize(("edit", "word"), [("gone", "is gone"), ("changed", "was changed")])
def test_a_copy_that_is_gone_or_changed_is_one_line_and_changes_nothing(resumed, edit, word):
    (kept,) = (resumed / "code").rglob("values_of_mine.py")
    before = (resumed / "curves.csv").read_bytes()
    try:
        kept.write_text(VALUES + "#") if edit == "changed" else kept.unlink()
        with pytest.raises(launch.BadInput) as refused:
            launch.to_resume(resumed)
    finally:
        kept.write_text(VALUES)
    assert str(kept) in str(refused.value) and word in str(refused.value)
    assert (resumed / "curves.csv").read_bytes() == before


def test_a_loss_that_diverges_is_reported_with_its_seeds_and_its_place(tmp_path):
    path = tmp_path / "losses_nan.py"
    path.write_text(NAN)
    experiment = experiment_of(Args(algos=("a2c", f"{path}:spo"), seeds=3))
    line = next(number for number, text in enumerate(path.read_text().splitlines(), 1) if text.startswith("def spo"))
    figures = {"iqm": 9.0, "ci95": [9.0, 9.0], "mean": 9.0, "final_values": [9.0, 9.0, 9.0], "env_steps": 8,
               "compile_seconds": 1.0, "run_seconds": 1.0, "steps_per_second": 24.0}  # fmt: skip
    results = {"CartPole-v1": {"a2c": figures | {"diverged_seeds": []}, "spo": figures | {"diverged_seeds": [0, 2]}}}
    output = StringIO()
    (tmp_path / "manifest.json").write_text('{"environments": {}, "sources": {}}')
    conclusion.conclude(experiment, tmp_path, results, False, Console(file=output, width=60))
    said = f"spo: diverged (parameters or return not finite) under seeds 0, 2, so no IQM; its loss is at {path}:{line}"
    assert said in output.getvalue().splitlines()
    assert own_loss(experiment, "CartPole-v1", "a2c") == ""
