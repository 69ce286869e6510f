"""One seed of one contender becomes NaN after a while: what a real run, and every command on its folder, make of it.

The slow ones, with one seed on one device, and of two folders joined: pytest -m slow -n 0 tests/experiments/test_divergence.py
"""

import json
import math
import warnings
from contextlib import contextmanager, redirect_stdout
from io import StringIO

import killed_run
import pytest

from experiments import diff, report, rerun, watch
from experiments.compare import Args, compare
from experiments.lab.commands.cli import BadInput
from experiments.lab.recording import difference, run_folder
from experiments.lab.running import conclusion, launch, programs, runner

BRITTLE = """
import jax.numpy as jnp
from flax import struct

from algos import a2c

@struct.dataclass
class HParams(a2c.HParams):
    limit: float = 1e9

def brittle(params, apply, batch, hparams: HParams):
    loss, metrics = a2c.loss(params, apply, batch, hparams)
    height = jnp.max(batch.value_target)
    return loss * jnp.where(height > hparams.limit, jnp.nan, 1.0), {**metrics, "height_max": height}
"""
SMALL = ("all.num_envs=2", "all.num_steps=8", "all.hidden_sizes=(4,)", "all.learning_rate=0.01")
SEEDS = 4


@contextmanager
def interrupted_when(condition):
    yield lambda: 2 if condition() else 0


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Programs compiled once, one update a chunk, and no warning that a user would see."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        patch.setattr(runner, "compile_programs", killed_run.remembering(runner.compile_programs))
        patch.setattr(runner, "CHUNK_SECONDS", 0.0)
        yield


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    path = tmp_path_factory.mktemp("mine") / "losses.py"
    path.write_text(BRITTLE)
    return path


def run(mine, folder, limit, seeds=SEEDS):
    """Runs into the folder, the loss being NaN above the limit, and returns (exit status, what was printed)."""
    algos = (f"{mine}:brittle", "a2c")  # a2c goes on where the other has ended
    settings = (*SMALL, f"brittle.limit={limit}")
    args = Args(algos=algos, seeds=seeds, steps=640, evaluations=8, eval_episodes=2, set=settings, out=folder)
    return printed(lambda: compare(args))


def printed(action):
    """Returns (what the action returns, the lines that it printed)."""
    output = StringIO()
    with redirect_stdout(output):
        result = action()
    return result, [line.strip() for line in output.getvalue().splitlines()]


@pytest.fixture(scope="module")
def well(mine, tmp_path_factory):
    """The folder of a run in which nothing diverges."""
    folder = tmp_path_factory.mktemp("runs") / "well"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conclusion.plots, "draw_curves", lambda *_: None)
        patch.setattr(conclusion.page, "write", lambda folder: None)
        assert run(mine, folder, 1e9)[0] == 0
    return folder


@pytest.fixture(scope="module")
def limit_and_seed(well):
    """A limit that one seed's value targets pass, and that seed."""
    curves = run_folder.read(well).curves
    heights = curves[curves.metric == "height_max"].groupby("seed").value.max().sort_values()
    return (heights.iloc[-1] + heights.iloc[-2]) / 2.0, int(heights.index[-1])


@pytest.fixture(scope="module")
def ill(mine, limit_and_seed, tmp_path_factory):
    """(the folder of a run in which that seed diverges, what it printed), stopped and resumed after it diverged."""
    folder = tmp_path_factory.mktemp("runs") / "ill"
    curves = folder / "curves.csv"
    with pytest.MonkeyPatch.context() as patch:
        stop = interrupted_when(lambda: curves.exists() and ",evaluation_return,nan" in curves.read_text())
        patch.setattr(launch, "asked_to_stop", lambda: stop)
        patch.setattr(conclusion.page, "write", lambda folder: None)
        assert run(mine, folder, limit_and_seed[0])[0] == 130
    assert json.loads((folder / "progress.json").read_text())["checkpoint"]["contenders"] == ["brittle"]
    status, lines = printed(lambda: launch.resume(launch.to_resume(folder), folder))
    assert status == 0
    return folder, lines


def rows_of_others(folder, seed):
    lines = (folder / "curves.csv").read_text().splitlines()
    return [line for line in lines if not line.startswith(f"CartPole-v1,brittle,{seed},")]


def test_every_other_trial_has_the_same_bits_as_if_none_had_diverged(well, ill, limit_and_seed):
    folder, seed = ill[0], limit_and_seed[1]
    assert len(rows_of_others(well, seed)) > 300
    assert rows_of_others(folder, seed) == rows_of_others(well, seed)
    (bits,) = [each for each in difference.bits(well, folder) if not each.same]
    assert bits.name == "brittle" and bits.parameters == f"differ under seeds {seed}"


def test_the_diverged_trial_has_returns_until_it_diverges_and_none_after(ill, limit_and_seed):
    curves = run_folder.read(ill[0]).curves
    returns = curves[(curves.algorithm == "brittle") & (curves.metric == "evaluation_return")]
    finite = returns[returns.seed == limit_and_seed[1]].value.map(math.isfinite).tolist()
    assert finite == sorted(finite, reverse=True) and finite[0] and not finite[-1]
    assert returns[returns.seed != limit_and_seed[1]].value.map(math.isfinite).all()


