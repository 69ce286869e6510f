"""python -m experiments.rlhf at its smallest: from a rating file to optimised policies, interrupted, reused, run again."""

import json
import shutil

import numpy as np
import pytest
import small_run

from experiments import rerun
from experiments.lab.commands.cli import BadInput
from experiments.lab.running.launch import launch, prepared, to_resume
from experiments.rlhf import command, corpus, pipeline, reach, task
from experiments.rlhf.stages import training
from experiments.rlhf.stages.stage import Interrupted


@pytest.fixture(scope="module")
def ratings(tmp_path_factory):
    return small_run.write_ratings(tmp_path_factory.mktemp("data") / "ratings.tsv")


@pytest.fixture(scope="module")
def run(tmp_path_factory, ratings):
    """The folder of a run that was never cut."""
    out = tmp_path_factory.mktemp("runs") / "straight"
    with pytest.MonkeyPatch.context() as patch:
        small_run.lighten(patch)
        assert command.rlhf(small_run.arguments(out, ratings)) == 0
        yield out


def marks(folder):
    """Returns the outputs of each stage by their hashes."""
    return {path.parent.name: json.loads(path.read_text())["outputs"] for path in sorted(folder.glob("*/stage.json"))}


def test_it_goes_from_a_rating_file_to_policies_judged_by_a_gold_judge(run):
    summary = json.loads((run / "summary.json").read_text())
    assert not summary["interrupted"] and summary["seeds"] == [0, 1]
    assert summary["supervised"]["bits_per_character"] > 0 and summary["supervised"]["kneser_ney"] > 0
    figures = summary["reward_model"]
    assert 0 <= figures["pair_accuracy"] <= figures["ceiling"] <= 1 and figures["linear_bigram"] > 0.8
    assert figures["ngrams"] > 0.8 and figures["share"][1] > 0 and 0 <= figures["transformer"] <= 1
    found = summary["contenders"]["rloo"]
    gain = np.array(found["gold_reward"]["values"]) - summary["reference"]["gold_reward"]
    np.testing.assert_allclose(found["gold_gain"]["values"], gain)
    assert len(found["kl"]["values"]) == 2 and min(found["kl"]["values"]) > 0
    assert (run / "frontier.png").stat().st_size > 10_000
    rows = (run / "samples.md").read_text().splitlines()
    assert rows[4] == "| reference | rloo |" and len(rows) == 6 + 8
    assert (run / "optimisation" / "report.html").exists()


def test_its_policies_are_held_against_the_optimum_of_their_divergence(run, capsys):
    assert reach.reach(reach.Args(run, answers=600)) == 0
    found, summary = json.loads((run / "reach.json").read_text()), json.loads((run / "summary.json").read_text())
    assert [(row["contender"], row["seed"]) for row in found["policies"]] == [("rloo", 0), ("rloo", 1)]
    for row, kl in zip(found["policies"], summary["contenders"]["rloo"]["kl"]["values"]):
        assert row["kl"] == pytest.approx(kl, rel=0.2) and row["optimum_kl"] == pytest.approx(row["kl"], rel=1e-6)
        assert row["optimum_proxy_gain"] > 0 and row["effective_samples"] > 100
    assert "effective answers" not in capsys.readouterr().out
    with pytest.raises(BadInput, match="two or more"):
        reach.reach(reach.Args(run, answers=1))


def test_what_is_finished_is_not_made_again(run, ratings, capsys):
    before, written = marks(run / "stages"), (run / "stages" / "supervised" / "params.npz").stat().st_mtime_ns
    assert command.rlhf(command.Args(resume=run)) == 0
    said = capsys.readouterr().out
    assert said.count("finished before") == 4 + 1
    assert marks(run / "stages") == before
    assert (run / "stages" / "supervised" / "params.npz").stat().st_mtime_ns == written


def test_a_folder_that_was_begun_otherwise_is_not_gone_on_with(run, ratings):
    with pytest.raises(BadInput, match=r"was begun with --algos=\['rloo'\], not \['dpo'\]"):
        command.rlhf(small_run.arguments(run, ratings, algos=("dpo",)))
    with pytest.raises(BadInput, match="takes no other option"):
        command.rlhf(command.Args(resume=run, seeds=3))


