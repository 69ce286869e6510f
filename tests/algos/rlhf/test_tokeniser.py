"""Tokenisers: any text comes back, the same texts give the same tokeniser, specials are no part of a text."""

import hashlib
import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algos.rlhf import tokeniser
from algos.rlhf.tokeniser import CLOSE, OPEN, in_bytes, learn, learned

# Synthetic text of words that share beginnings and ends.
TEXTS = [
    f"The {a}er {b}s, the {a}est {b} and a café." for a in ("old", "new", "long") for b in ("film", "plot", "joke")
] * 5
BPE, BYTES = learn(TEXTS, 90), in_bytes()
ODD = ["", " ", "  two  spaces ", "tab\tand\nline\r\n", "日本語 😀", "\u2581", OPEN, f"{OPEN}41{CLOSE}", "\0", "\ud800", "e\u0301",
       "ÀÉ", "\u00a0", "\ufeff", "<s></s><unk>"]  # fmt: skip
PRINT = """
import hashlib, json, sys
from algos.rlhf.tokeniser import learn
TEXTS = json.loads(sys.argv[1])
found = learn(TEXTS, 90)
print(hashlib.sha256(found.model).hexdigest(), found.encode("The older film jokes."))
"""


@pytest.mark.parametrize("kind", [BPE, BYTES], ids=["pieces", "bytes"])
@pytest.mark.parametrize("text", [*ODD, *TEXTS[:2]], ids=ascii)
def test_odd_texts_come_back(kind, text):
    assert kind.decode(kind.encode(text)) == text


@pytest.mark.parametrize("kind", [BPE, BYTES], ids=["pieces", "bytes"])
@settings(max_examples=150, deadline=None)
@given(text=st.text(st.characters(codec=None) | st.sampled_from(f"the older film{OPEN}{CLOSE}\u2581 0af"), max_size=20))
def test_any_text_comes_back_in_ids_that_are_no_specials(kind, text):
    ids = kind.encode(text)
    assert kind.decode(ids) == text
    assert all(
        0 <= i < kind.vocabulary and i not in (kind.pad, kind.begin, kind.end, tokeniser.UNKNOWN)
        for i in ids
        if kind is BPE
    )
    assert all(kind.end < i < kind.vocabulary for i in ids)


@pytest.mark.parametrize("kind", [BPE, BYTES], ids=["pieces", "bytes"])
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_ids_have_a_text(kind, data):
    ids = data.draw(st.lists(st.integers(0, kind.vocabulary - 1), max_size=20))
    assert isinstance(kind.decode(ids), str)
    specials = [kind.pad, kind.begin, kind.end]
    assert kind.decode([*specials, *ids, *specials]) == kind.decode(ids)


def test_pad_begin_and_end_differ():
    for kind in (BPE, BYTES):
        assert len({kind.pad, kind.begin, kind.end}) == 3


@pytest.mark.parametrize(
    "texts", [["a"], [" a"], ["\n", "a\n\nb"], ["ab", "\ud800x"], ["\u65e5\u672c" * 3], ["<unk></s> a"]], ids=ascii
)
def test_odd_texts_can_be_learned_from(texts):
    # Which size fits follows from the text: of these one at least does, and the others are refused, not worse.
    fitting = []
    for vocabulary in range(20, 32):
        try:
            fitting.append(learn(texts, vocabulary))
        except ValueError as error:
            assert "take" in str(error)
    assert fitting and all(kind.decode(kind.encode(text)) == text for kind in fitting for text in texts)


def test_the_vocabulary_is_what_was_asked_for_and_pieces_are_longer_than_characters():
    assert BPE.vocabulary == 90
    assert len(BPE.encode(TEXTS[0])) < 0.6 * len(TEXTS[0])
    assert BYTES.vocabulary == 259 and BYTES.encode("é") == [3 + 0xC3, 3 + 0xA9]


def test_the_same_texts_give_the_same_tokeniser_in_every_process():
    here = f"{hashlib.sha256(BPE.model).hexdigest()} {BPE.encode('The older film jokes.')}"
    for seed in ("1", "2"):
        env = {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", PRINT, json.dumps(TEXTS)], capture_output=True, text=True, env=env, check=True
        )
        assert done.stdout.strip() == here
        assert done.stderr == ""


def test_a_tokeniser_comes_back_from_its_model():
    again = learned(BPE.model)
    assert again.vocabulary == BPE.vocabulary and all(again.encode(text) == BPE.encode(text) for text in TEXTS + ODD)


@pytest.mark.parametrize(
    "texts, vocabulary, message",
    [
        (TEXTS, 5000, "more than these texts allow, which is"),
        (TEXTS, 20, "leaves no room"),
        (["", "\n "], 99, "none that is not"),
        (TEXTS, 4.5, "a whole number"),
        (TEXTS, 3, "a whole number"),
    ],
)
def test_an_impossible_vocabulary_is_one_clear_line(texts, vocabulary, message):
    with pytest.raises(ValueError, match=message) as error:
        learn(texts, vocabulary)
    assert "\n" not in str(error.value)
