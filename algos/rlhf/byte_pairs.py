"""The tokeniser of GPT-2, SmolLM and Llama 3: byte pair encoding of bytes (Radford et al. 2019; Sennrich et al. 2016, arXiv
1508.07909), by the vocabulary and the merges that a checkpoint brings.

A text is cut into words, each with the space before it; a word's bytes are then merged, pair by pair, the pair that was
merged first in learning going first. Pieces are spelt with one printable character a byte: a space is Ġ.
"""

import functools
import json
import re
import string
import sys
import unicodedata
from collections.abc import Callable, Sequence

from algos.rlhf.tokeniser import Tokeniser, folded

SMALL = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)  # other characters spell bytes, of no letter each


def byte_level(
    pieces: Sequence[str],
    merges: Sequence[str],
    *,
    begin: int,
    end: int,
    pad: int,
    special: Sequence[int] = (),
    digits_apart: bool = False,
) -> Tokeniser:
    """Returns the tokeniser of these pieces (an id each) and merges ("left right", the first learned first).

    special: ids that no text is encoded to and that decode to nothing. digits_apart: each digit is a word, as SmolLM's are.
    A byte that has no piece, as control characters may have none, is dropped. Raises ValueError for a merge without one.
    """
    ids = {piece: number for number, piece in enumerate(pieces)}
    if missing := [merge for merge in merges if merge.replace(" ", "") not in ids]:
        raise ValueError(f"the vocabulary has no piece for {len(missing)} merges, the first {missing[0]!r}")
    ranks = {tuple(merge.split(" ")): rank for rank, merge in enumerate(merges)}
    silent = {begin, end, pad, *special}
    cut = _digits_apart if digits_apart else _words

    @functools.lru_cache(maxsize=2**16)
    def of_word(word: str) -> tuple[int, ...]:
        spelt = [SPELLING[byte] for byte in word.encode("utf-8", "surrogatepass")]
        return tuple(ids[piece] for piece in merged(spelt, ranks) if piece in ids)

    def encode(text):
        return [number for word in cut(text) for number in of_word(word)]

    def decode(numbers):
        spelt = "".join(pieces[number] for number in map(int, numbers) if number not in silent)
        return bytes(BYTES[character] for character in spelt if character in BYTES).decode("utf-8", "replace")

    given = dict(begin=begin, end=end, pad=pad, special=list(special), digits_apart=digits_apart)
    model = json.dumps({"pieces": list(pieces), "merges": list(merges), **given}).encode()
    small = folded(pieces, lambda piece: piece.translate(SMALL))
    return Tokeniser(encode, decode, len(pieces), small, model, pad=pad, begin=begin, end=end, between=" ")


def learned(model: bytes) -> Tokeniser:
    """Returns the tokeniser that `byte_level` gave with this `model`."""
    return byte_level(**json.loads(model))


def merged(spelt: list[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """Returns the pieces of a word: the neighbours of lowest rank become one, the leftmost first, until none has a rank."""
    while len(spelt) > 1:
        pairs = list(zip(spelt, spelt[1:]))
        at = min(range(len(pairs)), key=lambda place: ranks.get(pairs[place], sys.maxsize))
        if pairs[at] not in ranks:
            break
        spelt = [*spelt[:at], "".join(pairs[at]), *spelt[at + 2 :]]
    return spelt


def _spelling() -> list[str]:
    """Returns the character that each byte is spelt with: itself where it prints, else one from U+0100 on, in their order."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


SPELLING = _spelling()
BYTES = {character: byte for byte, character in enumerate(SPELLING)}


def _digits_apart(text: str) -> list[str]:
    pieces = _patterns()[1].split(text)  # numbers are at the odd places: the pattern is a group
    return [word for place, piece in enumerate(pieces) for word in ([piece] if place % 2 else _words(piece))]


def _words(text: str) -> list[str]:
    return _patterns()[0].findall(text)


@functools.cache
def _patterns() -> tuple[re.Pattern, re.Pattern]:
    r"""Returns (a word of GPT-2, one number). Python's `re` knows no \p{L} and \p{N}: \w is letters, numbers and _ ."""
    numbers = _class_of(lambda character: unicodedata.category(character).startswith("N"))
    letter, number, other = f"[^\\W_{numbers}]", f"[{numbers}]", f"(?:[^\\s\\w{numbers}]|_)"
    contractions = "'s|'t|'re|'ve|'m|'ll|'d"
    words = rf"{contractions}| ?{letter}+| ?{number}+| ?{other}+|\s+(?!\S)|\s+"
    return re.compile(words), re.compile(f"({number})")


def _class_of(holds: Callable[[str], bool]) -> str:
    """Returns the characters for which it holds, as the inside of a character class of `re`."""
    found = [code for code in range(sys.maxunicode + 1) if holds(chr(code))]
    begins = [code for before, code in zip([-2, *found], found) if code != before + 1]
    ends = [code for code, after in zip(found, [*found[1:], -2]) if code != after - 1]
    return "".join(f"\\U{begin:08x}-\\U{end:08x}" for begin, end in zip(begins, ends))
