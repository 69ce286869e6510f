"""python -m experiments.rlhf at its smallest: from a rating file to optimised policies, interrupted, reused, run again."""

import itertools
import json
import shutil

import numpy as np
import pytest
import small_run
from PIL import Image, ImageSequence

from experiments import diff, report, rerun, watch
from experiments.lab.commands.cli import BadInput
from experiments.lab.recording.manifest import read_experiment
from experiments.lab.running.launch import launch, prepared, to_resume
from experiments.rlhf import command, conclusion, corpus, pipeline, reach, task
from experiments.rlhf.stages import reward_model, training
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
    assert 0 <= figures["pair_accuracy"] <= 1 and 0.5 < figures["ceiling"] <= 1 and figures["linear_bigram"] > 0.8
    assert figures["ngrams"] > 0.8 and figures["share"][1] > 0 and 0 <= figures["transformer"] <= 1
    found = summary["contenders"]["rloo"]
    gain = np.array(found["gold_reward"]["values"]) - summary["reference"]["gold_reward"]
    np.testing.assert_allclose(found["gold_gain"]["values"], gain)
    assert len(found["kl"]["values"]) == 2 and min(found["kl"]["values"]) > 0
    assert (run / "frontier.png").stat().st_size > 10_000
    rows = (run / "samples.md").read_text().splitlines()
    assert rows[4] == "| reference | rloo |" and len(rows) == 6 + 8
    assert (run / "optimisation" / "report.html").exists()
    page = (run / "report.html").read_text()
    assert page.count("<svg viewBox") == 7 and page.count("gold −") + page.count("gold 0") >= 16
    assert set(found["holds"]) == {"fluency", "length", "diversity"}
    (low, high), gains = found["gold_gain"]["t95"], found["gold_gain"]["values"]
    assert low < min(gains) < max(gains) < high and found["win"] == (low > 0 and all(found["holds"].values()))


def test_a_reward_that_is_one_number_for_all_answers_of_the_reference_is_refused():
    reward_model.require_different(np.array([1.0, 1.001]))
    for scores in (np.zeros(4), np.full(4, 0.3) + [0, 1e-8, 0, 0]):
        with pytest.raises(ValueError, match="gives every answer of the reference policy one score"):
            reward_model.require_different(scores)


@pytest.mark.parametrize(
    "changed, win, lost",
    [
        ({}, True, []),
        ({"gold_gain": [-0.1, 0.2]}, False, []),
        ({"fluency": -1.12}, False, ["fluency"]),
        ({"characters": 49.0}, False, ["length"]),
        ({"characters": 151.0}, False, ["length"]),
        ({"distinct_2_share": 0.69}, False, ["diversity"]),
    ],
)
def test_a_gain_that_costs_fluency_length_or_diversity_is_no_win(changed, win, lost):
    told = {"fluency": -1.0, "characters": 100.0}
    sound = {"fluency": -1.09, "characters": 140.0, "distinct_2_share": 0.71, "gold_gain": [0.1, 0.2]}
    found = {name: {"iqm": np.mean(x), "t95": [np.min(x), np.max(x)]} for name, x in (sound | changed).items()}
    held = conclusion.holds(found, told)
    assert [name for name, kept in held.items() if not kept] == lost
    assert conclusion.wins(found, held) == win


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


def test_a_folder_that_was_moved_goes_on_and_is_read_where_it_is(run, ratings, tmp_path, capsys):
    out = tmp_path / "elsewhere" / "moved"
    shutil.copytree(run, out)
    for name in ("manifest.json", "progress.json"):
        assert str(run) not in (out / "optimisation" / name).read_text()
    assert str(ratings) not in (out / "pipeline.json").read_text()
    hidden = run.rename(run.with_name("hidden"))  # whatever is read is read in the moved folder
    try:
        assert command.rlhf(command.Args(resume=out)) == 0
        found = read_experiment(out / "optimisation").tasks[0].fields["supervised"]["stage"]
    finally:
        hidden.rename(run)
    assert found == str((out / "stages" / "supervised").resolve())
    assert capsys.readouterr().out.count("finished before") == 4 + 1
    assert diff.diff(diff.Args(run, out)) == 0


