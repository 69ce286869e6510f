"""A rerun says whether every bit is the same, and a difference of folders what is not."""

import csv
import json
import shutil
import subprocess
import sys

import killed_run
import numpy as np
import pytest

from experiments import diff, rerun
from experiments.lab.commands.cli import BadInput
from experiments.lab.recording import commits
from experiments.lab.running import runner


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Programs compiled once; no pictures and no report, which nothing here reads."""
    with pytest.MonkeyPatch.context() as patch:
        killed_run.lighten(patch)
        yield


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "first"
    assert killed_run.go(folder) == 0
    return folder


@pytest.fixture
def folder(first, tmp_path):
    return shutil.copytree(first, tmp_path / "run")


def edit_json(path, edit):
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def give_returns(folder, returns):
    """Writes other final returns for dqn."""

    def give(summary):
        summary["environments"]["CartPole-v1"]["algorithms"]["dqn"].update(
            final_values=returns, iqm=sorted(returns)[1], ci95=[min(returns), max(returns)]
        )

    edit_json(folder / "summary.json", give)


def edit_value(folder, seed, env_steps, metric, value, name="dqn"):
    """Writes another value in one place of a contender's curve and returns the one that was there."""
    with (folder / "curves.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    (row,) = [row for row in rows if row[1:5] == [name, str(seed), str(env_steps), metric]]
    row[5], old = value, row[5]
    with (folder / "curves.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return old


def test_a_run_that_is_run_again_is_the_same_bit_for_bit(folder, capsys):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert rerun.rerun(rerun.Args(folder)) == 0
    out = capsys.readouterr().out
    for name in ("a2c", "slow a2c", "dqn"):
        assert f"CartPole-v1 {name}: curves the same, " in out
    assert "parameters the same" in out and "the same bit for bit" in out and "unfinished" not in out
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert killed_run.outcome(folder.with_name("run-rerun")) == killed_run.outcome(folder)


def test_the_first_place_where_curves_part_is_named_with_both_values(folder, capsys):
    for seed, env_steps, metric in ((0, 116, "evaluation_return"), (2, 52, "training_episodes"), (1, 84, "loss")):
        old = edit_value(folder, seed, env_steps, metric, "9.125")
        here = (seed, env_steps, metric, old)
        if metric == "training_episodes":
            first_place = here
    assert rerun.rerun(rerun.Args(folder, folder.with_name("again"))) == 1
    seed, env_steps, metric, old = first_place
    told = f"first at seed {seed}, {env_steps} steps, {metric}: 9.125 in the first run, {old} in this one"
    out = capsys.readouterr().out
    assert told in out and "not the same" in out and "CartPole-v1 a2c: curves the same" in out


def test_seconds_are_no_bits(folder, tmp_path, capsys):
    other = shutil.copytree(folder, tmp_path / "other")
    rows = list(csv.reader((other / "curves.csv").open(newline="")))
    assert rows[0][6] == "seconds"
    with (other / "curves.csv").open("w", newline="") as file:
        csv.writer(file).writerows([rows[0], *([*row[:6], f"{float(row[6]) + 7.0:.3f}"] for row in rows[1:])])
    assert diff.diff(diff.Args(folder, other)) == 0 and "no difference" in capsys.readouterr().out


def test_a_value_that_differs_in_its_last_bit_differs(folder, tmp_path, capsys):
    other = shutil.copytree(folder, tmp_path / "other")
    value = float(edit_value(other, 1, 84, "loss", "0.0"))
    edit_value(other, 1, 84, "loss", repr(float(np.nextafter(value, 2.0))))
    assert diff.diff(diff.Args(folder, other)) == 1
    assert f"first at seed 1, 84 steps, loss: {value!r} in run" in capsys.readouterr().out


def test_parameters_that_differ_are_named_by_seed(folder, capsys):
    path = folder / "policies" / "CartPole-v1" / "dqn.npz"
    with np.load(path) as file:
        arrays = dict(file)
    name = next(name for name in arrays if name != "seeds")
    arrays[name][1] = np.nextafter(arrays[name][1], np.float32(9.0))
    np.savez(path, **arrays)
    assert rerun.rerun(rerun.Args(folder)) == 1
    out = capsys.readouterr().out
    assert "CartPole-v1 dqn: curves the same" in out and "parameters differ under seeds 1" in out


def test_a_run_that_was_not_finished_is_compared_as_far_as_it_went(folder, capsys):
    text = (folder / "curves.csv").read_text()
    (folder / "curves.csv").write_text(text[: text.index("CartPole-v1,dqn,1,84,loss") + 20])
    (folder / "policies" / "CartPole-v1" / "dqn.npz").unlink()
    edit_json(folder / "summary.json", lambda summary: summary.update(interrupted=True))
    edit_json(folder / "summary.json", lambda summary: summary["environments"]["CartPole-v1"]["algorithms"].pop("dqn"))
    assert rerun.rerun(rerun.Args(folder)) == 0
    out = capsys.readouterr().out
    assert "CartPole-v1 dqn: unfinished in the first run; curves the same" in out
    assert "no parameters to compare" in out and "not finished: what it has was compared" in out


def test_a_value_that_the_rerun_has_not_is_a_difference(folder, capsys):
    with (folder / "curves.csv").open("a") as file:
        file.write("CartPole-v1,dqn,2,116,another,1.0,0.5\r\n")
    assert rerun.rerun(rerun.Args(folder)) == 1
    assert "CartPole-v1 dqn: curves the same, 84 values; 1 more in the first run" in capsys.readouterr().out


def test_a_rerun_says_what_is_not_as_it_was(folder, capsys, monkeypatch):
    edit_json(folder / "manifest.json", lambda content: content["versions"].update(jax="0.0.1"))
    edit_json(folder / "manifest.json", lambda content: content["device"].update(machine="Analytical Engine"))
    edit_json(folder / "manifest.json", lambda content: content["git"].update(commit="abc", dirty=False))
    monkeypatch.setattr(commits, "of_this_code", lambda: {"commit": "def", "dirty": True})
    assert rerun.rerun(rerun.Args(folder)) == 0
    out = capsys.readouterr().out
    for line in (
        "versions jax: 0.0.1 then, ",
        "device machine: Analytical Engine then, ",
        "git commit: abc then, def now",
    ):
        assert line in out
    assert "changes that are in no commit" in out and "is not the one" not in out


def test_a_changed_manifest_is_mentioned(folder, capsys):
    edit_json(folder / "manifest.json", lambda content: content.update(eval_episodes=2, evaluations=1))
    assert rerun.rerun(rerun.Args(folder)) == 1
    out = capsys.readouterr().out
    assert "manifest.json is not the one that the run began with" in out and "more in the first run" in out


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda folder: shutil.rmtree(folder), "is no run folder"),
        (lambda folder: (folder / "curves.csv").unlink(), "has no curves yet: there is nothing to compare"),
        (lambda folder: folder.with_name("run-rerun").mkdir() or folder.with_name("run-rerun").joinpath("x").touch(),
         "run-rerun is not empty"),
        (lambda folder: (folder / "curves.csv").write_text("a,b\n1,2\n"), "curves.csv is damaged"),
    ],
)  # fmt: skip
def test_what_cannot_be_run_again_is_refused_in_one_line_before_anything_compiles(folder, prepare, said, monkeypatch):
    monkeypatch.setattr(runner, "compile_programs", None)
    prepare(folder)
    with pytest.raises(BadInput, match=said) as told:
        rerun.rerun(rerun.Args(folder))
    assert "\n" not in str(told.value)


