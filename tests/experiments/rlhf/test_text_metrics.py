"""What a policy writes is measured as the definitions say, beside what it is rewarded for."""

import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest

from experiments.rlhf import kneser_ney, vader
from experiments.rlhf.text_metrics import bits_per_character, distinct_2, fluency, lengths


def test_distinct_2_is_the_share_of_different_pairs_of_words():
    assert distinct_2(["a b a b", "A b c"]) == pytest.approx(3 / 5)  # ab ba ab, ab bc
    assert distinct_2(["so so so so so"]) == pytest.approx(1 / 4)
    assert np.isnan(distinct_2(["one", ""]))


def test_no_pair_of_words_reaches_from_one_text_into_the_next():
    assert distinct_2(["a b", "a b"]) == pytest.approx(1 / 2)


def test_lengths_are_characters():
    assert lengths(["", "né"]).tolist() == [0, 2]


def test_fluency_is_the_log_probability_a_character_with_the_ends_of_those_that_ended():
    model = kneser_ney.fit(("a good film", "a film"), 3)
    texts, ended = ["a film", "a go"], np.array([True, False])
    total = kneser_ney.log_prob(model, texts[:1])[0] + kneser_ney.log_prob(model, texts[1:], False)[0]
    assert fluency(model, texts, ended) == pytest.approx(total / 10)
    assert fluency(model, ["a film"]) > fluency(model, ["mlif a"])
    assert bits_per_character(model, texts[:1]) == pytest.approx(
        -kneser_ney.log_prob(model, texts[:1])[0] / np.log(2) / 6
    )
    assert np.isnan(fluency(model, ["", ""]))


def test_vader_is_asked_for_where_it_is_wanted_alone_and_says_what_to_install(monkeypatch):
    alone = "import sys, experiments.rlhf.vader; sys.exit(any('vaderSentiment' in name for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", alone]).returncode == 0
    monkeypatch.setitem(sys.modules, "vaderSentiment", None)
    monkeypatch.setitem(sys.modules, "vaderSentiment.vaderSentiment", None)
    with pytest.raises(ValueError, match="pip install vaderSentiment"):
        vader.scores(["good"])


def test_vader_s_column_is_its_compound_score(monkeypatch):
    module = ModuleType("vaderSentiment.vaderSentiment")

    class SentimentIntensityAnalyzer:
        def polarity_scores(self, text):
            return {"neg": 0.9, "pos": 0.1, "compound": len(text) / 10}

    module.SentimentIntensityAnalyzer = SentimentIntensityAnalyzer
    monkeypatch.setitem(sys.modules, "vaderSentiment", ModuleType("vaderSentiment"))
    monkeypatch.setitem(sys.modules, "vaderSentiment.vaderSentiment", module)
    np.testing.assert_array_equal(vader.scores(["abc", ""]), [0.3, 0.0])


def test_vader_itself_prefers_what_is_good():
    pytest.importorskip("vaderSentiment")
    good, bad = vader.scores(["A wonderful film!", "A terrible mess."])
    assert good > 0.3 > -0.3 > bad
