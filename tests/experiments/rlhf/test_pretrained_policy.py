"""--policy: policies that begin as a pretrained model, with its own tokeniser."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import small_gguf
import small_run

from experiments.lab.commands.cli import BadInput
from experiments.rlhf import command, corpus, encoding, pipeline, smollm2
from experiments.rlhf.settings import contender
from experiments.rlhf.stages import stage, supervised, training

NO_TEXT = [0, 1]  # tokens of the file that no text goes on with: all that are no text, but the end, 2


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Gives a small GGUF file in the place of the package's."""
    pytest.importorskip("gguf")
    path = small_gguf.write(tmp_path_factory.mktemp("model") / "small.gguf", deviation=0.2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(smollm2, "file", lambda: path)
        yield path


@pytest.fixture(scope="module")
def ratings(tmp_path_factory):
    return small_run.write_ratings(tmp_path_factory.mktemp("data") / "ratings.tsv")


def stage_of(asked):
    """Returns the texts and sizes of a run's arguments."""
    own = command.sizes_of(asked)
    return corpus.read(own, asked.data), own


def test_the_stage_begins_as_the_checkpoint_and_keeps_all_that_its_policy_is_made_of_again(
    small, ratings, tmp_path, monkeypatch
):
    barely = dataclasses.replace(small_run.SIZES, updates=1, looks=1, learning_rate=1e-30)
    made = supervised.stage(tmp_path / "supervised", corpus.read(barely, ratings), barely, "smollm2")
    monkeypatch.setattr(smollm2, "file", None)  # what is finished asks for no package
    reference = supervised.load(made.folder, made.mark)
    tokens = [0, *reference.tokeniser.encode("the other one, at 12"), 2]
    found = reference.model.apply(reference.params, np.array([tokens]), np.ones((1, len(tokens)), np.float32))
    expected, _ = small_gguf.read_alone(
        small_gguf.stored(small), tokens, small_gguf.HEADS, small_gguf.SHARED, small_gguf.BASE
    )
    possible = [token for token in range(expected.shape[1]) if token not in NO_TEXT]
    np.testing.assert_allclose(found.logits[0][:, possible], expected[:, possible], atol=2e-4)
    assert np.all(jax.nn.softmax(found.logits[0])[:, NO_TEXT] == 0.0)
    assert reference.tokeniser.decode(tokens) == "the other one, at 12"


def test_it_goes_from_ratings_to_policies_that_began_so_and_goes_on_where_it_was_cut(
    small, ratings, tmp_path, monkeypatch, capsys
):
    small_run.lighten(monkeypatch)
    out = tmp_path / "run"
    asked = small_run.arguments(out, ratings, policy="smollm2")
    with pytest.MonkeyPatch.context() as patch:
        small_run.stopping_after(patch, 1)
        assert command.rlhf(asked) == 130
    cut = out / "stages" / "supervised" / training.CHECKPOINT
    assert cut.exists()  # in the middle of the supervised stage
    assert command.rlhf(asked) == 0
    straight = supervised.stage(tmp_path / "straight", *stage_of(asked), "smollm2")
    assert straight.mark == stage.whole(out / "stages" / "supervised").mark and not cut.exists()
    summary = json.loads((out / "summary.json").read_text())
    assert set(summary["contenders"]) == {"rloo"}
    assert min(summary["contenders"]["rloo"]["kl"]["values"]) > 0
    settings = stage.read(out / "stages" / "supervised")["settings"]
    assert settings["policy"] == "smollm2" and "width" not in settings
    capsys.readouterr()
    assert command.rlhf(asked) == 0
    assert "supervised: finished before" in capsys.readouterr().out
    with pytest.raises(BadInput, match="was begun with --policy=smollm2, not None"):
        command.rlhf(small_run.arguments(out, ratings))


def test_an_answer_to_a_prompt_is_a_word_of_its_own_and_is_told_without_the_space(small):
    pieces = smollm2.load(small).tokeniser
    asked = encoding.prompts(pieces, ["Is it?", ""], 8)
    found = encoding.rows(pieces, ["the best", "the best"], 12, asked)
    (after, alone), whole = found.answers, encoding.whole(pieces, [("Is it?", "the best"), ("", "the best")])
    assert pieces.decode(after) == " the best" and pieces.decode(alone) == "the best"
    assert pieces.decode(whole[0]) == encoding.joined("Is it?", "the best") and pieces.decode(whole[1]) == "the best"
    assert encoding.texts_of(pieces, found.answers) == ["the best"] * 2


def test_fewer_answers_are_drawn_at_a_time_where_there_are_many_pieces():
    assert encoding.at_once(512, 24) == 512 and 0 < encoding.at_once(49_152, 24) * 49_152 * 24 <= 2**27


def test_sizes_that_the_model_brings_and_other_models_are_refused(small, ratings, tmp_path):
    for wrong, said in [
        (
            {"policy": "smollm2", "size": ("width=64",)},
            "--size width=64: with --policy smollm2 the model has a width of its own",
        ),
        ({"policy": "gpt5"}, "unknown model 'gpt5'; choose smollm2"),
    ]:
        with pytest.raises(BadInput, match=said):
            command.rlhf(small_run.arguments(tmp_path / "none", ratings, **wrong))
    assert not (tmp_path / "none").exists()


def test_a_block_has_one_trial_also_on_an_accelerator_unless_more_are_asked_for(tmp_path):
    widths = [
        pipeline.experiment(small_run.arguments(tmp_path, tmp_path, **more), small_run.SIZES, None).width
        for more in ({"policy": "smollm2"}, {"policy": "smollm2", "trials": "vmap"}, {})
    ]
    assert widths == [1, None, None]


def test_steps_are_smaller_than_those_of_a_policy_from_nothing():
    assert contender("ppo", 1000, pretrained=True).hparams.learning_rate < contender("ppo", 1000).hparams.learning_rate
    assert contender("best_of_n", 1000, pretrained=True) == contender("best_of_n", 1000)
