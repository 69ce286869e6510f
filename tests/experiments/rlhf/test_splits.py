"""Parts of a text collection share no sentence, whatever the order of the file."""

import numpy as np
import pytest

from experiments.rlhf.reading import read_ratings
from experiments.rlhf.splits import sameness, split

SENTENCES = [f"Sentence number {number}." for number in range(200)]


def parts_of(texts, **settings):
    """Returns the texts of each part."""
    return {name: [texts[i] for i in part] for name, part in split(texts, **settings)._asdict().items()}


def test_every_human_sentence_lies_in_one_part_and_half_of_what_is_not_held_out_in_gold():
    texts = read_ratings().texts
    found = split(texts)
    np.testing.assert_array_equal(np.sort(np.concatenate(found)), np.arange(len(texts)))
    sames = [{sameness(texts[index]) for index in part} for part in found]
    assert len(set().union(*sames)) == sum(map(len, sames)) < len(texts)  # the file has sentences twice
    sizes = {name: len(part) for name, part in zip(found._fields, sames)}
    assert (sizes["held_out"], sizes["validation"]) == (1_000, 500)
    assert abs(sizes["gold"] - (sizes["train"] + 500)) <= 1


def test_sentences_that_differ_in_case_spaces_or_punctuation_alone_lie_in_one_part():
    again = [text.upper().replace(" ", "  ").replace(".", "!?") for text in SENTENCES]
    for part in parts_of(SENTENCES + again, held_out=50, validation=30).values():
        assert sorted(map(sameness, part[: len(part) // 2])) == sorted(map(sameness, part[len(part) // 2 :]))
        assert len(part) == 2 * len(set(map(sameness, part)))


def test_sentences_without_letters_are_the_same_where_they_are_equal():
    assert sameness("...") == "..." != sameness("!!!")


def test_the_order_of_the_file_decides_nothing_and_the_seed_all():
    settings = {"held_out": 50, "validation": 30}
    first, turned = parts_of(SENTENCES, **settings), parts_of(SENTENCES[::-1], **settings)
    assert {name: sorted(part) for name, part in first.items()} == {n: sorted(part) for n, part in turned.items()}
    assert first != parts_of(SENTENCES, seed=1, **settings)
    assert [sorted(part) for part in split(SENTENCES, **settings)] == [
        list(part) for part in split(SENTENCES, **settings)
    ]


def test_the_human_sentences_are_split_as_they_were_yesterday():
    found = split(read_ratings().texts)
    assert [part[:4].tolist() for part in found] == [[0, 1, 5, 7], [12, 18, 59, 75], [2, 3, 4, 6], [8, 15, 17, 20]]


@pytest.mark.parametrize(
    "settings, told",
    [
        ({}, "200 different sentences are too few to hold out 1000"),
        ({"held_out": 50, "validation": 75}, "too few to hold out 50, give 75 to gold, stop by 75"),
        ({"held_out": 0}, "held_out=0"),
        ({"held_out": 50, "validation": 0}, "validation=0"),
        ({"held_out": 50, "validation": 5, "gold": 1.0}, "gold=1.0"),
        ({"held_out": 50, "validation": 5, "gold": 0.001}, "give 0 to gold"),
    ],
)
def test_a_split_that_leaves_a_part_empty_is_refused(settings, told):
    with pytest.raises(ValueError, match=told):
        split(SENTENCES, **settings)