@pytest.mark.slow
def test_the_optimisation_run_again_from_its_manifest_has_the_same_bits(run, capsys, tmp_path):
    assert rerun.rerun(rerun.Args(run / "optimisation", tmp_path / "again")) == 0
    assert "the same bit for bit" in capsys.readouterr().out


@pytest.mark.slow
def test_the_commands_of_run_folders_take_the_folder_of_a_pipeline(run, tmp_path, capsys):
    again = tmp_path / "again"
    assert rerun.rerun(rerun.Args(run, again)) == 0
    printed = capsys.readouterr().out
    assert "stage supervised: the same files" in printed and "stage reward_model: the same files" in printed
    assert printed.splitlines()[-1] == f"the same bit for bit: {run} and {again}"
    assert diff.diff(diff.Args(run, again)) == 0
    page = (again / "report.html").read_text()
    (again / "report.html").unlink()
    assert report.report(report.Args((again,))) == 0
    assert (again / "report.html").read_text() == page
    assert watch.watch(watch.Args(run, out=tmp_path / "written.gif")) == 0
    with Image.open(tmp_path / "written.gif") as film:
        frames = [np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(film)]
    ink = [int(np.sum(frame[70:] < 128)) for frame in frames]  # below titles
    assert len(frames) == 1 + small_run.SIZES.length and ink[0] < ink[2] < ink[4]


@pytest.mark.parametrize("stage, file", [("reward_model", "reward_model.npz"), ("judges", "gold.npz")])
def test_a_run_is_refused_whose_stage_was_changed(run, tmp_path, stage, file):
    out = tmp_path / "moved"
    shutil.copytree(run, out)
    changed = out / "stages" / stage / file
    changed.write_bytes(changed.read_bytes()[:-1] + b"x")
    with pytest.raises(BadInput, match=f"{file} is not as it was written"):
        launch(prepared(to_resume(out / "optimisation", True)), tmp_path / "again")


def test_a_stage_with_another_mark_is_refused(run):
    folder = str(run / "stages" / "supervised")
    with pytest.raises(ValueError, match="not the stage that this run began with"):
        task.found({"stage": folder, "mark": "0" * 64})


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
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "line, said",
    [
        ('{"prompt": "p", "chosen": "a"}', "pairs.jsonl:2: rejected: it is missing"),
        ('{"prompt": "p", "chosen": "a", "rejected": 7}', "pairs.jsonl:2: rejected: a string, not int"),
        ('{"prompt": "p", "chosen": "a", "rejected": "a"}', "pairs.jsonl:2: rejected: it is the chosen answer again"),
        ("{", "pairs.jsonl:2: no JSON"),
    ],
)
def test_a_bad_line_of_preferences_is_named_before_anything_trains(tmp_path, line, said):
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"prompt": "p", "chosen": "a", "rejected": "b"}\n' + line + "\n")
    with pytest.raises(BadInput, match=said):
        command.rlhf(small_run.arguments(tmp_path / "out", None, preferences=path))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"size": ("breadth=3",)}, "there is no size 'breadth'"),
        ({"size": ("length=x",)}, "length is a whole number, not 'x'"),
        ({"size": ("length=0",)}, "length is a whole number of 1 or more"),
        ({"preferences": "pairs.jsonl"}, "give one of them"),
        ({"algos": ("rloo", "sarsa")}, "unknown algorithm 'sarsa'"),
        ({"set": ("rloo.temper=1",)}, "temper"),
        ({"reward": "nowhere.py:short"}, "there is no file"),
    ],
)
def test_a_wrong_setting_is_named_before_anything_trains(ratings, tmp_path, wrong, said):
    with pytest.raises(BadInput, match=said):
        command.rlhf(small_run.arguments(tmp_path / "out", ratings, **wrong))
    assert not (tmp_path / "out").exists()


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


