"""Seeds added to a run: the folder is that of a run with all of them from the start, also after a kill anywhere."""

import dataclasses
import json
import shutil

import killed_run
import numpy as np
import pandas as pd
import pytest

from experiments import diff
from experiments.compare import Args, compare
from experiments.lab.commands.cli import BadInput, seeds_of
from experiments.lab.recording import checkpoints, manifest, pooling, records, run_folder
from experiments.lab.running import launch, more_seeds, runner
from experiments.lab.showing.report.page import write_joined

SEEDS = (0, 1, 2, 3)
TASK = dataclasses.replace(killed_run.TASK, contenders=killed_run.CONTENDERS[:2])
EXPERIMENT = dataclasses.replace(killed_run.EXPERIMENT, tasks=(TASK,), seeds=SEEDS)


@pytest.fixture(scope="module", autouse=True)
def light():
    with pytest.MonkeyPatch.context() as patch:
        killed_run.lighten(patch)
        yield


@pytest.fixture(scope="module")
def uncut(tmp_path_factory):
    """The folder of a run with all seeds from the start."""
    folder = tmp_path_factory.mktemp("uncut") / "run"
    assert launch.launch(EXPERIMENT, folder) == 0
    return folder


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """The folder of a run with two of the seeds, neither the first."""
    folder = tmp_path_factory.mktemp("half") / "run"
    assert launch.launch(dataclasses.replace(EXPERIMENT, seeds=(1, 3)), folder) == 0
    return folder


@pytest.fixture
def begun(half, tmp_path):
    return shutil.copytree(half, tmp_path / "run")


def outcome(folder):
    """Returns everything that a run found but its verdicts, which count the looks, and what has times in it."""
    found = {name: x for name, x in killed_run.outcome(folder).items() if not name.endswith("verdicts")}
    for path in sorted((folder / "policies").rglob("*.npz")):
        found[path.name] = path.read_bytes()
    progress = json.loads((folder / "progress.json").read_text())
    for name in ("curves_bytes", "curves_sha256"):  # seconds are in the file
        progress.pop(name)
    times = ("compile_seconds", "run_seconds", "steps_per_second")
    results = {
        (environment, name): {key: value for key, value in figures.items() if key not in times}
        for environment, algorithms in progress.pop("results").items()
        for name, figures in algorithms.items()
    }
    return found | {"progress": progress, "results": results}


def added(folder, seeds=4):
    return compare(Args(resume=folder, seeds=seeds))


def test_the_folder_is_bit_for_bit_that_of_a_run_with_all_seeds_from_the_start(begun, uncut):
    assert added(begun) == 0
    assert outcome(begun) == outcome(uncut)
    assert sorted(path.name for path in begun.iterdir()) == sorted(path.name for path in uncut.iterdir())
    found = manifest.read_manifest(begun)
    assert found["seeds"] == [0, 1, 2, 3] and found["looks"] == [[1, 3], [0, 2]]
    assert [each["seeds"] for each in found["added"]] == [[0, 2]]
    assert diff.diff(diff.Args(begun, uncut)) == 0
    again = launch.to_resume(begun)
    assert launch.resume(again, begun) == 0 and outcome(begun) == outcome(uncut)


def test_seeds_are_added_twice_and_the_verdicts_count_three_looks(begun, uncut):
    assert added(begun, seeds_of(range(0, 4))[:2] + (3,)) == 0  # 0, 1, 3
    assert added(begun) == 0
    assert outcome(begun) == outcome(uncut)
    summary = json.loads((begun / "summary.json").read_text())
    assert summary["looks"] == [[1, 3], [0], [2]]
    lines = [line for found in summary["environments"].values() for line in found["verdicts"]]
    assert lines and all("3 looks (2, then 3, then 4 seeds)" in line for line in lines if "same result" not in line)


def test_a_margin_named_at_the_start_is_kept_as_seeds_are_added(tmp_path):
    """Two seeds can bound no difference; nine at the second look can."""
    folder = tmp_path / "run"
    assert launch.launch(dataclasses.replace(EXPERIMENT, seeds=(1, 3)), folder, margins={"CartPole-v1": 1e9}) == 0
    found = json.loads((folder / "summary.json").read_text())["environments"]["CartPole-v1"]
    assert found["margin"] == 1e9 and "one larger than 1e+09 is not ruled out" in found["verdicts"][0]
    assert added(folder, 9) == 0
    assert manifest.read_manifest(folder)["margins"] == {"CartPole-v1": 1e9}
    found = json.loads((folder / "summary.json").read_text())["environments"]["CartPole-v1"]
    assert "no difference larger than 1e+09" in found["verdicts"][0]
    assert "9 seeds suffice, shown at look 2 of 2 looks (2, then 9 seeds)" in found["verdicts"][0]


