"""What would fail, or mislead, at the end of a run is refused before anything trains."""

import json
import re

import jax
import numpy as np
import pytest
import small_run

from algos.rlhf import tokeniser
from envs import text
from experiments.lab.commands.cli import BadInput
from experiments.rlhf import command, encoding, pipeline, user_reward
from experiments.rlhf.stages.supervised import JUDGED

PIECES, LENGTH = tokeniser.in_bytes(), 5


@pytest.fixture(scope="module")
def ratings(tmp_path_factory):
    return small_run.write_ratings(tmp_path_factory.mktemp("data") / "ratings.tsv")


@pytest.fixture(scope="module")
def preferences(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    lines = [{"prompt": f"p{i}", "chosen": f"a{i}", "rejected": f"b{i}"} for i in range(60)]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def refused(asked):
    with pytest.raises(BadInput) as told:
        pipeline.checked(asked, command.sizes_of(asked), begun=False)
    assert "\n" not in str(told.value)
    return str(told.value)


def test_another_temperature_is_refused_also_as_a_point_of_a_sweep(ratings, tmp_path):
    told = "temperature=0.7: the reference's answers are drawn at temperature 1"
    assert told in refused(small_run.arguments(tmp_path / "out", ratings, set=("rloo.temperature=0.7",)))
    assert told in refused(small_run.arguments(tmp_path / "out", ratings, sweep=("rloo.temperature=1.0,0.7",)))


def test_too_few_preferences_for_a_batch_and_too_few_answers_for_the_prompts_are_refused(preferences, tmp_path):
    few = {"preferences": preferences, "algos": ("dpo",), "set": (), "data": None}
    asked = small_run.arguments(tmp_path / "out", None, **{**few, "set": ("dpo.batch_size=30",)})
    assert re.search(r"dpo: batch_size=30 is more than the 18 preferences of the train part", refused(asked))
    least = 2 * JUDGED
    asked = small_run.arguments(tmp_path / "out", None, **few, size=(f"reference_answers={least - 1}",))
    assert f"reference_answers={least - 1}: {least} or more" in refused(asked)
    asked = small_run.arguments(tmp_path / "out", None, **{**few, "set": ("dpo.batch_size=8",)})
    pipeline.checked(asked, command.sizes_of(asked), begun=False)


def test_a_reward_that_fails_on_an_empty_answer_or_on_tokens_is_refused(tmp_path):
    file = tmp_path / "rewards.py"
    file.write_text(
        "import numpy as np\n"
        "def per_letter(texts):\n    return [1 / len(text) for text in texts]\n"
        "def column(tokens, mask):\n    return np.asarray(mask).sum(axis=1, keepdims=True)\n"
        "def wrong(tokens, mask):\n    return [float(row[99]) for row in tokens]\n"
        "def right(tokens, mask):\n    return [float(row.sum()) for row in mask]\n"
    )
    with pytest.raises(ValueError, match="per_letter: ZeroDivisionError: division by zero"):
        user_reward.checked(f"{file}:per_letter")
    with pytest.raises(ValueError, match="column gives one finite number an answer"):
        user_reward.of_answers(f"{file}:column", PIECES, LENGTH)
    with pytest.raises(ValueError, match="wrong: IndexError"):
        user_reward.of_answers(f"{file}:wrong", PIECES, LENGTH)
    rows = encoding.rows(PIECES, ["abc", ""], LENGTH)
    np.testing.assert_array_equal(user_reward.of_answers(f"{file}:right", PIECES, LENGTH)(*rows), [4.0, 1.0])


def test_what_a_reward_says_that_fails_while_a_program_runs_is_one_line():
    def broken(tokens, mask, answer_mask):
        raise KeyError("no such word")

    def column(tokens, mask, answer_mask):
        return mask.sum(axis=1, keepdims=True)

    rows = encoding.rows(PIECES, ["abc", ""], LENGTH)
    for reward, said in ((broken, "KeyError: 'no such word'"), (column, r"ValueError: .*one number an answer, \[2\]")):
        with pytest.raises(jax.errors.JaxRuntimeError) as told:
            jax.block_until_ready(jax.jit(text.on_host(reward))(*rows))
        assert re.match(said, user_reward.failure(told.value))


def test_a_run_ends_with_that_line(monkeypatch, tmp_path):
    def fails(*_):
        raise jax.errors.JaxRuntimeError("INTERNAL: callback\nTraceback:\n  File x\nKeyError: 'no such word'\n")

    monkeypatch.setattr(pipeline, "make_stages", fails)
    asked = small_run.arguments(tmp_path, None, reward="mine.py:reward")
    with pytest.raises(BadInput, match="^mine.py:reward: KeyError: 'no such word'$"):
        pipeline.run(asked, tmp_path, small_run.SIZES, None, "")
