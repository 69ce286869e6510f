"""Long prompts: the reference policy learns from what policies are asked with, and is judged on what they have not met."""

from types import SimpleNamespace

import numpy as np
import pytest
import small_run

from algos.rlhf import tokeniser
from algos.rlhf.language_model import LanguageModel, Output
from experiments.rlhf import encoding
from experiments.rlhf.settings import Sizes
from experiments.rlhf.splits import Split
from experiments.rlhf.stages import supervised
from experiments.rlhf.stages.stage import Stage

PIECES = tokeniser.in_bytes()
LONG = "a tale of many words " * 10


def corpus_of(prompts, held_out, train=None):
    """Returns as much of a corpus as prompts need: those of train, those held out."""
    every = (*(train or prompts), *held_out)
    known = np.arange(len(every) - len(held_out))
    split = Split(train=known, validation=known[:1], gold=known[:1], held_out=np.arange(len(known), len(every)))
    texts = [f"answer {number}" for number in range(len(every))]
    pairs = list(zip(every, texts))
    return SimpleNamespace(
        prompts=every, texts=texts, split=split, inputs={}, learned_from=pairs[: len(known)],
        to_imitate=lambda part: [pairs[index] for index in part],
    )  # fmt: skip


def test_a_text_keeps_the_last_tokens_of_its_prompt_as_policies_are_asked():
    for room in (0, 3, 24, 500):
        asked = encoding.prompts(PIECES, [LONG], room)[0]
        (row,) = encoding.whole(PIECES, [(LONG, "yes")], room)
        assert row == [*asked[asked != PIECES.pad], *PIECES.encode("yes"), PIECES.end]
    assert len(encoding.whole(PIECES, [(LONG, "yes")])[0]) == len(LONG) + 5
    assert encoding.cut(PIECES, [("abcdef", "yes"), ("", "no")], 2) == [("ef", "yes"), ("", "no")]


def test_the_supervised_stage_reads_the_answers_of_long_prompts_and_looks_no_more_often_than_it_moves(
    tmp_path, monkeypatch
):
    seen = {}

    def stop(own, course):
        seen.update(looks=course.looks)
        raise InterruptedError

    monkeypatch.setattr(supervised.supervised, "make", lambda model, tokens, mask, config: seen.update(tokens=tokens))
    monkeypatch.setattr(supervised, "train", stop)
    monkeypatch.setattr(supervised, "compiled", lambda *_: None)
    monkeypatch.setattr(supervised.tokeniser, "learn", lambda texts, vocabulary: PIECES)
    monkeypatch.setattr(supervised, "write_whole", lambda *_: None)
    sizes = Sizes(**vars(small_run.SIZES) | {"row": 64, "prompt": 24, "updates": 2})
    texts = corpus_of([f"{LONG}{n}" for n in range(5)], [LONG + "held"])
    with pytest.raises(InterruptedError):
        supervised.make(Stage(tmp_path, {name: getattr(sizes, name) for name in supervised.SETTINGS}, {}), texts, sizes)
    assert seen["looks"] == 2
    read = "\n".join(PIECES.decode(row) for row in seen["tokens"].tolist())
    assert all(f"{number}answer {number}" in read for number in range(5))


def test_bits_are_of_the_characters_that_are_read():
    def apply(params, tokens, mask):
        nothing = np.zeros(tokens.shape, np.float32)
        return Output(params * np.ones((*tokens.shape, 259), np.float32), nothing, nothing)

    model = LanguageModel(lambda key: np.float32(0.0), apply, None, None, 259)
    bits = supervised.reader_of(model, PIECES, 64, 6)(np.float32(0.0), [(LONG + "why?", "because"), ("", "no")])
    tokens, characters = (6 + 7 + 1) + (2 + 1), (6 + 1 + 7) + 2  # an end each, a space after the prompt
    assert bits == pytest.approx(tokens * np.log2(259) / characters, rel=1e-5)


def test_a_held_out_prompt_that_is_one_of_train_when_it_is_cut_is_left_out_of_what_is_judged(capsys):
    held_out = ["once: who was it?", "twice: who was it?", "where?"]
    found = supervised.prompts_of(PIECES, corpus_of(["and who was it?"], held_out), 11)
    assert [PIECES.decode(row) for row in found.judged.tolist()] == ["where?"]
    assert "2 of 3 held-out prompts are those of train in their last 11 tokens" in capsys.readouterr().out
    whole = supervised.prompts_of(PIECES, corpus_of(["and who was it?"], held_out), 40)
    assert len(whole.judged) == 3 and not capsys.readouterr().out
    with pytest.raises(ValueError, match="2 of 2 held-out prompts.* take --size prompt=22"):
        supervised.prompts_of(PIECES, corpus_of(["and who was it?"], held_out[:2]), 11)


def test_prompts_that_parts_share_by_themselves_stay():
    same = supervised.prompts_of(PIECES, corpus_of(["p", "q"], ["p"]), 24)
    np.testing.assert_array_equal(same.judged, same.train[:1])
    nothing = supervised.prompts_of(PIECES, corpus_of(["", ""], [""]), 24)
    assert nothing.train.tolist() == nothing.judged.tolist() == [[PIECES.begin]]
