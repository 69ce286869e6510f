"""TensorBoard's event files, read back."""

import csv
import importlib.util

import pytest
from tfevents import scalars

from experiments.lab.commands.cli import BadInput
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.definition.settings import contender
from experiments.lab.recording import tensorboard
from experiments.lab.recording.records import append_curves, cut_curves
from experiments.lab.running.launch import launch
from experiments.lab.running.runner import Evaluated

TASK = Task("CartPole-v1", (contender("a2c", "CartPole-v1", 100),))


def evaluated(env_steps, **metrics):
    """Returns an evaluation; metrics: {seed: value}."""
    rows = [(seed, env_steps, metric, value) for metric, values in metrics.items() for seed, value in values.items()]
    return Evaluated(TASK, TASK.contenders, TASK.contenders[0], 0.0, rows)


EVALUATIONS = [
    evaluated(0, evaluation_return={0: 10.0, 1: 20.0}),
    evaluated(50, evaluation_return={0: 30.0, 1: 50.0}, training_return={1: 7.5}, loss={0: 0.25, 1: float("nan")}),
]


@pytest.fixture
def folder(tmp_path):
    tensorboard.start(tmp_path, True)
    for event in EVALUATIONS:
        append_curves(tmp_path, event)
        tensorboard.append(tmp_path, event)
    return tmp_path


def test_every_seed_is_a_run_with_each_metric_at_its_number_of_environment_steps(folder):
    assert scalars(tensorboard.run_of(folder, "CartPole-v1", "a2c", "seed-0")) == {
        (0, "evaluation_return"): 10.0,
        (50, "evaluation_return"): 30.0,
        (50, "loss"): 0.25,
    }
    assert scalars(tensorboard.run_of(folder, "CartPole-v1", "a2c", "seed-1"))[50, "training_return"] == 7.5
    runs = {path.parent.name for path in (folder / "tensorboard" / "CartPole-v1" / "a2c").glob("*/*tfevents*")}
    assert runs == {"seed-0", "seed-1", "mean"}


def test_the_mean_is_that_of_metrics_that_every_seed_has_and_not_finite_where_one_is_not(folder):
    found = scalars(tensorboard.run_of(folder, "CartPole-v1", "a2c", "mean"))
    assert found.pop((50, "loss")) != 0.25
    assert found == {(0, "evaluation_return"): 15.0, (50, "evaluation_return"): 40.0}


def test_a_single_seed_has_no_mean(tmp_path):
    tensorboard.start(tmp_path, True)
    tensorboard.append(tmp_path, evaluated(0, evaluation_return={3: 1.0}))
    assert [path.parent.name for path in tmp_path.rglob("*tfevents*")] == ["seed-3"]


def test_nothing_is_written_that_was_not_asked_for(tmp_path):
    tensorboard.start(tmp_path, False)
    tensorboard.append(tmp_path, EVALUATIONS[0])
    tensorboard.rewrite(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_run_that_goes_on_has_no_step_twice_and_none_that_its_curves_lack(folder):
    size = (folder / "curves.csv").stat().st_size
    lost = evaluated(100, evaluation_return={0: 1.0, 1: 1.0})
    append_curves(folder, lost)
    tensorboard.append(folder, lost)
    cut_curves(folder, size)
    tensorboard.rewrite(folder)
    again = evaluated(100, evaluation_return={0: 60.0, 1: 70.0})
    append_curves(folder, again)
    tensorboard.append(folder, again)
    with (folder / "curves.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for seed in (0, 1):
        expected = {(int(r["env_steps"]), r["metric"]) for r in rows if int(r["seed"]) == seed}
        found = scalars(tensorboard.run_of(folder, "CartPole-v1", "a2c", f"seed-{seed}"))
        assert set(found) == expected and found[100, "evaluation_return"] == 60.0 + 10.0 * seed


def test_a_name_that_no_folder_can_have_is_written_otherwise(tmp_path):
    path = tensorboard.run_of(tmp_path, "A/B", "ppo learning_rate=0.001", "mean")
    assert path.relative_to(tmp_path).parts[:4] == ("tensorboard", "A%2FB", "ppo learning_rate=0.001", "mean")


def test_a_missing_package_is_one_line_before_there_is_a_run_folder(tmp_path, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorboardX" else real(name))
    with pytest.raises(BadInput, match="^--tensorboard needs .*: pip install tensorboardX$"):
        launch(Experiment((TASK,), (0,), 100), tmp_path / "run", tensorboard=True)
    assert not (tmp_path / "run").exists()
