"""Games of several players: in normal form as payoff arrays, in extensive form as trees, each from the user's own description too."""

from envs.games.build import Chance, Decision, End, from_function
from envs.games.matrix import MatrixGame, as_tree
from envs.games.nested import from_nested
from envs.games.play import matrix_env, tree_env
from envs.games.tree import GameTree, uniform

__all__ = [
    "Chance", "Decision", "End", "GameTree", "MatrixGame", "as_tree", "from_function", "from_nested", "matrix_env",
    "tree_env", "uniform",
]  # fmt: skip
