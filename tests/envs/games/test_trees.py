"""Game trees: sizes, what a description becomes, and that what cannot be is refused with its place."""

import json

import numpy as np
import pytest

from envs.games import Chance, Decision, End, from_function, from_nested, named, uniform
from envs.games.kuhn import family, kuhn
from envs.games.leduc import leduc
from envs.games.liars_dice import liars_dice
from envs.games.tree import CHANCE, END, chance_reach, check_policy, index

PENNIES = {
    "chance": {
        "heads": [0.25, {"player": 0, "information": "?", "actions": {"h": {"payoffs": [3, -3]}, "t": {"payoffs": [-3, 3]}}}],
        "tails": [0.75, {"player": 0, "information": "?", "actions": {"h": {"payoffs": [-1, 1]}, "t": {"payoffs": [1, -1]}}}],
    }
}  # fmt: skip


def coin(history):
    """Returns the node of the same game, as a function."""
    if history == ():
        return Chance({"heads": 0.25, "tails": 0.75})
    if len(history) == 1:
        return Decision(0, "?", ("h", "t"))
    won = (3.0 if history[0] == "heads" else 1.0) * (1 if history[0][0] == history[1] else -1)
    return End((won, -won))


@pytest.mark.parametrize(
    ("tree", "histories", "info_sets"), [(kuhn(), 58, [6, 6]), (kuhn(3), 617, [16, 16, 16]), (leduc(), 9457, [468, 468]), (liars_dice(1, 3), 1147, [96, 96])]
)  # fmt: skip
def test_a_game_has_as_many_histories_and_information_sets_as_published(tree, histories, info_sets):
    assert tree.num_histories == histories
    assert np.bincount(tree.mover).tolist() == info_sets
    assert len({(mover, name) for mover, name in zip(tree.mover, tree.names)}) == sum(info_sets)
    assert chance_reach(tree)[tree.player == END].max() <= 1.0


def test_parents_come_before_children_and_chance_sums_to_one():
    for tree in (kuhn(), liars_dice()):
        assert (tree.parent[1:] < np.arange(1, tree.num_histories)).all()
        for history in np.flatnonzero(tree.player == CHANCE)[:50]:
            assert tree.chance[tree.parent == history].sum() == pytest.approx(1.0, abs=1e-12)
        assert (tree.payoff.sum(1) == 0.0).all()
        assert (tree.past[:, 0] < np.arange(tree.num_info_sets)).all()


def test_a_nested_description_and_a_function_make_the_same_tree():
    ours, theirs = from_nested(PENNIES), from_function(coin, 2)
    for name in ("parent", "action", "chance", "player", "info_set", "payoff", "legal", "past"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    assert ours.action_names == ("h", "t") and ours.names == ("?",) and ours.num_histories == 7


def test_a_json_file_is_a_tree_or_a_game_in_normal_form(tmp_path):
    path = tmp_path / "coin.json"
    path.write_text(json.dumps(PENNIES))
    np.testing.assert_array_equal(named.from_file(path).payoff, from_nested(PENNIES).payoff)
    path.write_text(
        json.dumps({"payoffs": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]], "actions": [["up", "down"], ["l", "r"]]})
    )
    game = named.from_file(path)
    assert game.payoff.tolist() == [[[1, 2], [3, 4]], [[5, 6], [7, 8]]] and game.actions == (("up", "down"), ("l", "r"))


def changed(node, *keys):
    """Returns the coin's description with what lies under the keys replaced."""
    copy = json.loads(json.dumps(PENNIES))
    place = copy
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = node
    return copy


