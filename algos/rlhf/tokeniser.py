"""Text to token ids and back: byte pair encoding learned from the user's own texts, or plain bytes.

Byte pair encoding (Sennrich et al. 2016, arXiv 1508.07909) starts from characters and merges the most frequent pair of
pieces, again and again, until there are as many as asked for; sentencepiece does the counting. What it makes of one list
of texts is the same in every process. Any text comes back as it was: a character that the pieces lack (a rare one, or one
never seen) is written by its number in hexadecimal, between two marks.

Both kinds begin with the ids pad, begin and end, of which none is part of any text.
"""

import io
import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import sentencepiece

PAD, BEGIN, END, UNKNOWN = range(4)  # sentencepiece demands an id for what is unknown; nothing is, so it is never given
OPEN, CLOSE = "\ue000", "\ue001"  # of private use, so in nobody's text; where they are, they are escaped themselves
DIGITS = "0123456789abcdef"
SPACE = "\u2581"  # how sentencepiece writes a space
COVERAGE = 0.9999  # of the text's characters that get a piece of their own
ESCAPED = re.compile(f"{OPEN}([{DIGITS}]{{1,6}}){CLOSE}|[{OPEN}{CLOSE}]")
TOO_LARGE = re.compile(r"Vocabulary size too high \(\d+\)\. Please set it to a value <= (\d+)")
TOO_SMALL = re.compile(r"Vocabulary size is smaller than required_chars\. \d+ vs (\d+)")


class Tokeniser(NamedTuple):
    """Ids are 0 to vocabulary - 1. `encode` gives a text's own ids: begin and end are for the caller to put."""

    encode: Callable[[str], list[int]]
    decode: Callable[[Sequence[int]], str]  # ids of pad, begin and end say nothing; any ids at all have a text
    vocabulary: int
    folded: Sequence[int]  # for each id that of the same piece in small letters, or itself where there is none
    model: bytes = b""  # what `learned` makes it from again, here or in byte_pairs.py; empty for bytes
    pad: int = PAD
    begin: int = BEGIN
    end: int = END
    between: str = ""  # a prompt and its answer, where encoding puts no space before a text by itself


def learn(texts: Iterable[str], vocabulary: int) -> Tokeniser:
    """Returns the byte pair encoding of the texts with so many ids. Raises ValueError where they do not allow so many."""
    if type(vocabulary) is not int or not UNKNOWN < vocabulary < 2**31:
        raise ValueError(
            f"vocabulary must be a whole number of more than the {UNKNOWN + 1} special ids, not {vocabulary!r}"
        )
    texts = [text for text in map(_plain, texts) if text.strip()]
    if not texts:
        raise ValueError("a tokeniser is learned from texts, and there is none that is not empty")
    written = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=written, model_type="bpe", vocab_size=vocabulary,
            pad_id=PAD, bos_id=BEGIN, eos_id=END, unk_id=UNKNOWN, required_chars=OPEN + CLOSE + DIGITS,
            character_coverage=COVERAGE, normalization_rule_name="identity", remove_extra_whitespaces=False,
            max_sentence_length=2**30, num_threads=1, minloglevel=3,
        )  # fmt: skip
    except RuntimeError as error:
        raise ValueError(_reason(str(error), vocabulary)) from None
    return learned(written.getvalue())


def _plain(text: str) -> str:
    """Returns the text without the characters that only escapes can write."""
    marks = dict.fromkeys(map(ord, OPEN + CLOSE + SPACE + "\0"))
    return text.translate(marks).encode("utf-8", "ignore").decode("utf-8")


def _reason(message: str, vocabulary: int) -> str:
    if found := TOO_LARGE.search(message):
        return f"vocabulary={vocabulary} is more than these texts allow, which is {found[1]}: take less, or more text"
    if found := TOO_SMALL.search(message):
        return f"vocabulary={vocabulary} leaves no room for the {found[1]} characters of these texts: take more"
    return f"no tokeniser of vocabulary={vocabulary} can be learned from these texts: {message.splitlines()[0]}"


def learned(model: bytes) -> Tokeniser:
    """Returns the tokeniser that `learn` gave with this `model`."""
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model)
    vocabulary = pieces.get_piece_size()
    spelt = [pieces.id_to_piece(i) for i in range(vocabulary)]
    alphabet = {piece for piece in spelt[UNKNOWN + 1 :] if len(piece) == 1} - {OPEN, CLOSE, SPACE} | {" "}

    def encode(text):
        return pieces.encode("".join(c if c in alphabet else f"{OPEN}{ord(c):x}{CLOSE}" for c in text))

    def decode(ids):
        return _unescaped(pieces.decode([int(i) for i in ids if i > UNKNOWN]))

    return Tokeniser(encode, decode, vocabulary, folded(spelt, str.lower), model)


def folded(spelt: Sequence[str], lower: Callable[[str], str]) -> list[int]:
    """Returns for each id, so spelt, that of the same piece in small letters, or itself where there is none."""
    ids = {piece: i for i, piece in enumerate(spelt)}
    return [ids.get(lower(piece), i) for i, piece in enumerate(spelt)]


def _unescaped(text: str) -> str:
    """Returns the text with characters for their numbers; a mark without a number, as samples may have it, is dropped."""
    return ESCAPED.sub(lambda found: chr(min(int(found[1], 16), 0x10FFFF)) if found[1] else "", text)


def in_bytes() -> Tokeniser:
    """Returns the tokeniser whose ids are the bytes of UTF-8, after the special ones: 259 ids, nothing learned."""
    first = END + 1

    def encode(text):
        return [first + byte for byte in text.encode("utf-8", "surrogatepass")]

    def decode(ids):
        spelt = bytes(int(i) - first for i in ids if i >= first)
        try:
            return spelt.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:  # samples need not be UTF-8
            return spelt.decode("utf-8", "replace")

    small = [i + 32 if "A" <= chr(max(i - first, 0)) <= "Z" else i for i in range(first + 256)]
    return Tokeniser(encode, decode, first + 256, small)
