import pytest

from algos.rlhf import byte_pairs
from algos.rlhf.byte_pairs import byte_level

END, PAD, BEGIN = "<end>", "<pad>", "<begin>"
MERGES = ["Ġ t", "h e", "Ġt he", "l o", "lo w", "e r", "w l", "e e"]
PIECES = [BEGIN, PAD, END, *byte_pairs.SPELLING, *(merge.replace(" ", "") for merge in MERGES)]


def made(**more):
    return byte_level(PIECES, MERGES, begin=0, pad=1, end=2, **more)


def spelt(tokeniser, text):
    return [PIECES[number] for number in tokeniser.encode(text)]


def test_the_pair_that_was_learned_first_is_merged_first():
    assert spelt(made(), " the lower") == ["Ġthe", "Ġ", "low", "er"]
    assert spelt(made(), "hehe") == ["he", "he"]
    assert spelt(made(), "wlolow") == ["w", "lo", "low"]  # `l o` goes before `w l`, wherever it stands
    assert spelt(made(), "eeee") == ["ee", "ee"]
    assert spelt(made(), "eee") == ["ee", "e"]  # of two alike the left one


def test_words_are_cut_as_gpt2_cuts_them():
    # each list is what the package tokenizers 0.23.3 gives, by ByteLevel and by Digits before it
    cases = {
        "I'll  don't\n\n we've 12 345  ": "I|'ll| | don|'t|\n\n| we|'ve| 12| 345|  ".split("|"),
        "x² ½_a": ["x", "²", " ½", "_", "a"],
        "'s's'S": ["'s", "'s", "'", "S"],
        " é́ 三!?": [" é", "́", " 三", "!?"],
    }
    for text, words in cases.items():
        assert byte_pairs._words(text) == words
    apart = ["a", " ", "1", "2", ".", "5", " ", "½", " b"]
    assert byte_pairs._digits_apart("a 12.5 ½ b") == apart


def test_any_text_comes_back_and_special_pieces_say_nothing():
    tokeniser = made(digits_apart=True)
    for text in ("", " the  lower\tlow er\n", "naïve 日本 2024 \U0001f600", "\x00\x07"):
        assert tokeniser.decode(tokeniser.encode(text)) == text
    assert tokeniser.decode([0, *tokeniser.encode(" the"), 2, 1]) == " the"
    assert not {0, 1, 2} & set(tokeniser.encode("<end><pad>"))


def test_a_byte_without_a_piece_is_dropped_and_a_merge_without_one_refused():
    few = [piece for piece in PIECES if piece != byte_pairs.SPELLING[7]]
    tokeniser = byte_level(few, MERGES, begin=0, pad=1, end=2)
    assert tokeniser.decode(tokeniser.encode("a\x07b")) == "ab"
    with pytest.raises(ValueError, match="no piece for 1 merges, the first 'a b'"):
        byte_level(PIECES, [*MERGES, "a b"], begin=0, pad=1, end=2)


def test_a_tokeniser_is_made_again_from_its_model():
    first = made(special=[0, 1, 2], digits_apart=True)
    again = byte_pairs.learned(first.model)
    for text in (" the lower 12", "naïve \U0001f600"):
        assert again.encode(text) == first.encode(text)
        assert again.decode(again.encode(text)) == text
    assert again[2:] == first[2:]


def test_letters_count_as_small_ones_and_what_spells_other_bytes_as_itself():
    tokeniser = byte_level([*PIECES, "The", "the"], MERGES, begin=0, pad=1, end=2)
    ids = {piece: number for number, piece in enumerate([*PIECES, "The", "the"])}
    assert [tokeniser.folded[ids[piece]] for piece in ("The", "A", "z")] == [ids["the"], ids["a"], ids["z"]]
    assert tokeniser.folded[ids["Ġ"]] == ids["Ġ"]  # a space: its small letter spells another byte
    assert "ġ" in ids and all(tokeniser.folded[number] == number for number in range(3))
