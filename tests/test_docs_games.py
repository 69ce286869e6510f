"""What docs/games.md says is true."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import tyro

from experiments import games

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "games.md").read_text()
CODE = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = re.findall(r"^python -m (experiments\..*)$", TEXT, re.MULTILINE)


def table(title):
    """Returns the rows of the table with this title in its first column."""
    lines = TEXT[TEXT.index(f"| {title} |") :].splitlines()
    rows = lines[2 : next(n for n, line in enumerate([*lines, ""]) if not line.startswith("|"))]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip("|"))] for row in rows]


def test_every_file_that_is_named_is_there():
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / "docs" / target).exists(), target


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_one(command, tmp_path, monkeypatch):
    (tmp_path / "my_games.py").write_text(CODE[0])
    monkeypatch.chdir(tmp_path)
    args = tyro.cli(games.Args, args=shlex.split(command)[1:])
    games.check(args)
    assert games.game_of(args)


def test_every_game_and_every_method_is_listed():
    from envs.games import named

    assert {name for name in named.NAMES if f"`{name}`" in TEXT} == set(named.NAMES)
    listed = re.findall(r"`(\w+)`", " ".join(row[0] for row in table("method | step")))
    assert sorted(listed) == sorted((*games.ON_TREES, *games.NORMAL_FORM))


@pytest.mark.parametrize("row", table("game | histories"), ids=lambda row: row[0])
def test_every_game_has_the_size_that_is_told(row):
    from envs.games import named

    name, *words = re.findall(r"[\w=]+", row[0])
    tree = named.make(name, **games.fields(tuple(word for word in words if "=" in word)))
    assert str(tree.num_histories) == row[1]
    assert " + ".join(map(str, np.bincount(tree.mover))) == row[2]


@pytest.mark.slow
def test_the_code_prints_what_it_says(capsys):
    for code in CODE[1:]:
        exec(code, {})
    first, second, *earned = capsys.readouterr().out.splitlines()
    assert np.allclose([float(word) for word in re.findall(r"[-\d.]+", first)], [0.125, -0.125, 0.916667], atol=1e-6)
    assert abs(float(second)) < 1e-12
    (_, more, least), (_, best, together) = ([float(word) for word in line.split()] for line in earned)
    assert more > least + 0.1 and abs(best - together) < 1e-9


@pytest.mark.slow
def test_the_table_is_what_the_command_finds(tmp_path, capsys):
    import json

    games.games(games.Args(out=tmp_path / "run"))
    found = json.loads((tmp_path / "run" / "figures.json").read_text())["methods"]
    for name, *told in table("method | 10 iterations"):
        one = found[name.strip("`")]
        at = [one["average"][one["iterations"].index(n)] for n in (10, 100, 1000)]
        assert [float(x) for x in told] == pytest.approx([*at, one["current"][-1]], abs=1e-5), name


def test_ties_broken_at_random_make_the_runs_that_are_told():
    payoff, gaps = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]), []
    for seed in range(20):
        draw, counts = np.random.default_rng(seed), np.array([[1, 0, 0], [1, 0, 0]])
        for _ in range(100):
            worth = payoff @ counts[1], -counts[0] @ payoff
            for player, values in enumerate(worth):
                counts[player, draw.choice(np.flatnonzero(values == values.max()))] += 1
        gaps.append(((payoff @ counts[1]).max() + (-counts[0] @ payoff).max()) / 101)
    least, most = map(float, re.search(r"ties at random, it was at ([\d.]+) to ([\d.]+) after", TEXT).groups())
    assert [min(gaps), max(gaps)] == pytest.approx([least, most], abs=5e-4)