def test_nothing_differs_between_a_folder_and_its_copy_but_the_time_it_took(folder, tmp_path, capsys):
    other = shutil.copytree(folder, tmp_path / "other")
    figures = ("environments", "CartPole-v1", "algorithms", "dqn")

    def slower(summary):
        for key in figures:
            summary = summary[key]
        summary["run_seconds"] = 99.0

    edit_json(other / "summary.json", slower)
    edit_json(other / "manifest.json", lambda content: content.update(command="python -m experiments.rerun run"))
    assert diff.diff(diff.Args(folder, other)) == 0
    assert capsys.readouterr().out.count("\n") == 1


def test_settings_versions_results_and_verdicts_stand_side_by_side(folder, tmp_path, capsys):
    other = shutil.copytree(folder, tmp_path / "other")

    def change(content):
        content["seeds"] = [0, 1, 5]
        content["versions"]["jax"] = "0.0.1"
        content["environments"]["CartPole-v1"]["algorithms"]["dqn"]["hparams"]["gamma"] = 0.5
        content["environments"]["CartPole-v1"]["algorithms"]["dqn"]["loss"] = "/elsewhere/mine.py:mine"

    edit_json(other / "manifest.json", change)
    edit_json(folder / "manifest.json",
              lambda content: content["environments"]["CartPole-v1"]["algorithms"]["dqn"].update(loss="/here/mine.py:mine"))  # fmt: skip
    give_returns(other, [9.0, 8.0, 7.0])
    assert diff.diff(diff.Args(folder, other)) == 1
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "seeds [0, 1, 2] [0, 1, 5]" in lines
    assert any(line.startswith("versions jax ") and line.endswith(" 0.0.1") for line in lines)
    assert "CartPole-v1 dqn hparams gamma 0.99 0.5" in lines
    assert not any("mine" in line for line in lines)  # the same function, kept elsewhere
    assert any(line.startswith("CartPole-v1 dqn ") and line.endswith("8.000 [7.000, 9.000]") for line in lines)
    assert "CartPole-v1: run/a2c against other/a2c: the same result in every seed" in lines
    assert any(line.startswith("CartPole-v1: run/dqn ") and "other/dqn" in line for line in lines)


def test_a_folder_that_is_no_run_is_told_in_one_line_by_the_commands(folder, tmp_path):
    for command in (["experiments.diff", folder, tmp_path / "none"], ["experiments.rerun", tmp_path / "none"]):
        done = subprocess.run([sys.executable, "-m", *map(str, command)], capture_output=True, text=True, timeout=100)
        assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_verdicts_pair_the_seeds_that_both_folders_have_wherever_they_stand(folder, tmp_path, capsys):
    other = shutil.copytree(folder, tmp_path / "other")
    edit_json(other / "manifest.json", lambda content: content.update(seeds=[2, 7, 1]))
    give_returns(folder, [3.0, 1.0, 2.0])
    give_returns(other, [2.0, 9.0, 1.0])
    assert diff.diff(diff.Args(folder, other)) == 1
    assert "run/dqn against other/dqn: the same result in every seed" in capsys.readouterr().out