def test_the_summary_names_it_and_has_no_average_that_leaves_it_out(ill, limit_and_seed):
    found = json.loads((ill[0] / "summary.json").read_text())["environments"]["CartPole-v1"]
    seed, brittle = limit_and_seed[1], found["algorithms"]["brittle"]
    assert (brittle["diverged_seeds"], found["algorithms"]["a2c"]["diverged_seeds"]) == ([seed], [])
    assert [value is None for value in brittle["final_values"]] == [each == seed for each in range(SEEDS)]
    assert (brittle["iqm"], brittle["ci95"], brittle["mean"]) == (None, [None, None], None)
    assert found["verdicts"][0].startswith("brittle against a2c") or "ahead" in found["verdicts"][0]
    assert f"(brittle: 1 of {SEEDS} runs diverged, counted as worst)" in found["verdicts"][0]


def test_the_screen_says_so_in_one_line_with_the_place_of_the_loss(ill, limit_and_seed):
    told = [line for line in ill[1] if "brittle: diverged" in line]
    (line,) = told
    assert line.startswith(
        f"brittle: diverged (parameters or return not finite) under seeds {limit_and_seed[1]}, so no IQM; its loss"
    )
    (row,) = [line for line in ill[1] if line.startswith("brittle ") and " - " in line]
    assert row.split()[1:4] == ["-", "-", "-"]
    assert not [line for line in ill[1] if "nan" in line.lower()]
    names = [line.split()[0] for line in ill[1] if line.split()[:1] in (["a2c"], ["brittle"])]
    assert names[:2] == ["a2c", "brittle"]  # of the table, whose best is first


def test_the_report_marks_it_and_shows_no_number_of_it(ill, limit_and_seed):
    page = (ill[0] / "report.html").read_text()
    assert f"brittle on CartPole-v1 in 1 of {SEEDS} seeds (seed {limit_and_seed[1]})" in page
    assert f"1 of {SEEDS}<small>seed {limit_and_seed[1]}</small>" in page
    assert ">nan<" not in page and " nan" not in page.replace("finance", "")


def test_a_rerun_of_the_resumed_run_is_the_same_bit_for_bit(ill, tmp_path):
    status, lines = printed(lambda: rerun.rerun(rerun.Args(ill[0], tmp_path / "again")))
    assert status == 0 and lines[-1].startswith("the same bit for bit")


def test_a_diff_with_the_run_that_did_not_diverge_says_where_they_part(well, ill, limit_and_seed):
    status, lines = printed(lambda: diff.diff(diff.Args(well, ill[0])))
    assert status == 1
    assert any("brittle" in line and "not finite" in line for line in lines)
    assert any(
        f"first at seed {limit_and_seed[1]}, " in line for line in lines if line.startswith("CartPole-v1 brittle:")
    )
    assert any("(ill/brittle: 1 of 4 runs diverged, counted as worst)" in line for line in lines)


def test_watch_shows_the_best_that_did_not_diverge_and_refuses_the_one_that_did(ill, limit_and_seed, tmp_path):
    _, lines = printed(lambda: watch.watch(watch.Args(ill[0], max_frames=2, out=tmp_path / "a.gif")))
    assert not lines[1].startswith("brittle")
    seeds = (str(limit_and_seed[1]),)
    with pytest.raises(BadInput, match=f"^brittle diverged under seed {seeds[0]}: its parameters are not finite$"):
        watch.watch(watch.Args(ill[0], algorithm="brittle", seed=seeds, out=tmp_path / "b.gif"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]


def test_a_run_whose_every_seed_diverges_ends_with_all_its_files(mine, tmp_path):
    status, lines = run(mine, tmp_path / "run", -1e9)
    assert status == 0 and not [line for line in lines if "nan" in line.lower()]
    assert (
        [line for line in lines if line.startswith("brittle: diverged")][0]
        .split("under ")[1]
        .startswith("seeds 0, 1, 2, 3")
    )
    assert {"report.html", "curves.png", "summary.json"} <= {path.name for path in (tmp_path / "run").iterdir()}
    found = json.loads((tmp_path / "run" / "summary.json").read_text())["environments"]["CartPole-v1"]
    assert f"(brittle: {SEEDS} of {SEEDS} runs diverged, counted as worst)" in found["verdicts"][0]


@pytest.mark.slow
def test_a_run_whose_only_seed_diverges_is_compared_with_nothing(mine, well, tmp_path, monkeypatch):
    one_device = killed_run.remembering(programs.compile_programs)
    monkeypatch.setattr(runner, "compile_programs", one_device)
    status, lines = run(mine, tmp_path / "run", -1e9, seeds=1)
    assert status == 0 and not [line for line in lines if "nan" in line.lower()]
    assert any(
        line.startswith("brittle: diverged (parameters or return not finite) under seeds 0, so no IQM; ")
        for line in lines
    )
    assert "brittle against a2c: one seed shows nothing (brittle: 1 of 1 runs diverged, counted as worst)" in lines
    _, lines = printed(lambda: diff.diff(diff.Args(well, tmp_path / "run")))
    told = {
        line.split()[1]: "not finite" in line for line in lines if line.startswith("CartPole-v1 ") and ":" not in line
    }
    assert told == {"a2c": False, "brittle": True}


@pytest.mark.slow
def test_a_report_of_both_folders_marks_the_one_that_diverged(well, ill, limit_and_seed, tmp_path):
    out = tmp_path / "joined.html"
    assert printed(lambda: report.report(report.Args((well, ill[0]), out)))[0] == 0
    assert f"ill/brittle on CartPole-v1 in 1 of {SEEDS} seeds (seed {limit_and_seed[1]})" in out.read_text()
    assert "well/brittle on CartPole-v1 in" not in out.read_text()