class Killed(BaseException):
    """The end of a process, as far as its files can tell."""


@pytest.mark.parametrize(
    ("module", "function", "time"),
    [
        pytest.param(checkpoints, "commit", 1, marks=pytest.mark.slow),  # nothing of the seeds is run
        pytest.param(records, "append_curves", 3, marks=pytest.mark.slow),
        pytest.param(checkpoints, "commit", 2, marks=pytest.mark.slow),  # they are done
        pytest.param(more_seeds, "put_together", 1, marks=pytest.mark.slow),
        (more_seeds, "write_whole", 2),  # in the middle of putting together
        pytest.param(more_seeds, "write_json", 2, marks=pytest.mark.slow),  # all is ready, nothing replaced
        (more_seeds, "write_whole", 5),  # in the middle of replacing
        pytest.param(more_seeds, "replaced", 1, marks=pytest.mark.slow),  # all but the end is done
    ],
)
def test_a_kill_anywhere_leaves_a_folder_that_goes_on_to_the_same_bits(
    module, function, time, begun, uncut, monkeypatch
):
    real, left = getattr(module, function), [time]

    def ending(*arguments, **options):
        result = real(*arguments, **options)
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        return result

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(module, function, ending)
        added(begun)
    assert compare(Args(resume=begun)) == 0
    assert outcome(begun) == outcome(uncut)
    assert not (begun / "more-seeds").exists()


def test_a_run_that_was_never_finished_is_finished_first(uncut, tmp_path, monkeypatch):
    folder, seen = tmp_path / "run", []
    real = runner.run

    def cut(*arguments, **options):
        for event in real(*arguments, **options):
            if isinstance(event, runner.Finished):
                seen.append(event)
            if len(seen) == 1:
                raise Killed
            yield event

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(runner, "run", cut)
        launch.launch(dataclasses.replace(EXPERIMENT, seeds=(0, 1)), folder)
    assert added(folder) == 0
    assert outcome(folder) == outcome(uncut)


def test_what_cannot_be_added_is_one_line_and_changes_nothing(begun, monkeypatch):
    before = outcome(begun)
    with pytest.raises(BadInput, match="has the seeds 1, 3: name them too.*not named: 3"):
        added(begun, 3)
    with pytest.raises(BadInput, match="a sweep's best point is chosen by its seeds"):
        with monkeypatch.context() as patch:
            patch.setattr(more_seeds.selection, "has_sweeps", lambda experiment: True)
            added(begun)
    with pytest.raises(BadInput, match="^--resume takes no other options"):
        compare(Args(resume=begun, seeds=4, steps=7))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(more_seeds, "resume", raising_at_the_second())
        added(begun)
    with pytest.raises(BadInput, match=r"seeds 0, 2 are being added: go on with .*--resume .*run first"):
        added(begun, 5)
    assert outcome(begun) == before


