"""What a run tells of itself: who is left out and why, in which unit, of how many characters, by which constants."""

import subprocess
import sys
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from algos.rlhf import tokeniser
from experiments.lab.commands.cli import BadInput
from experiments.rlhf import again, command, conclusion, frontier, gold, reached, samples, smollm2, task
from experiments.rlhf.report import page
from experiments.rlhf.settings import QUICK, Sizes
from experiments.rlhf.stages import judges, pretrained, reward_model, supervised
from experiments.rlhf.stages.stage import Finished, Stage, made

PIECES = tokeniser.in_bytes()
FINISHED = Finished(None, "mark", {})


def test_a_contender_without_figures_is_named_with_the_seeds_that_it_lacks(tmp_path, capsys):
    rows = [("rloo", seed, step, "gold_reward", 0.1) for seed, step in ((0, 0), (1, 0), (2, 0), (1, 9))]
    curves = pd.DataFrame(rows, columns=["algorithm", "seed", "env_steps", "metric", "value"])
    experiment, one = SimpleNamespace(seeds=(0, 1, 2)), SimpleNamespace(name="rloo")
    told = conclusion.why_none(curves, one, experiment)
    assert told == "no figures: seeds 0, 2 of its last evaluation is missing: diverged, or not finished"
    conclusion.tell(tmp_path, tmp_path, {"contenders": {}, "left_out": {"rloo": told}})
    assert f"rloo: {told}" in capsys.readouterr().out


def test_reach_goes_on_without_a_seed_that_diverged(monkeypatch, tmp_path):
    def trained(folder, environment, name, seed):
        if seed != 1:
            raise ValueError(f"seed {seed} diverged")
        return SimpleNamespace(answer_kl=0.0), SimpleNamespace(params=None), None

    one = reached.Drawn(np.full((4, 3), 99), np.ones((4, 3)), *np.zeros((4, 4)))
    only = SimpleNamespace(
        make=lambda: SimpleNamespace(text=SimpleNamespace(length=2, reference_params=None)), environment="",
        judge=SimpleNamespace(settings={"judges": None, "supervised": None}), contenders=[SimpleNamespace(name="rloo")],
    )  # fmt: skip
    experiment = SimpleNamespace(tasks=[only], seeds=(0, 1))
    judge = SimpleNamespace(score=lambda texts: np.arange(4.0))
    monkeypatch.setattr(reached, "read_experiment", lambda folder: experiment)
    monkeypatch.setattr(reached.task, "load_judges", lambda *_: task.Judges(judge, None, PIECES))
    monkeypatch.setattr(reached, "programs", lambda env: (lambda *_: one, lambda *_: np.zeros(4)))
    monkeypatch.setattr(reached.policies, "trained", trained)
    monkeypatch.setattr(reached.text_metrics, "distinct_2", lambda texts: 0.5)
    rows, missing = reached.of_run(tmp_path, 4)
    assert [row["seed"] for row in rows] == [1] and missing == {"rloo, seed 0": "seed 0 diverged"}
    assert rows[0]["optimum_kl"] == 0.0 and rows[0]["beta"] == np.inf  # rewards that are one number are no error
    experiment.seeds = (0,)
    with pytest.raises(ValueError, match="seed 0 diverged"):
        reached.of_run(tmp_path, 4)


def test_the_picture_says_the_unit_of_the_gold_judge(monkeypatch, tmp_path):
    words = []
    monkeypatch.setattr(frontier, "dress", lambda panel, *said: words.extend(said[:2]))
    summary = {
        "judges": {"unit": "log-odds of being preferred"}, "contenders": {}, "optimum": [], "seeds": [0],
        "best_of_n": [{"n": 1, "kl": 0.0, "gold_gain": 0.0}], "reference": {"answers": 9},
        "predicted_slope": {"gold_gain_per_root_two_kl": 1.0},
    }  # fmt: skip
    frontier.draw(tmp_path / "frontier.png", summary, {})
    assert words[1] == "gold reward above the reference's, in log-odds of being preferred"


def test_half_of_a_surrogate_pair_that_a_policy_writes_can_be_written_to_a_file():
    text = PIECES.decode(PIECES.encode("a\ud800b"))
    assert text == "a\ud800b" and samples.writable(text) == "a?b" and samples.writable("né 😀") == "né 😀"


def test_the_report_shows_how_well_a_pretrained_model_orders_pairs():
    summary = {"judges": {"pair_accuracy": 0.76}, "smollm2": {"pair_accuracy": 0.81, "ceiling": 0.89}}
    assert [share for _, share in page.compared(summary)] == [0.76, 0.81, 0.89]
    summary["smollm2"] |= {"frozen": {"pair_accuracy": 0.8}, "layers": {"pair_accuracy": 0.805}}
    assert page.compared(summary)[1:4] == [
        ("a head on SmolLM2 as it is, whole texts", 0.8), ("SmolLM2 with trained layers, whole texts", 0.805),
        ("the same and a linear model of words", 0.81),
    ]  # fmt: skip
    assert len(page.compared({"judges": {"pair_accuracy": 0.76}})) == 1


