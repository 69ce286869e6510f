"""What a text is counted by: words, pairs of neighbouring words, stems that a negation precedes, and parts of words."""

import re
from collections.abc import Callable, Sequence

Features = Callable[[str], list[str]]  # of a text; a feature that occurs twice counts once

WORD = re.compile(r"[^\W_]+(?:'[^\W\d_]+)?|[!?.]+")
NEGATIONS = frozenset("not no never neither nor without hardly barely little too lacks less nothing".split())
TURNS = frozenset((".", "!", "?", "but"))  # a negation reaches no further
REACH = 4  # words after a negation
ENDINGS = tuple(
    "ingly edly iest ness ment ing ies ied est ed ly er es s".split()
)  # longest first where one ends another
PARTS = range(2, 7)  # characters, of a word between spaces


def words(text: str) -> list[str]:
    """Returns words in lower case and groups of . ! ?, in order."""
    return WORD.findall(text.lower())


def one_and_two_words(text: str) -> list[str]:
    """Returns words and pairs of neighbours: what a linear bigram model counts."""
    found = words(text)
    return found + neighbours(found)


def stems(text: str) -> list[str]:
    """Returns stems, marked where negated, and pairs of neighbouring stems, a text's beginning and end among them."""
    found = words(text)
    stemmed = [stem(word) for word in found]
    return negated(found, stemmed) + neighbours(["<", *stemmed, ">"])


def word_parts(text: str) -> list[str]:
    """Returns the character n-grams inside words, by which a word that was never rated resembles those that were."""
    return [part for word in words(text) for part in parts(word)]


def neighbours(found: Sequence[str]) -> list[str]:
    """Returns each word with the next."""
    return [f"{first} {second}" for first, second in zip(found, found[1:])]


def negated(found: Sequence[str], stemmed: Sequence[str]) -> list[str]:
    """Returns the stems, those within reach of a negation with a mark."""
    marked, left = [], 0
    for word, base in zip(found, stemmed):
        if word in NEGATIONS or word.endswith("n't"):
            marked.append(base)
            left = REACH
            continue
        left = 0 if word in TURNS else left
        marked.append(f"not_{base}" if left else base)
        left = max(left - 1, 0)
    return marked


def stem(word: str) -> str:
    """Returns the word without a common ending, where three letters or more are left."""
    for ending in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def parts(word: str) -> list[str]:
    """Returns the character n-grams of a word between spaces; one that is shorter than n, once whole."""
    whole = f" {word} "
    return [whole[start : start + n] for n in PARTS for start in range(max(1, len(whole) - n + 1))]
