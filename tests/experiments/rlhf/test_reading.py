"""What language experiments learn from is read whole, or its first bad line is named by file, number and field."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest

from experiments.rlhf import reading
from experiments.rlhf.reading import HUMAN_SENTIMENT, read_preferences, read_ratings, read_sentences

ROOT = Path(reading.__file__).parents[2]
HEADER = "id\tratings\ttext\n"
GOOD = {"prompt": "A film", "chosen": " worth seeing", "rejected": " to forget"}


@pytest.fixture
def write(tmp_path):
    def written(content: str | bytes) -> Path:
        path = tmp_path / "given"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


def test_the_human_ratings_are_those_of_the_file():
    rated = read_ratings()
    lines = HUMAN_SENTIMENT.read_text(encoding="utf-8").splitlines()
    assert len(rated.texts) == len(rated.ratings) == len(lines) - 1 == 10_605
    assert rated.texts[2] == "Effective but too tepid biopic"
    assert rated.ratings[2].tolist() == [-1, 0, -1, 0, -1, -1, -1, -1, 0, -2, 1, 1, -1, -1, -1]
    assert rated.means[2] == pytest.approx(-9 / 15)
    assert {one.dtype for one in rated.ratings} == {np.dtype(np.int64)}
    assert sum(map(len, rated.ratings)) == sum(line.split("\t")[1].count(",") + 1 for line in lines[1:])


@pytest.mark.parametrize(
    "content, told",
    [
        ("", "given is empty"),
        (HEADER, "it has a header and no sentence"),
        ("1\t2,3\tGood\n", "given:1: the first line must be the header id ratings text"),
        (HEADER + "1\t2,3\n", "given:2: 3 fields with tabs between, id, ratings, text, not 2"),
        (HEADER + "1\t2\ta\n2\t2\tb\tc\n", "given:3: 3 fields with tabs between, id, ratings, text, not 4"),
        (HEADER + "1\t2\ta\n\n", "given:3: 3 fields"),
        (HEADER + "1\t2,nan\tGood\n", "given:2: ratings: whole numbers with commas between, not 'nan'"),
        (HEADER + "1\t2,1.5\tGood\n", "given:2: ratings: whole numbers with commas between, not '1.5'"),
        (HEADER + "1\t2,\tGood\n", "given:2: ratings: whole numbers with commas between, not ''"),
        (HEADER + "1\t\tGood\n", "given:2: ratings: whole numbers with commas between, not ''"),
        (HEADER + "1\t--2\tGood\n", "given:2: ratings: whole numbers with commas between, not '--2'"),
        (HEADER + "1\t99999999999999999999\tGood\n", "given:2: ratings: whole numbers"),
        (HEADER + "1\t2\ta\n2\t3\t \n", "given:3: text: it is empty"),
        (HEADER + "\t2\ta\n", "given:2: id: it is empty"),
        (HEADER + "7\t2\ta\n8\t2\tb\n7\t1\tc\n", "given:4: id: 7 is that of line 2 already"),
        (HEADER.encode() + b"1\t2\ta\n2\t3\tcaf\xe9\n", "given:3: byte 8 of the line is not UTF-8"),
    ],
)
def test_a_bad_line_of_a_rating_file_is_named(write, content, told):
    with pytest.raises(ValueError, match=told.replace(".", r"\.")) as error:
        read_ratings(write(content))
    assert "\n" not in str(error.value)


def test_lines_may_end_as_on_windows_and_a_line_separator_of_unicode_ends_none(write):
    rated = read_ratings(write("\ufeff" + (HEADER + "1\t2,-3\tone\u2028line\n").replace("\n", "\r\n")))
    assert rated.texts == ("one\u2028line",)
    assert rated.ratings[0].tolist() == [2, -3]


def test_a_text_file_is_its_lines_and_an_empty_one_is_named(write):
    assert read_sentences(write("First.\nSecond.")) == ("First.", "Second.")
    with pytest.raises(ValueError, match="given:2: text: it is empty"):
        read_sentences(write("First.\n\nThird.\n"))
    with pytest.raises(ValueError, match="cannot read .*none: No such file"):
        read_sentences(write("First.").with_name("none"))


def test_preferences_are_read_and_other_fields_passed_over(write):
    other = GOOD | {"prompt": "", "chosen": "é", "margin": 0.5}
    found = read_preferences(write(json.dumps(GOOD) + "\n" + json.dumps(other, ensure_ascii=False) + "\n"))
    assert [one._asdict() for one in found] == [GOOD, {name: other[name] for name in GOOD}]


@pytest.mark.parametrize(
    "line, told",
    [
        ("", "no JSON"),
        ("{'prompt': 1}", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ('["prompt"]', "an object with prompt, chosen, rejected, not list"),
        (json.dumps(GOOD)[:-1] + ', "chosen": " b"}', "chosen: it is there twice"),
        (json.dumps({"prompt": "a", "chosen": "b"}), "rejected: it is missing"),
        (json.dumps(GOOD | {"chosen": None}), "chosen: a string, not NoneType"),
        (json.dumps(GOOD | {"chosen": float("nan")}), "chosen: a string, not float"),
        (json.dumps(GOOD | {"prompt": [{"role": "user"}]}), "prompt: a string, not list"),
        (json.dumps(GOOD | {"rejected": " "}), "rejected: it is empty"),
        (json.dumps(GOOD | {"chosen": "\ud800"}), "chosen: it has half of a surrogate pair"),
    ],
)
def test_a_bad_line_of_preferences_is_named(write, line, told):
    content = f"{json.dumps(GOOD)}\n{line}\n"
    with pytest.raises(ValueError, match=f"given:2: {told}") as error:
        read_preferences(write(content))
    assert "\n" not in str(error.value)


def test_an_installed_copy_has_every_file_of_the_data_and_its_licence():
    tables = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    packed = {
        path
        for package, patterns in tables.items()
        for pattern in patterns
        for path in (ROOT / package.replace(".", "/")).glob(pattern)
    }
    present = {path for path in HUMAN_SENTIMENT.parent.rglob("*") if path.is_file()}
    assert {"LICENSE", "README.md", "movie_reviews.tsv"} == {path.name for path in present}
    assert present <= packed
    assert "MIT License" in (HUMAN_SENTIMENT.parent / "LICENSE").read_text()
    assert (ROOT / "experiments" / "rlhf" / "__init__.py").is_file()  # else setuptools finds no package


@pytest.mark.slow
def test_a_wheel_that_is_built_holds_the_data(tmp_path):
    import shutil
    import subprocess
    import sys
    import zipfile

    source = tmp_path / "source"
    shutil.copytree(ROOT / "experiments", source / "experiments", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(source))
    subprocess.run(pip, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = archive.read("experiments/rlhf/data/human_sentiment/movie_reviews.tsv")
        assert "experiments/rlhf/data/human_sentiment/LICENSE" in archive.namelist()
    assert inside == HUMAN_SENTIMENT.read_bytes()
