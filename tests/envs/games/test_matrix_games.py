"""Games in normal form: the published payoffs, the same game as a tree, and what is refused."""

import itertools
import json

import numpy as np
import pytest

from envs.games import as_tree, matrix, named
from envs.games.tree import END


def test_the_payoffs_are_those_of_the_papers():
    dilemma = matrix.prisoners_dilemma()
    assert dilemma.payoff.tolist() == [[[3, 0], [5, 1]], [[3, 5], [0, 1]]]
    assert matrix.stag_hunt().payoff[:, 0, 1].tolist() == [0, 3]
    for k in (0.0, -25.0, -100.0):
        game = matrix.penalty(k).payoff
        assert (game[0] == game[1]).all() and game[0].tolist() == [[10, 0, k], [0, 2, 0], [k, 0, 10]]
    climbing = matrix.climbing().payoff
    assert (climbing[0] == climbing[1]).all() and climbing[0].tolist() == [[11, -30, 0], [-30, 7, 6], [0, 0, 5]]
    for game in (matrix.rock_paper_scissors(), matrix.matching_pennies()):
        assert (game.payoff.sum(0) == 0.0).all()
    assert matrix.rock_paper_scissors().payoff[0, 1, 0] == 1.0  # paper wraps rock


def test_the_tree_of_a_game_pays_what_the_table_says():
    game = matrix.from_arrays(
        np.random.default_rng(0).normal(size=(3, 2, 3, 2)), [("a", "b"), ("b", "c", "a"), ("x", "y")]
    )
    tree = as_tree(game)
    assert tree.mover.tolist() == [0, 1, 2] and tree.legal.sum(1).tolist() == [2, 3, 2]
    for end in np.flatnonzero(tree.player == END):
        path, history = [], end
        while history:
            path.append(int(tree.action[history]))
            history = tree.parent[history]
        np.testing.assert_array_equal(tree.payoff[end], game.payoff[(slice(None), *reversed(path))])
    assert (tree.player == END).sum() == len(list(itertools.product(range(2), range(3), range(2))))


@pytest.mark.parametrize(
    ("described", "told"),
    [
        ([1, 2], 'a game in normal form is {"payoffs"'),
        ({"payoff": [[1]]}, 'a game in normal form is {"payoffs"'),
        ({"payoffs": [[[1, 2], [3, 4]]]}, r"have the shape \[N, A_1, ..., A_N\], not \[1, 2, 2\]"),
        ({"payoffs": [[[1, 2], [3]], [[1, 2], [3, 4]]]}, "all of one shape"),
        ({"payoffs": [[[1, "x"], [3, 4]], [[1, 2], [3, 4]]]}, "one table of numbers for each player"),
        ({"payoffs": [[[1, 2], [3, float("nan")]], [[1, 2], [3, 4]]]}, r"payoff of player 0 at \[1, 1\] is not finite: nan"),
        ({"payoffs": [[[1, 2]], [[3, 4]]], "actions": [["a"], ["b"]]}, r"names of \[1, 1\] actions, and payoffs of \[1, 2\]"),
        ({"payoffs": [[[1, 2]], [[3, 4]]], "actions": [["a"], ["b", "b"]]}, "need unlike names, not b, b"),
        ({"payoffs": [[[1, 2]], [[3, 4]]], "names": []}, "'names' is unknown"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_game_is_refused_in_one_line_that_names_it(described, told, tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(described))
    with pytest.raises(ValueError, match=told) as refused:
        named.from_file(path)
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)


def test_what_is_no_dilemma_and_no_penalty_is_refused():
    with pytest.raises(ValueError, match="T > R > P > S"):
        matrix.prisoners_dilemma(reward=6.0)
    with pytest.raises(ValueError, match="0 or below, not 5"):
        matrix.penalty(5.0)
