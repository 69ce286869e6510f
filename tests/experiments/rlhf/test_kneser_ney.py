"""The Kneser-Ney model is the equations', a distribution in every context, and as good as the chapter says."""

import itertools
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from experiments.rlhf import kneser_ney
from experiments.rlhf.reading import read_ratings
from experiments.rlhf.splits import split
from experiments.rlhf.text_metrics import bits_per_character

BEGIN, END, OTHER = "^", "$", "?"
TEXTS = ("abab", "abca", "b", "caab", "bab", "cab", "abba")


def grams_of(texts, n):
    """Returns how often each n-gram occurs, padded by `n - 1` beginnings."""
    padded = [BEGIN * (n - 1) + text + END for text in texts]
    return Counter(text[place : place + n] for text in padded for place in range(len(text) - n + 1))


def counts_of(texts, n, order):
    """Returns what the equations count: occurrences, or in shorter n-grams the different symbols before them."""
    occurrences = grams_of(texts, n)
    if n == order:
        return occurrences
    before = Counter(longer[1:] for longer in grams_of(texts, n + 1))
    return {gram: occurrences[gram] if gram[0] == BEGIN else before[gram] for gram in occurrences}


def discounts_of(counts):
    found = [sum(1 for count in counts.values() if count == k) for k in range(6)]
    n1, n2, n3, n4 = map(Fraction, found[1:5])
    y = n1 / (n1 + 2 * n2) if n1 else Fraction(1, 2)
    if not (n1 and n2 and n3):
        return [y, y, y]
    return [1 - 2 * y * n2 / n1, max(2 - 3 * y * n3 / n2, 0), max(3 - 4 * y * n4 / n3, 0)]


def chance_of(texts, order, history, symbol):
    """Returns p(symbol | history) by the equation, as a fraction."""
    alphabet = set("".join(texts))
    chance = Fraction(1, len(alphabet) + 2)
    for n in range(1, order + 1):
        counts = counts_of(texts, n, order)
        context = history[len(history) - n + 1 :]
        following = {gram: count for gram, count in counts.items() if gram[:-1] == context}
        if not following:
            break
        discount = [0, *discounts_of(counts)]
        off = {gram: min(discount[min(count, 3)], count) for gram, count in following.items()}
        total, gram = sum(following.values()), context + symbol
        first = following.get(gram, 0) - off.get(gram, 0)
        chance = first / Fraction(total) + sum(off.values()) / Fraction(total) * chance
    return chance


def in_symbols(model, word):
    names = [chr(point) for point in model.characters] + [OTHER, END, BEGIN]
    return [names.index(letter) for letter in word]


@pytest.mark.parametrize("order", [1, 2, 3])
def test_probabilities_are_the_equations_in_every_context(order):
    model = kneser_ney.fit(TEXTS, order)
    for history in map("".join, itertools.product("abc?^", repeat=order - 1)):
        for symbol in "abc?$":
            got = kneser_ney.probability(
                model, np.array([in_symbols(model, history)]).reshape(1, -1), np.array(in_symbols(model, symbol))
            )
            assert got[0] == pytest.approx(float(chance_of(TEXTS, order, history, symbol)), rel=1e-12), (
                history,
                symbol,
            )


def test_a_case_by_hand():
    # "aa" and "ab", order 2. Pairs: ^a 2, aa 1, a$ 1, ab 1, b$ 1: n1 = 4, n2 = 1, no three, so D = 4 / 6 = 2/3.
    # Before a: ^ and a, 2; before $: a and b, 2; before b: a, 1. n1 = 1, n2 = 2, D = 1/5; V = 4.
    # p(b) = 4/25 + 3/5 / 5 * 1/4 = 0.16 + 0.03; p(b | a) = (1 - 2/3) / 3 + 2/3 * 0.19.
    model = kneser_ney.fit(("aa", "ab"), 2)
    got = kneser_ney.probability(model, np.array([in_symbols(model, "a")]), np.array(in_symbols(model, "b")))
    assert got[0] == pytest.approx(1 / 9 + 2 / 3 * 0.19, rel=1e-12)


@pytest.fixture(scope="module")
def human():
    rated = read_ratings()
    parts = split(rated.texts)
    return {name: [rated.texts[index] for index in part] for name, part in parts._asdict().items()}


@pytest.fixture(scope="module")
def gold(human):
    return kneser_ney.fit(human["gold"])


def test_probabilities_sum_to_one_in_contexts_seen_and_unseen(gold, human):
    seen, _ = kneser_ney._windows(gold.characters, human["held_out"][:40], gold.order)
    unseen = np.random.default_rng(0).integers(gold.num_symbols + 1, size=(300, gold.order - 1))
    histories = np.concatenate([seen, unseen])
    symbols = np.arange(gold.num_symbols)
    chance = kneser_ney.probability(
        gold, np.repeat(histories, len(symbols), 0), np.tile(symbols, len(histories))
    ).reshape(len(histories), -1)
    assert np.all(chance > 0.0)
    np.testing.assert_allclose(chance.sum(1), 1.0, rtol=1e-10)


def test_a_text_costs_the_sum_over_its_characters_and_its_end(gold):
    text = "A café of Ω."  # with a character that no sentence has
    history = BEGIN * (gold.order - 1)
    names = "".join(chr(point) for point in gold.characters)
    total = []
    for letter in [*text, END]:
        symbol = len(names) + 1 if letter == END else (names.index(letter) if letter in names else len(names))
        place = [len(names) + 2 if x == BEGIN else names.index(x) if x in names else len(names) for x in history]
        total.append(np.log(kneser_ney.probability(gold, np.array([place]), np.array([symbol]))[0]))
        history = (history + letter)[1:]
    found = kneser_ney.log_prob(gold, ["one", text, ""])
    assert found[1] == pytest.approx(sum(total), rel=1e-12)
    assert kneser_ney.log_prob(gold, ["", text], np.array([True, False]))[1] == pytest.approx(
        sum(total[:-1]), rel=1e-12
    )


@pytest.mark.slow
def test_held_out_sentences_cost_less_than_the_chapter_s_1_894_bits_a_character(human):
    learned = human["train"] + human["gold"] + human["validation"]
    assert bits_per_character(kneser_ney.fit(learned), human["held_out"]) == pytest.approx(1.8535, abs=0.0001)


@pytest.mark.slow
def test_more_context_helps(gold, human):
    bits = [bits_per_character(kneser_ney.fit(human["gold"], order), human["held_out"]) for order in (2, 4)]
    assert bits[0] > bits[1] + 0.5 > bits_per_character(gold, human["held_out"]) + 0.5


def test_no_texts_are_refused():
    with pytest.raises(ValueError, match="not 0 texts, order 7"):
        kneser_ney.fit([])