@pytest.mark.slow
def test_it_learns_from_preferences_between_answers_to_prompts(tmp_path):
    """Every chosen answer names its prompt's noun and a good word, every rejected one a bad word."""
    lines = [
        {"prompt": f"{how} {noun}?", "chosen": f"the {noun} is {good}.", "rejected": f"the {noun} is {bad}."}
        for how, noun in itertools.product(("what of the", "how was the", "tell me of the", "and the"), small_run.NOUNS)
        for good, bad in zip(small_run.GOOD, small_run.BAD)
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    size = ("vocabulary=80", "width=16", "layers=1", "prompt=8", "length=8", "updates=60", "reference_answers=128")
    asked = {"set": (*small_run.SET, "dpo.batch_size=4"), "algos": ("rloo", "dpo"), "size": (*size, "steps=128")}
    with pytest.MonkeyPatch.context() as patch:
        small_run.lighten(patch)
        assert command.rlhf(small_run.arguments(tmp_path / "out", None, preferences=path, **asked)) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["judges"] == {"pair_accuracy": 1.0, "unit": "log-odds of being preferred"}
    assert summary["reward_model"]["linear_bigram"] == 1.0 and summary["reward_model"]["ceiling"] is None
    assert set(summary["contenders"]) == {"rloo", "dpo"}
    (only,) = read_experiment(tmp_path / "out" / "optimisation").tasks
    text, judged = only.make().text, task.judged_prompts(only.fields["supervised"])
    assert only.environment == "preferences" and text.prompts.shape[1] <= 9 and len(text.prompts) > 1
    asked, unseen = ({text.decode(row.tolist()) for row in rows} for rows in (text.prompts, judged))
    assert asked and unseen and not asked & unseen  # policies are judged on prompts that they were not optimised on
    width = text.prompts.shape[1]
    of_pairs = {text.decode(row.tolist()) for row in np.asarray(text.preferences.chosen.tokens)[:, :width]}
    assert of_pairs == asked
    assert (tmp_path / "out" / "samples.md").read_text().splitlines()[4] == "| prompt | reference | rloo | dpo |"


def test_small_files_are_split_by_prompt_or_by_what_shares_an_answer(tmp_path):
    def parts(lines):
        path = tmp_path / "pairs.jsonl"
        names = ("prompt", "chosen", "rejected")
        path.write_text("\n".join(json.dumps(dict(zip(names, line))) for line in lines))
        found = corpus.read(small_run.SIZES, preferences=path)
        return found, {index: name for name, own in found.split._asdict().items() for index in own.tolist()}

    found, where = parts([(f"p{i % 25}", f"a{i}", f"b{i}") for i in range(75)])
    assert sorted(where) == list(range(150)) and len(set(where.values())) == 4
    for index, name in where.items():
        assert where[index ^ 1] == name  # the two of a pair
        assert {where[other] for other in where if found.prompts[other] == found.prompts[index]} == {name}
    found, where = parts([("p", f"a{i}", f"a{i - i % 3 + (i + 1) % 3}") for i in range(90)])
    for text in set(found.texts):
        assert len({where[index] for index in where if found.texts[index] == text}) == 1
    assert len(set(where.values())) == 4
    drawn = found.opinions.compared(found.split.train, 1_000, 0)
    assert set(drawn.label.tolist()) == {0.0, 1.0} and len(drawn.label) == len(found.split.train) // 2
    chosen = np.where(drawn.label == 1.0, drawn.first, drawn.second)
    assert np.all(chosen % 2 == 0) and np.all(np.where(drawn.label == 1.0, drawn.second, drawn.first) == chosen + 1)
    assert [text for _, text in found.to_imitate(found.split.gold)] == [
        found.texts[i] for i in found.split.gold if i % 2 == 0
    ]
    assert found.opinions.accuracy(np.arange(4), np.array([1.0, 0.0, 2.0, 2.0])) == 0.75
