"""What is held out stays unseen: by the supervised stage, by the reward model, and in whatever order a file lies."""

import json

import numpy as np
import pytest
import small_run

from experiments.rlhf import corpus
from experiments.rlhf.splits import sameness

SIZES = small_run.SIZES


def of_lines(tmp_path, lines):
    """Returns the corpus of (prompt, chosen, rejected) lines."""
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(json.dumps(dict(zip(("prompt", "chosen", "rejected"), line))) for line in lines))
    return corpus.read(SIZES, preferences=path)


def test_further_sentences_that_are_held_out_or_validation_ones_are_left_out_and_counted(tmp_path, capsys):
    path, more = small_run.write_ratings(tmp_path / "ratings.tsv"), tmp_path / "more.txt"
    alone = corpus.read(SIZES, path)
    hidden = alone.of(np.concatenate([alone.split.held_out, alone.split.validation]))
    kept = ["another sentence", alone.texts[alone.split.train[0]]]
    more.write_text("\n".join([*(text.upper().replace(".", "!") for text in hidden), *kept]) + "\n")
    found = corpus.read(SIZES, path, more)
    assert found.more == tuple(kept)
    assert not {sameness(text) for _, text in found.learned_from} & set(map(sameness, hidden))
    assert f"{len(hidden)} of {len(hidden) + 2} sentences are held-out or validation" in capsys.readouterr().out


def test_answers_without_a_prompt_share_none_with_another_part_also_among_many_prompts(tmp_path, capsys):
    blank = [("", f"a{i}", f"a{i - i % 3 + (i + 1) % 3}") for i in range(90)]
    found = of_lines(tmp_path, [(f"p{i}", f"c{i}", f"d{i}") for i in range(30)] + blank)
    where = {index: name for name, own in found.split._asdict().items() for index in own.tolist()}
    assert len({where[index] for index in where if not found.prompts[index]}) > 1
    for text in set(found.texts):
        assert len({where[index] for index in where if found.texts[index] == text}) == 1
    assert "held-out answers" not in capsys.readouterr().out


def test_the_share_of_held_out_answers_that_the_reward_model_has_met_is_told(tmp_path, capsys):
    lines = [(f"p{i}", "always the same", f"b{i}") for i in range(40)]
    found = of_lines(tmp_path, lines)
    known = set(found.of(found.split.train))
    share = np.mean([text in known for text in found.of(found.split.held_out)])
    assert share == 0.5 and f"{share:.1%} of held-out answers are answers of the train part" in capsys.readouterr().out


def test_the_first_comparisons_are_of_the_whole_file(tmp_path):
    found = of_lines(tmp_path, [(f"p{i}", f"a{i}", f"b{i}") for i in range(400)])
    drawn = found.opinions.compared(found.split.train, 10_000, 0)
    lines = np.minimum(drawn.first, drawn.second) // 2
    assert sorted(lines) == sorted(found.split.train[::2] // 2)
    assert lines[: len(lines) // 4].mean() == pytest.approx(200, abs=60)


def test_each_part_of_a_small_file_has_two_texts_to_compare(tmp_path):
    path = small_run.write_ratings(tmp_path / "ratings.tsv")
    path.write_text("\n".join(path.read_text().splitlines()[:13]) + "\n")
    assert min(map(len, corpus.read(SIZES, path).split)) >= 2