@pytest.mark.parametrize(
    ("description", "told"),
    [
        (changed(0.5, "chance", "heads", 0), r"chance at history \(\) sum to 1.25, not to 1"),
        (changed(-0.25, "chance", "heads", 0), r"chance of 'heads' at history \(\) is no probability: -0.25"),
        (changed(float("nan"), "chance", "heads", 0), "is no probability: nan"),
        (changed({"payoffs": [1, float("inf")]}, "chance", "tails", 1), r"payoff at history \(tails\) is not finite: inf"),
        (changed({"payoffs": [1]}, "chance", "tails", 1), r"history \(tails\) pays 1 players, and there are 2"),
        (changed({"payoffs": 1}, "chance", "tails", 1), r"payoffs of history \(tails\) must be a list"),
        (changed(2, "chance", "tails", 1, "player"), r"player at history \(tails\) is 2, not one of 0 to 1"),
        (changed({}, "chance", "tails", 1, "actions"), r"player 0 at history \(tails\) needs one or more actions"),
        (changed({"x": {"payoffs": [0, 0]}}, "chance", "tails", 1, "actions"), r"cannot tell history \(tails\) from history \(heads\), but may x here and h, t there"),
        (changed({"turn": 1}, "chance", "tails", 1), r"history \(tails\) has turn; it needs chance, or player, information and"),
        (changed(3, "chance", "tails"), r"outcome 'tails' of history \(\) must be \[probability, then\]"),
        (changed([0.75, 3], "chance", "tails"), r"history \(tails\) is described by 3, not by a mapping"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_history(description, told):
    with pytest.raises(ValueError, match=told) as refused:
        from_nested(description)
    assert "\n" not in str(refused.value)


def test_a_player_who_forgets_is_refused():
    def forgets_an_action(history):
        return Decision(0, "first" if not history else "then", ("l", "r")) if len(history) < 2 else End((0.0,))

    def forgets_what_it_knew(history):
        if not history:
            return Chance({"a": 0.5, "b": 0.5})
        return Decision(0, history[0] if len(history) == 1 else "then", ("go",)) if len(history) < 3 else End((0.0,))

    def forgets_where_it_is(history):
        return Decision(0, "same", ("go", "stop")) if history in ((), ("go",)) else End((0.0,))

    for game in (forgets_an_action, forgets_what_it_knew, forgets_where_it_is):
        with pytest.raises(ValueError, match="no perfect recall"):
            from_function(game, 1)
    with pytest.raises(ValueError, match=r"history \(\) is described by None"):
        from_function(lambda history: None, 2)
    with pytest.raises(ValueError, match=r"information at history \(\) cannot be told from others, it is a list"):
        from_function(lambda history: Decision(0, ["a"], ("l",)) if not history else End((0.0,)), 1)
    with pytest.raises(ValueError, match="nobody has anything to decide"):
        from_function(lambda history: End((0.0, 0.0)), 2)


def test_actions_keep_the_columns_that_they_are_given():
    tree = from_function(coin, 2, actions=("t", "other", "h"))
    assert tree.legal.tolist() == [[True, False, True]]
    assert tree.action[tree.parent == 1].tolist() == [2, 0]
    with pytest.raises(ValueError, match="action 't' is none of h"):
        from_function(coin, 2, actions=("h",))


def test_a_policy_that_is_none_is_refused():
    tree = from_function(coin, 2, actions=("t", "other", "h"))
    assert check_policy(tree, uniform(tree)).tolist() == [[0.5, 0.0, 0.5]]
    with pytest.raises(ValueError, match=r"policy of player 0 at '\?' plays other, which is not legal"):
        check_policy(tree, [[0.5, 0.25, 0.25]])
    with pytest.raises(ValueError, match=r"at '\?' is no distribution"):
        check_policy(tree, [[0.5, 0.0, 0.25]])
    with pytest.raises(ValueError, match=r"must be \[information sets, actions\] = \[1, 3\]"):
        check_policy(tree, [[0.5, 0.5]])


def test_games_and_their_fields_are_named_and_refused_in_one_line(tmp_path):
    assert named.make("kuhn", players=3).num_players == 3
    for call, told in (
        (lambda: named.make("poker"), "unknown game 'poker'; choose from: kuhn, leduc, liars_dice, rock_paper_scissors"),
        (lambda: named.make("leduc", players=3), "leduc has no field players; its fields are: none"),
        (lambda: kuhn(4), "for 2 or 3 players, not 4"),
        (lambda: liars_dice(2, 4), "2 dice x sides, not 2 x 2 x 4"),
        (lambda: family(kuhn(), 0.4), "alpha must be 0 to 1/3, not 0.4"),
        (lambda: index(kuhn(), 1, "J:"), "player 1 has no information set 'J:'; choose from: 'Q:p', 'Q:b'"),
        (lambda: named.from_file(tmp_path / "none.json"), "cannot read .*No such file"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=told):
            call()
