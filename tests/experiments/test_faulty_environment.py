"""An environment that gives what is not finite is named, at the first evaluation, and not the algorithm; work that never
ends is cut short by a signal."""

import json
import math
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax.numpy as jnp
import pytest
from rich.console import Console

from algos import a2c
from experiments.lab.definition.experiment import Contender, Experiment, Task
from experiments.lab.outside.user_env import load_factory
from experiments.lab.recording import book, records, run_folder
from experiments.lab.running import conclusion, runner
from experiments.lab.running.chunks import interruptible
from experiments.lab.showing import screen
from experiments.lab.showing.report.provenance import cautions

WRONG = Path(__file__).with_name("wrong_envs.py")
SMALL = a2c.Config(num_envs=2, num_steps=16, hidden_sizes=(4,))


def experiment(name, loss=None):
    contender = Contender("a2c", a2c, SMALL, a2c.HParams(), loss=loss)
    task = Task(name, (contender,), factory=load_factory(f"{WRONG}:{name}"))
    return Experiment((task,), (3, 4), 64, evaluations=2, eval_episodes=2, width=1)


def poisoned(params, apply, batch, hparams: a2c.HParams):
    loss, metrics = a2c.loss(params, apply, batch, hparams)
    return loss * jnp.nan, metrics


@pytest.fixture(scope="module")
def faulty():
    """(the experiment, its events) on an environment that gives an infinite observation, evaluated step by step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "EVALUATION_SECONDS", 0.0)
        return experiment("infinite_observation"), list(runner.run(experiment("infinite_observation")))


def test_the_first_evaluation_says_so_before_anything_is_trained(faulty):
    first = next(event for event in faulty[1] if isinstance(event, runner.Evaluated))
    assert [row[:3] for row in first.rows if row[2] == runner.FAULTS] == [(seed, 0, runner.FAULTS) for seed in (3, 4)]


def test_training_says_so_too_and_the_end_names_the_seeds(faulty):
    last = [event for event in faulty[1] if isinstance(event, runner.Evaluated)][-1]
    assert {row[0]: row[3] >= 2 for row in last.rows if row[2] == runner.FAULTS} == {3: True, 4: True}
    assert all(
        math.isnan(row[3]) for row in last.rows if row[2] == "evaluation_return"
    )  # no policy is left to evaluate
    assert faulty[1][-1].faulty == [3, 4]


def test_the_host_looks_between_the_steps_of_an_evaluation(faulty):
    events = faulty[1]
    first = next(index for index, event in enumerate(events) if isinstance(event, runner.Evaluated))
    looks = [event for event in events[:first] if isinstance(event, runner.Progress)]
    assert len(looks) > 5 and looks[0].share == 0.0
    assert looks[0].position.evaluations == len([e for e in events if isinstance(e, runner.Evaluated)])  # one object


def test_parameters_that_are_not_finite_are_not_the_environments_fault():
    events = list(runner.run(experiment("rewards_its_action", poisoned)))
    assert events[-1].diverged == [3, 4] and list(events[-1].faulty) == []


def test_the_screen_says_it_once_and_the_end_says_it_in_place_of_divergence(faulty, capsys):
    shown = screen.shown(iter(faulty[1]), faulty[0], Console(width=500))
    assert list(shown) == faulty[1]
    told = [line for line in capsys.readouterr().out.splitlines() if "not finite, for finite actions" in line]
    (line,) = told
    assert line.startswith(
        "after 0 environment steps a2c: infinite_observation gave rewards or observations that are not"
    )
    assert "under seeds 3, 4: a fault of the environment, not of the algorithm or its settings" in line
    figures = {"faulty_seeds": [3], "diverged_seeds": [3, 4]}
    lines = list(conclusion.not_finite(faulty[0], "infinite_observation", "a2c", figures))
    assert (
        lines[0].startswith("a2c: infinite_observation gave")
        and "under seeds 3: a fault of the environment" in lines[0]
    )
    assert lines[1:] == ["a2c: diverged (parameters or return not finite) under seeds 4, so no IQM"]


def test_summary_and_report_name_the_environment(faulty, tmp_path):
    one, events = faulty
    figures = records.figures(events[-1])
    assert figures["faulty_seeds"] == [3, 4]
    found = {"environments": {"E": {"algorithms": {"a2c": json.loads(json.dumps(figures))}}}}
    manifest = {"seeds": [3, 4], "steps": 64, "environments": {"E": {"algorithms": {"a2c": {}}}}}
    folder = run_folder.Folder(tmp_path, manifest, found, run_folder._read_curves(tmp_path / "none"))
    lines = cautions([folder], run_folder.join([folder]))
    assert any(
        "environment gave rewards or observations that are not finite" in line
        and "a2c on E in 2 of 2 seeds (seed 3, 4)" in line
        for line in lines
    )


def test_work_that_goes_on_and_on_after_a_signal_is_ended(monkeypatch):
    monkeypatch.setattr(book, "PATIENCE_SECONDS", 0.2)
    done, ended = threading.Event(), []

    def end(number, frame):
        ended.append(number)
        done.set()

    began = time.monotonic()
    assert interruptible(lambda: done.wait(20.0), book.patience(lambda: signal.SIGTERM, end))
    assert ended == [signal.SIGTERM] and 0.2 < time.monotonic() - began < 10.0
    done.clear()
    with pytest.raises(ZeroDivisionError):
        interruptible(lambda: 1 / 0, book.patience(lambda: 0, end))


@pytest.mark.slow
def test_a_step_that_never_returns_is_ended_by_a_signal_within_seconds(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import jax.numpy as jnp\nfrom jax import lax\nfrom envs import Discrete, Env, TimeStep\n\n"
        "def hopeless():\n"
        "    def step(key, state, action):\n"
        "        x = lax.while_loop(lambda x: x < 2.0, jnp.sin, state)\n"
        "        return state, TimeStep(jnp.ones(2) * x, 1.0, False, False)\n\n"
        "    return Env('hopeless', lambda key: (jnp.float32(0.5), jnp.zeros(2)), step, (2,), Discrete(2), 50)\n"
    )
    command = "-m experiments.compare --env mine.py:hopeless --algos a2c --seeds 1 --steps 2000 --out run".split()
    process = subprocess.Popen([sys.executable, *command], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(60.0)
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143 and time.monotonic() - began < 15.0
    assert errors.decode().startswith("interrupted at once: what was saved before is kept; go on with ")
