"""The run folder that a run is given, and what its summary says of the contenders that finished."""

import csv
import threading
from datetime import datetime

import numpy as np
import pytest

import envs
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.definition.settings import contender
from experiments.lab.definition.sweeps.points import grid
from experiments.lab.judging.statistics import iqm_interval
from experiments.lab.recording import records
from experiments.lab.running.runner import Evaluated, Finished

SEEDS = tuple(range(10))
HIGH, LOW = [float(400 + seed) for seed in SEEDS], [float(100 + seed) for seed in SEEDS]


def figures_of(one, returns, diverged=()):
    """Returns what the summary says of a contender with these final returns."""
    task = Task("CartPole-v1", (one,))
    finished = Finished(task, (one,), one, final_values=returns, diverged=list(diverged),
                        env_steps=1000, compile_seconds=1.0, run_seconds=2.0, acting={})  # fmt: skip
    return records.figures(finished)


def summary(returns, diverged):
    """Returns the summary of contenders with the given final returns; diverged: the seeds that did, by name."""
    contenders = [contender(name, "CartPole-v1", 1000) for name in returns]
    task = Task("CartPole-v1", tuple(contenders))
    results = {}
    for one in contenders:
        results[one.name] = figures_of(one, returns[one.name], diverged.get(one.name, []))
    experiment = Experiment((task,), SEEDS, 1000)
    return records.summarise({"CartPole-v1": results}, experiment)["environments"]["CartPole-v1"]


@pytest.mark.parametrize(
    ("diverged", "verdict"),
    [({}, "ppo is ahead of a2c"), ({"ppo": list(SEEDS)}, "a2c is ahead of ppo")],
)
def test_the_verdict_counts_a_diverged_seed_as_the_worst_result(diverged, verdict):
    results = summary({"a2c": LOW, "ppo": HIGH}, diverged)
    assert [line[: len(verdict)] for line in results["verdicts"]] == [verdict]


def test_one_contender_has_no_verdict():
    assert summary({"ppo": HIGH}, {})["verdicts"] == []


def test_steps_per_second_count_all_seeds():
    assert summary({"ppo": HIGH}, {})["algorithms"]["ppo"]["steps_per_second"] == 10 * 1000 / 2.0


def test_runs_begun_in_the_same_second_have_folders_of_their_own(tmp_path, monkeypatch):
    class Stopped(datetime):
        @classmethod
        def now(cls):
            return cls(2026, 1, 2, 3, 4, 5)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(records, "datetime", Stopped)
    made = []
    threads = [threading.Thread(target=lambda: made.append(records.create(None, ["CartPole-v1"]))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    name = "2026-01-02-030405-CartPole-v1"
    assert sorted(path.name for path in made) == [name, *(f"{name}-{number}" for number in range(2, 9))]
    assert {path.parent for path in made} == {records.Path("runs")}


@pytest.mark.parametrize("names", [envs.ids(), ["a/b", ".."], ["é" * 300]], ids=["every", "odd", "long"])
def test_the_name_of_a_folder_fits_every_file_system(names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = records.create(None, names)
    assert folder.is_dir() and len(folder.name.encode()) < 143 and folder.parent == records.Path("runs")


def test_few_environments_are_all_named_in_the_folders_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert records.create(None, ["CartPole-v1", "Acrobot-v1"]).name.endswith("-CartPole-v1-Acrobot-v1")
    assert records.create(None, ["a", "b", "c", "d", "e"]).name.endswith("-a-b-c-and-2-more")


def test_a_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "notes").touch()
    with pytest.raises(ValueError, match="is not empty; name a new folder"):
        records.create(tmp_path, ["CartPole-v1"])


def test_the_figures_of_a_contender_are_the_statistics_of_its_final_values():
    returns = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 1000.0]
    figures = summary({"ppo": returns}, {})["algorithms"]["ppo"]
    assert (figures["mean"], figures["iqm"], figures["final_values"]) == (103.6, 4.5, returns)
    assert figures["ci95"] == [float(bound) for bound in iqm_interval(returns)]


def test_a_summary_has_who_could_be_the_best_and_where_a_new_run_would_lie():
    found = summary({"a2c": LOW, "ppo": HIGH, "dqn": [1.0] * 10}, {"dqn": [3]})
    assert found["could_be_best"] == ["ppo"] and found["best_in_words"].startswith("could be best: ppo; each other")
    ppo, dqn = (found["algorithms"][name]["new_run"] for name in ("ppo", "dqn"))
    assert (ppo["low"], ppo["high"], ppo["confidence"]) == (400.0, 409.0, 0.9) and 0.66 < ppo["share"] < 0.67
    assert dqn["low"] == -np.inf and dqn["high"] == 1.0
    assert "margin" not in found


def test_a_margin_is_in_the_summary_and_in_its_verdicts():
    contenders = [contender(name, "CartPole-v1", 1000) for name in ("a2c", "ppo")]
    task = Task("CartPole-v1", tuple(contenders))
    results = {"a2c": figures_of(contenders[0], HIGH), "ppo": figures_of(contenders[1], HIGH[5:] + HIGH[:5])}
    found = records.summarise({"CartPole-v1": results}, Experiment((task,), SEEDS, 1000), margins={"CartPole-v1": 30.0})
    found = found["environments"]["CartPole-v1"]
    assert found["margin"] == 30.0 and "no difference larger than 30; P = 0.50" in found["verdicts"][0]


def test_points_of_a_sweep_have_no_verdict_beside_what_was_not_swept():
    a2c, ppo = (contender(name, "CartPole-v1", 1000) for name in ("a2c", "ppo"))
    points = grid(ppo, gamma=(0.9, 0.99))
    results = {one.name: figures_of(one, HIGH) for one in (*points, a2c)}
    task = Task("CartPole-v1", (*points, a2c))
    found = records.summarise({"CartPole-v1": results}, Experiment((task,), SEEDS, 1000))
    assert found["environments"]["CartPole-v1"]["verdicts"] == []


def test_every_bit_of_a_float_is_read_back_from_the_curves(tmp_path):
    a2c = contender("a2c", "CartPole-v1", 1000)
    values = [1.0 / 3.0, float(np.float32(0.1)), 1e-30, -123456.789012345]
    rows = [(seed, 0, "loss", value) for seed, value in enumerate(values)]
    records.append_curves(tmp_path, Evaluated(Task("CartPole-v1", (a2c,)), (a2c,), a2c, 0.0, rows))
    with (tmp_path / "curves.csv").open(newline="") as file:
        assert [float(row["value"]) for row in csv.DictReader(file)] == values


def test_every_row_says_the_seconds_of_its_evaluation_but_not_in_a_file_that_an_earlier_version_began(tmp_path):
    a2c = contender("a2c", "CartPole-v1", 1000)
    event = Evaluated(
        Task("CartPole-v1", (a2c,)), (a2c,), a2c, 0.0, [(0, 8, "loss", 0.5), (1, 8, "loss", 1.5)], 12.34567
    )
    records.append_curves(tmp_path, event)
    lines = (tmp_path / "curves.csv").read_text().splitlines()
    assert lines[0] == "environment,algorithm,seed,env_steps,metric,value,seconds"
    assert lines[1:] == ["CartPole-v1,a2c,0,8,loss,0.5,12.346", "CartPole-v1,a2c,1,8,loss,1.5,12.346"]
    (tmp_path / "curves.csv").write_text("environment,algorithm,seed,env_steps,metric,value\n")
    records.append_curves(tmp_path, event)
    assert (tmp_path / "curves.csv").read_text().splitlines()[1] == "CartPole-v1,a2c,0,8,loss,0.5"
