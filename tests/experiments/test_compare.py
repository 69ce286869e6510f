"""The main job as a user runs it: a process of its own."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.lab.definition.experiment import Task
from experiments.lab.definition.settings import ALGORITHMS, contender
from experiments.lab.recording.files import write_json
from experiments.lab.recording.records import append_curves
from experiments.lab.running.runner import Evaluated

COMMAND = [sys.executable, "-m", "experiments.compare"]


def compare(*arguments, **options):
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=300, **options)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "one"
    done = compare("--algos", "a2c", "ppo", "--seeds", 2, "--steps", 2000, "--evaluations", 2, "--out", folder)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_a_run_ends_with_a_table_and_the_names_of_its_files(run_folder):
    folder, done = run_folder
    files = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    for word in ("IQM", "95% interval", "a2c", "ppo", *(str(folder / name) for name in files)):
        assert word in done.stdout
    pages = {"manifest.json", "curves.csv", "curves.png", "summary.json", "report.html"}
    assert files == pages | {"policies", "progress.json"}


def test_the_summary_has_every_figure_of_every_algorithm(run_folder):
    summary = json.loads((run_folder[0] / "summary.json").read_text())
    algorithms = summary["environments"]["CartPole-v1"]["algorithms"]
    assert set(algorithms) == {"a2c", "ppo"}
    (verdict,) = summary["environments"]["CartPole-v1"]["verdicts"]
    assert verdict in run_folder[1].stdout
    for figures in algorithms.values():
        assert len(figures["final_values"]) == 2
        assert figures["ci95"][0] <= figures["iqm"] <= figures["ci95"][1]
        assert figures["mean"] == pytest.approx(np.mean(figures["final_values"]))
        assert 0 < figures["env_steps"] <= 2000
        expected = 2 * figures["env_steps"] / figures["run_seconds"]
        assert figures["steps_per_second"] == pytest.approx(expected, rel=0.01)
        assert figures["compile_seconds"] > 0


def test_the_curves_end_in_the_final_values_and_keep_training_and_evaluation_apart(run_folder):
    curves = pd.read_csv(run_folder[0] / "curves.csv")
    assert list(curves) == ["environment", "algorithm", "seed", "env_steps", "metric", "value", "seconds"]
    assert {"training_return", "evaluation_return"} <= set(curves.metric)
    summary = json.loads((run_folder[0] / "summary.json").read_text())
    for name, figures in summary["environments"]["CartPole-v1"]["algorithms"].items():
        last = curves[(curves.algorithm == name) & (curves.metric == "evaluation_return")]
        last = last[last.env_steps == figures["env_steps"]].sort_values("seed")
        assert last.value.tolist() == figures["final_values"]
        seconds = curves[curves.algorithm == name].groupby("env_steps").seconds
        assert (seconds.nunique() == 1).all()  # seeds run side by side
        times = [0.0, *seconds.first(), figures["run_seconds"] + 0.001]
        assert times == sorted(times) and 0.0 < times[1] < times[-2]


def test_the_manifest_says_what_it_takes_to_run_again(run_folder):
    folder, _ = run_folder
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["command"].startswith("python -m experiments.compare --algos a2c ppo")
    assert manifest["seeds"] == [0, 1]
    ppo = manifest["environments"]["CartPole-v1"]["algorithms"]["ppo"]
    assert ppo["config"]["num_steps"] == contender("ppo", "CartPole-v1", 2000).config.num_steps
    assert ppo["hparams"]["total_steps"] == 2000.0
    assert (
        manifest["versions"]["jax"]
        and "multi_thread_eigen=false" in manifest["flags"]["options"]
        and "commit" in manifest["git"]
    )


def test_a_value_in_the_curves_reads_back_to_the_same_float(tmp_path):
    values = [0.1, 1 / 3, 1e-300, 123456789.123456789, float(np.float32(0.1)), -0.0]
    one = contender("ppo", "E", 1)
    event = Evaluated(Task("E", (one,)), (one,), one, 0.0, [(0, n, "m", v) for n, v in enumerate(values)])
    append_curves(tmp_path, event)
    lines = (tmp_path / "curves.csv").read_text().splitlines()[1:]
    assert [float(line.split(",")[5]) for line in lines] == values


def test_json_stays_strict_when_a_number_is_not_finite(tmp_path):
    write_json(tmp_path / "x.json", {"a": [float("nan"), 1.0], "b": float("inf")})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": [None, 1.0], "b": None}


def test_the_default_algorithms_are_all_there_are():
    from experiments.compare import Args

    assert set(Args().algos) == set(ALGORITHMS)


def test_help_reads_well_and_imports_no_jax():
    done = compare("--help")
    assert done.returncode == 0
    for option in ("--env", "--algos", "--seeds", "--steps", "--out"):
        assert option in done.stdout
    check = "import experiments.compare, sys; sys.exit('jax' in sys.modules or 'gymnax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--env", "CartPole"], ["'CartPole'", "CartPole-v1", "Acrobot-v1"]),
        (["--algos", "sac"], ["'sac'", *ALGORITHMS]),
        (["--algos", "ppo", "ppo"], ["once"]),
        (["--seeds", "0"], ["--seeds", "positive whole number", "0"]),
        (["--seeds", "-3"], ["--seeds", "positive whole number", "-3"]),
        (["--steps", "many"], ["--steps", "positive whole number", "many"]),
        (["--steps", "10"], ["steps must be", "or more"]),
        (["--out", "/proc/nowhere"], ["cannot write to /proc/nowhere"]),
    ],
)
def test_bad_input_gets_one_line_and_status_2(arguments, words, tmp_path):
    done = compare(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    for word in words:
        assert word in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "precious").write_text("kept")
    done = compare("--out", tmp_path)
    assert done.returncode == 2 and "not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_ctrl_c_keeps_what_is_finished_and_says_so(tmp_path):
    folder = tmp_path / "run"
    arguments = ["--algos", "a2c", "ppo", "--seeds", "1", "--steps", "600000", "--evaluations", "60", "--out", folder]
    process = subprocess.Popen([*COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_for(lambda: "ppo," in text_of(folder / "curves.csv"), process)
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=120)[0].decode()
    assert process.returncode == 130, output
    assert "interrupted" in output
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["interrupted"] is True
    assert list(summary["environments"]["CartPole-v1"]["algorithms"]) == ["a2c"]
    assert (folder / "curves.png").stat().st_size > 0


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def wait_for(condition, process):
    deadline = time.monotonic() + 240
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline, process.stdout.read().decode()
        time.sleep(0.05)