def test_a_pretrained_models_fluency_is_of_the_characters_that_it_read(monkeypatch):
    reader = smollm2.Reader(None, None, PIECES, suffix="")
    program = lambda params, tokens, mask: (-np.ones(tokens.shape), np.zeros((*tokens.shape, 2)))  # noqa: E731
    monkeypatch.setattr(smollm2.jax, "jit", lambda function: program)
    read = smollm2.reading(reader)(["é" * 100, "abc", ""])  # 200 bytes, of which LONGEST are read
    assert read.characters.tolist() == [smollm2.LONGEST // 2, 3, 0]
    assert smollm2.nats_per_character(read.log_likelihood, read.characters) == pytest.approx(3 / 67)


@pytest.mark.parametrize(
    "stage, module, name, value",
    [
        (judges, gold, "RIDGE", 9.0),
        (judges, gold, "FEATURES", gold.FEATURES[:1]),
        (judges, gold, "WEIGHING", (1.0, 2.0)),
        (judges, judges, "RIDGE", 9.0),
        (reward_model, reward_model, "RIDGE", 9.0),
        (reward_model, reward_model.counting, "RIDGE", 9.0),
        (pretrained, pretrained, "RIDGES", (1.0,)),
        (pretrained, smollm2, "LONGEST", 7),
        (pretrained, pretrained.adapted, "RANK", 4),
        (pretrained, pretrained.adapted, "LEARNING_RATE", 1.0),
    ],
)  # fmt: skip
def test_a_constant_that_decides_a_stage_is_in_its_key(monkeypatch, tmp_path, stage, module, name, value):
    (tmp_path / "model").write_bytes(b"weights")
    monkeypatch.setattr(smollm2, "file", lambda: tmp_path / "model")
    monkeypatch.setattr(stage, "made", lambda own, outputs, make: own.key)
    more = (FINISHED, FINISHED) if stage is reward_model else ()
    before = stage.stage(tmp_path, SimpleNamespace(inputs={}), QUICK, *more)
    monkeypatch.setattr(module, name, value)
    assert stage.stage(tmp_path, SimpleNamespace(inputs={}), QUICK, *more) != before


def test_rewards_are_normalised_on_answers_to_prompts_of_train(monkeypatch):
    asked = supervised.Prompts(np.arange(10)[:, None], np.arange(10, 13)[:, None])
    monkeypatch.setattr(supervised, "load_prompts", lambda *_: asked)
    monkeypatch.setattr(supervised, "load_answers", lambda folder: "answers to what is judged")
    monkeypatch.setattr(supervised, "reference_answers", lambda reference, prompts, sizes: prompts)
    found = reward_model.answers_of_train(None, FINISHED, Sizes(reference_answers=4))
    assert found.tolist() == [[0], [3], [6], [9]]
    asked = asked._replace(judged=asked.train)
    assert reward_model.answers_of_train(None, FINISHED, QUICK) == "answers to what is judged"


def test_a_report_made_anew_finds_what_a_pretrained_model_read(monkeypatch, tmp_path):
    def make(own):
        (own.folder / "a.npz").write_bytes(own.name.encode())
        return {"of": own.name}

    stages = {
        name: made(Stage(tmp_path / name, {}, {}), ("a.npz",), make) for name in ("judges", "smollm2", "supervised")
    }
    named = {name: task.named(stage) for name, stage in stages.items()}
    only = SimpleNamespace(
        judge=SimpleNamespace(settings={"judges": named["judges"], "smollm2": True}),
        fields={name: named["supervised"] for name in ("supervised", "comparisons")},
    )
    monkeypatch.setattr(again, "read_experiment", lambda folder: SimpleNamespace(tasks=[only]))
    assert again.finished(tmp_path).smollm2 == stages["smollm2"] and again.finished(tmp_path).reward_model is None
    (tmp_path / "smollm2" / "a.npz").write_bytes(b"changed")
    with pytest.raises(BadInput, match="not as it was written"):
        again.finished(tmp_path)
    only.judge.settings.pop("smollm2")
    assert again.finished(tmp_path).smollm2 is None


def test_a_dropout_rate_of_1_is_refused():
    with pytest.raises(BadInput, match="reward_dropout is the share that is dropped, below 1"):
        command.sizes_of(command.Args(size=("reward_dropout=1.0",)))
    assert command.sizes_of(command.Args(size=("reward_dropout=0.99",))).reward_dropout == 0.99


def test_a_checkpoint_in_bfloat16_is_read_also_before_jax_is_there(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    safetensors.save_file({"x": np.asarray(jnp.array([1.5, -2.0], jnp.bfloat16))}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    code = "import pathlib, sys; from experiments.rlhf import pretrained; assert 'jax' not in sys.modules\n"
    code += f"print(pretrained.read(pathlib.Path({str(tmp_path)!r}))[1]['x'].astype(float).tolist())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout == "[1.5, -2.0]\n", run.stderr
