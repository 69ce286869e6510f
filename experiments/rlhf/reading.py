"""Reads what a language experiment learns from: rated sentences, sentences, and answers of which one was preferred.

A line that cannot be used is named by file, number and field, before anything trains. Lines end with \\n or \\r\\n alone,
so that a line separator of Unicode inside a sentence cuts nothing.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HUMAN_SENTIMENT = Path(__file__).parent / "data" / "human_sentiment" / "movie_reviews.tsv"
COLUMNS = ("id", "ratings", "text")
FIELDS = ("prompt", "chosen", "rejected")
LARGEST = 1_000_000  # a rating's size: beyond it, it is a slip


class Rated(NamedTuple):
    """Sentences, each with the rating that each of its raters gave."""

    texts: tuple[str, ...]
    ratings: tuple[np.ndarray, ...]  # int64 [raters of that sentence]

    @property
    def means(self) -> np.ndarray:
        """The mean rating of each sentence, [N]."""
        return np.array([one.mean() for one in self.ratings])


class Preference(NamedTuple):
    """One prompt and two answers to it, of which a person chose the first."""

    prompt: str
    chosen: str
    rejected: str


def read_ratings(path: Path = HUMAN_SENTIMENT) -> Rated:
    """Returns the sentences of a rating file: tab-separated, first line `id ratings text`, ratings whole numbers with
    commas between. Raises ValueError, in one line."""
    lines = _lines(path)
    header = next(lines)[1].split("\t")
    if tuple(header) != COLUMNS:
        raise ValueError(f"{path}:1: the first line must be the header {' '.join(COLUMNS)}, with tabs between")
    texts, ratings, seen = [], [], {}
    for number, line in lines:
        where, cells = f"{path}:{number}", line.split("\t")
        if len(cells) != len(COLUMNS):
            raise ValueError(
                f"{where}: {len(COLUMNS)} fields with tabs between, {', '.join(COLUMNS)}, not {len(cells)}"
            )
        identity, numbers, text = cells
        first = seen.setdefault(_filled(identity, where, "id"), number)
        if first != number:
            raise ValueError(f"{where}: id: {identity} is that of line {first} already")
        ratings.append(np.array([_rating(word, where) for word in numbers.split(",")]))
        texts.append(_filled(text, where, "text"))
    if not texts:
        raise ValueError(f"{path}: it has a header and no sentence")
    return Rated(tuple(texts), tuple(ratings))


def read_sentences(path: Path) -> tuple[str, ...]:
    """Returns the lines of a text file, one sentence each. Raises ValueError, in one line."""
    return tuple(_filled(line, f"{path}:{number}", "text") for number, line in _lines(path))


def read_preferences(path: Path) -> tuple[Preference, ...]:
    """Returns the preferences of a file of JSON lines, each an object with the texts `prompt`, `chosen` and `rejected`;
    a prompt may be empty, other fields are passed over. Raises ValueError, in one line."""
    return tuple(_preference(line, f"{path}:{number}") for number, line in _lines(path))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yields (number, line) of a file. Raises ValueError where there is none, none in it, or one is not UTF-8."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    lines = lines[:-1] if not lines[-1] else lines
    if not lines:
        raise ValueError(f"{path} is empty")
    for number, line in enumerate(lines, 1):
        try:
            yield number, line.removesuffix(b"\r").decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}:{number}: byte {error.start + 1} of the line is not UTF-8") from None


def _filled(text: str, where: str, field: str) -> str:
    if not text.strip():
        raise ValueError(f"{where}: {field}: it is empty")
    return text


def _rating(word: str, where: str) -> int:
    try:
        rating = int(word) if word.strip().lstrip("+-").isdecimal() else None
    except ValueError:
        rating = None
    if rating is None or abs(rating) > LARGEST:
        raise ValueError(f"{where}: ratings: whole numbers with commas between, not {word!r}")
    return rating


def _preference(line: str, where: str) -> Preference:
    try:
        content = json.loads(line, object_pairs_hook=lambda pairs: _each_once(pairs, where))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{where}: no JSON: {getattr(error, 'msg', 'too many brackets')}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{where}: an object with {', '.join(FIELDS)}, not {type(content).__name__}")
    return Preference(*(_text(content, field, where) for field in FIELDS))


def _each_once(pairs: list[tuple[str, Any]], where: str) -> dict[str, Any]:
    for field in FIELDS:
        if sum(name == field for name, _ in pairs) > 1:
            raise ValueError(f"{where}: {field}: it is there twice")
    return dict(pairs)


def _text(content: dict[str, Any], field: str, where: str) -> str:
    if field not in content:
        raise ValueError(f"{where}: {field}: it is missing")
    text = content[field]
    if not isinstance(text, str):
        raise ValueError(f"{where}: {field}: a string, not {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{where}: {field}: it has half of a surrogate pair, which is no text") from None
    return text if field == "prompt" else _filled(text, where, field)