def test_a_stage_of_other_settings_is_not_taken(run, ratings):
    texts = corpus.read(small_run.SIZES, ratings)
    with pytest.raises(BadInput, match="supervised was made with updates=12, not 13"):
        pipeline.make_stages(
            run / "stages", texts, small_run.SIZES.__class__(**vars(small_run.SIZES) | {"updates": 13}), True
        )


@pytest.mark.slow
def test_stages_that_are_interrupted_again_and_again_have_the_bits_of_stages_that_are_not(run, ratings, tmp_path):
    texts, times = corpus.read(small_run.SIZES, ratings), 0
    while True:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(training, "CHUNK_SECONDS", 0.0)  # one update a chunk
            small_run.stopping_after(patch, 8 + 4 * times)
            try:
                small_run.made_stages(tmp_path, texts)
                break
            except Interrupted as stopped:
                assert stopped.signal_number == 2
                times += 1
    assert times >= 2
    assert marks(tmp_path) == marks(run / "stages")


@pytest.mark.slow
def test_the_optimisation_run_again_from_its_manifest_has_the_same_bits(run, capsys, tmp_path):
    assert rerun.rerun(rerun.Args(run / "optimisation", tmp_path / "again")) == 0
    assert "the same bit for bit" in capsys.readouterr().out


@pytest.mark.parametrize("stage, file", [("reward_model", "reward_model.npz"), ("judges", "gold.npz")])
def test_a_run_is_refused_whose_stage_was_changed(run, tmp_path, stage, file):
    out = tmp_path / "moved"
    shutil.copytree(run, out)
    changed = out / "stages" / stage / file
    changed.write_bytes(changed.read_bytes()[:-1] + b"x")
    manifest = out / "optimisation" / "manifest.json"
    manifest.write_text(manifest.read_text().replace(str(run / "stages"), str(out / "stages")))
    with pytest.raises(BadInput, match=f"{file} is not as it was written"):
        launch(prepared(to_resume(out / "optimisation", True)), tmp_path / "again")


def test_a_stage_with_another_mark_is_refused(run):
    folder = str(run / "stages" / "supervised")
    with pytest.raises(ValueError, match="not the stage that this run began with"):
        task.found((folder, "0" * 64))


@pytest.mark.parametrize(
    "line, said",
    [
        ("7\t1,x\tthe film is bad.", r"ratings.tsv:3: ratings: whole numbers"),
        ("7\t1,2", r"ratings.tsv:3: 3 fields"),
        ("x\t1\tone rater.", r"ratings.tsv:3: ratings: one rater alone"),
    ],
)
def test_a_bad_line_is_named_before_anything_trains(ratings, tmp_path, line, said):
    lines = ratings.read_text().splitlines()
    path = tmp_path / "ratings.tsv"
    path.write_text("\n".join([*lines[:2], line, *lines[2:]]) + "\n")
    with pytest.raises(BadInput, match=said):
        command.rlhf(small_run.arguments(tmp_path / "out", path))
    assert not (tmp_path / "out" / "stages").exists()


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"algos": ("rloo", "sarsa")}, "unknown algorithm 'sarsa'"),
        ({"set": ("rloo.temper=1",)}, "temper"),
        ({"reward": "nowhere.py:short"}, "there is no file"),
    ],
)
def test_a_wrong_setting_is_named_before_anything_trains(ratings, tmp_path, wrong, said):
    with pytest.raises(BadInput, match=said):
        command.rlhf(small_run.arguments(tmp_path / "out", ratings, **wrong))
    assert not (tmp_path / "out" / "stages").exists()


@pytest.mark.slow
def test_a_reward_of_the_users_own_is_kept_with_the_run(run, ratings, tmp_path, capsys):
    file = tmp_path / "my_rewards.py"
    file.write_text("def short(texts):\n    return [-float(len(text)) for text in texts]\n")
    out = tmp_path / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments.rlhf.settings.QUICK", small_run.SIZES)
        asked = small_run.arguments(out, ratings, reward=f"{file}:short", stages=run / "stages")
        assert command.rlhf(asked) == 0
        file.write_text("def short(texts):\n    return [0.0 for text in texts]\n")
        assert rerun.rerun(rerun.Args(out / "optimisation", tmp_path / "again")) == 0
    assert "the same bit for bit" in capsys.readouterr().out
    summary = json.loads((out / "summary.json").read_text())
    assert summary["reference"]["proxy_reward"] == pytest.approx(-summary["reference"]["characters"], rel=0.3)
    assert "reward_model" not in summary
