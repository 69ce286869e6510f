"""`experiments.games` as users run it: the figures, the picture, games of their own, and what is refused."""

import json

import pytest

from experiments.games import Args, check, game_of, games, points
from experiments.lab.commands.cli import BadInput

COIN = """
from envs.games import Chance, Decision, End, from_function


def coin():
    return from_function(lambda history: END if len(history) == 2 else Decision(len(history), "?", ("h", "t")), 2)


END = End((1.0, -1.0))


def nothing():
    return 3


def sided(faces):
    return coin()


def broken():
    return from_function(lambda history: END if history else Chance({"h": 0.5}), 2)
"""


def test_figures_table_and_picture_are_made(tmp_path, capsys):
    assert games(Args(methods=("cfr",), iterations=100, out=tmp_path / "run")) == 0
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["figures.json", "games.png"]
    found = json.loads((tmp_path / "run" / "figures.json").read_text())
    one = found["methods"]["cfr"]
    assert one["iterations"][-1] == 100 and found["information_sets"] == 12
    assert one["average"][-1] == pytest.approx(0.01645, abs=5e-6)
    assert one["current"][-1] == pytest.approx(0.238, abs=5e-4)
    said = capsys.readouterr().out
    assert "0.01645" in said and "12 information sets" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("game", "methods"),
    [("rock_paper_scissors", ("regret_matching", "fictitious_play", "natural_gradient")), ("game.json", ("policy_gradient",)), ("coin.py:coin", ("cfr_plus",))],
)  # fmt: skip
def test_matrix_games_and_games_of_a_users_own_run(game, methods, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "game.json").write_text(json.dumps({"payoffs": [[[1, 2, 0], [3, 0, 1]], [[0, 1, 2], [1, 0, 4]]]}))
    (tmp_path / "coin.py").write_text(COIN)
    assert games(Args(game=game, methods=methods, iterations=30, out=tmp_path / "run")) == 0
    found = json.loads((tmp_path / "run" / "figures.json").read_text())
    assert list(found["methods"]) == list(methods)
    if not game.endswith("coin"):
        path = found["methods"][methods[0]]["path"]["average"]
        assert len(path) == 30 and sum(path[-1][0]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (Args(methods=("cfr", "cfr")), "name each method once"),
        (Args(methods=("q_learning",)), "unknown method 'q_learning'; choose from: cfr, cfr_plus"),
        (Args(methods=("regret_matching",)), "regret_matching is for games in normal form; on a tree: cfr"),
        (Args(game="poker"), "unknown game 'poker'; choose from: kuhn"),
        (Args(game="none.json"), "cannot read none.json"),
        (Args(game="coin.py:nothing"), "coin.py:nothing returns a int, not a GameTree or a MatrixGame"),
        (Args(game="coin.py:other"), "has no 'other'; it has: coin, nothing"),
        (Args(game="coin.py:sided"), r"coin.py:16: sided must make a game without arguments"),
        (
            Args(game="coin.py:broken"),
            r"coin.py:21: ValueError: the probabilities of chance at history \(\) sum to 0.5",
        ),
        (Args(set=("players",)), "--set takes NAME=NUMBER, not players"),
        (Args(set=("dice=2",)), "kuhn has no field dice; its fields are: players"),
        (Args(set=("players=4",)), "for 2 or 3 players, not 4"),
        (Args(game="coin.py:coin", set=("players=3",)), "--set is for built-in games"),
    ],
)
def test_bad_input_is_refused_in_one_line(args, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "coin.py").write_text(COIN)
    with pytest.raises(BadInput, match=told) as refused:
        check(args)
        game_of(args)
    assert "\n" not in str(refused.value)


def test_one_looks_at_powers_of_ten_and_at_the_end():
    assert {1, 10, 100, 250} <= set(points(250)) and max(points(250)) == 250
    assert points(1) == [1]