def raising_at_the_second():
    calls = []

    def resume(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 2:
            raise Killed
        return launch.resume(*arguments, **options)

    return resume


def test_folders_that_differ_in_seeds_alone_are_one_contender_in_the_report(half, uncut, tmp_path):
    other = tmp_path / "other"
    assert launch.launch(dataclasses.replace(EXPERIMENT, seeds=(0, 2)), other) == 0
    folders = [run_folder.read(path) for path in (half, other)]
    (pooled,) = pooling.pooled(folders)
    whole = run_folder.read(uncut)
    assert pooled.manifest["seeds"] == [0, 1, 2, 3] and pooled.manifest["looks"] == [[1, 3], [0, 2]]
    for environment, found in whole.summary["environments"].items():
        for name, figures in found["algorithms"].items():
            joint = pooled.summary["environments"][environment]["algorithms"][name]
            assert {key: joint[key] for key in ("iqm", "ci95", "mean", "final_values")} == {
                key: figures[key] for key in ("iqm", "ci95", "mean", "final_values")
            }
    (one,) = [each for each in run_folder.join([pooled])["CartPole-v1"] if each.name == "slow a2c"]
    (same,) = [each for each in run_folder.join([whole])["CartPole-v1"] if each.name == "slow a2c"]
    pd.testing.assert_frame_equal(one.evaluations, same.evaluations)
    text = write_joined([half, other], tmp_path / "report.html").read_text()
    assert "4 seeds (0 to 3)" in text and "Seeds were added after looking: 2 (1, 3), then 2 (0, 2)" in text
    assert "run/a2c" not in text and "2 looks (2, then 4 seeds)" in text
    assert "Who is tuned" in text and "Who is tuned" in write_joined([half], tmp_path / "half.html").read_text()


@pytest.mark.parametrize("change", ["steps", "setting", "seeds", "source"])
def test_folders_that_differ_in_more_than_seeds_stay_apart(half, tmp_path, change):
    other = shutil.copytree(half, tmp_path / "other")
    found = json.loads((other / "manifest.json").read_text())
    if change != "seeds":
        found["seeds"] = [7, 8]
    if change == "steps":
        found["steps"] += 1
    if change == "source":
        found["sources"] = {"/somewhere/mine.py": "0" * 64}
    if change == "setting":
        found["environments"]["CartPole-v1"]["algorithms"]["a2c"]["hparams"]["gamma"] = 0.5
    (other / "manifest.json").write_text(json.dumps(found))
    assert len(pooling.pooled([run_folder.read(path) for path in (half, other)])) == 2


def test_curves_are_put_in_the_order_of_one_run_with_faults_and_metrics_that_some_seeds_lack():
    head = "environment,algorithm,seed,env_steps,metric,value\r\n"

    def text(seeds, faulty):
        lines = [f"E,a,{seed},0,{metric},{seed}.5" for metric in ("m", "n") for seed in seeds]
        lines += [f"E,a,{seed},8,{metric},1" for metric in ("m", "n") for seed in seeds]
        for seed in seeds:
            lines += [f"E,a,{seed},8,training_episodes,{seed}"] + [f"E,a,{seed},8,training_return,2"] * (seed != 2)
        lines += [f"E,a,{seed},8,environment_faults,3.0" for seed in seeds if seed in faulty]
        return head + "".join(f"{line}\r\n" for line in lines)

    assert pooling.curves([text((2, 5), (5,)), text((1, 3), (3, 1))], (1, 2, 3, 5)) == text((1, 2, 3, 5), (1, 3, 5))


def test_rows_keep_their_seconds_unless_a_part_tells_none():
    head = "environment,algorithm,seed,env_steps,metric,value"
    timed = [f"{head},seconds\r\nE,a,{seed},0,m,1.5,{seed}.250\r\n" for seed in (2, 1)]
    assert pooling.curves(timed, (1, 2)) == f"{head},seconds\r\nE,a,1,0,m,1.5,1.250\r\nE,a,2,0,m,1.5,2.250\r\n"
    plain = f"{head}\r\nE,a,1,0,m,1.5\r\n"
    assert pooling.curves([timed[0], plain], (1, 2)) == f"{plain}E,a,2,0,m,1.5\r\n"


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", (0, 1, 2)), ("10..12", (10, 11, 12)), ("7..7", (7,)), ("1e1", tuple(range(10)))]
)
def test_seeds_are_a_number_or_a_span(text, seeds):
    assert seeds_of(read(text)) == seeds


@pytest.mark.parametrize("text", ["0", "-1", "2.5", "9..3", "a", "1..2..3", "-2..4", "..4", "nan", "1e9", "0..2e6"])
def test_other_seeds_are_refused_in_one_line(text):
    with pytest.raises(
        BadInput, match="--seeds (must be a positive whole number or a span as 10..19|can be 1,000,000)"
    ):
        read(text)


def read(text):
    import tyro

    return tyro.cli(Args, args=["--seeds", text]).seeds


def test_a_part_of_the_seeds_has_the_bits_that_they_have_among_all(half, uncut):
    part, whole = (run_folder.read(path).curves for path in (half, uncut))
    whole = whole[whole.seed.isin((1, 3))]
    columns = ["algorithm", "env_steps", "metric", "seed"]
    one, other = (rows.sort_values(columns).value.to_numpy() for rows in (part, whole))
    np.testing.assert_array_equal(one, other)
