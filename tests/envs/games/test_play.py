"""Games as environments to learn on: what is seen, who moves, what chance does and what is paid, against the tree itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs.games import matrix, matrix_env, tree_env
from envs.games.features import features
from envs.games.kuhn import kuhn
from envs.games.leduc import leduc
from envs.games.liars_dice import liars_dice
from envs.games.play import _durations, _followers
from envs.games.tree import CHANCE, END

GAMES = {
    "kuhn": kuhn(),
    "kuhn for 3": kuhn(3),
    "leduc": leduc(),
    "liar's dice": liars_dice(),
    "two dice": liars_dice(2, 2),
}


@pytest.mark.parametrize("kind", ["one_hot", "spelled"])
@pytest.mark.parametrize("game", GAMES)
def test_as_many_observations_as_information_sets(game, kind):
    tree = GAMES[game]
    assert len(np.unique(features(tree, kind), axis=0)) == tree.num_info_sets


def test_kuhn_seen_without_seat_and_history_would_be_six_observations_for_twelve_information_sets():
    tree = GAMES["kuhn"]
    seen = {(name[0], "b" in name) for name in tree.names}
    assert (len(seen), tree.num_info_sets) == (6, 12)


@pytest.mark.parametrize("game", GAMES)
def test_chance_leads_where_the_tree_says_and_as_often(game):
    tree = GAMES[game]
    chances, followers = _followers(tree)
    expected = [{} for _ in range(tree.num_histories)]  # by recursion, parents first
    stops = np.flatnonzero(tree.player != CHANCE)
    for stop in stops:
        at, probability = stop, 1.0
        expected[stop] = {int(stop): 1.0}
        while at and tree.player[tree.parent[at]] == CHANCE:
            probability *= tree.chance[at]
            at = tree.parent[at]
            expected[at][int(stop)] = probability
    for history in np.flatnonzero(tree.player == CHANCE):
        shares = np.diff(np.minimum(chances[history], 1.0), prepend=0.0)
        found = {int(to): p for to, p in zip(followers[history], shares) if p > 0.0}
        assert found.keys() == expected[history].keys()
        np.testing.assert_allclose([found[to] for to in found], [expected[history][to] for to in found], atol=1e-6)


@pytest.mark.parametrize(
    "game", ["kuhn"] + [pytest.param(game, marks=pytest.mark.slow) for game in ("kuhn for 3", "leduc")]
)
def test_a_step_leads_to_the_child_and_shows_it_to_the_player_to_move_alone(game):
    tree = GAMES[game]
    env = tree_env(tree)
    step = jax.jit(jax.vmap(env.step, (0, 0, 0)))
    children = np.flatnonzero((tree.player >= 0)[np.maximum(tree.parent, 0)] & (tree.parent >= 0))
    before = tree.parent[children]
    keys = jax.random.split(jax.random.key(0), len(children))
    actions = np.repeat(tree.action[children][:, None], tree.num_players, axis=1)
    others = np.arange(tree.num_players) != tree.player[before][:, None]
    history, reached = step(keys, jnp.asarray(before), jnp.asarray(np.where(others, 0, actions)))
    history = np.asarray(history)
    certain = tree.player[children] != CHANCE
    assert (history[certain] == children[certain]).all() and (tree.player[history] != CHANCE).all()
    assert (np.asarray(reached.terminated) == (tree.player[history] == END)).all() and not reached.truncated.any()
    np.testing.assert_allclose(reached.reward, tree.payoff[history], rtol=1e-6)
    acting = np.asarray(jax.vmap(env.acting)(jnp.asarray(history)))
    assert (acting.sum(1) == (tree.player[history] >= 0)).all()
    seen = np.asarray(reached.observation)
    assert (seen[~acting] == 0.0).all()
    own, legal = seen[acting][:, : tree.num_info_sets], seen[acting][:, tree.num_info_sets :]
    info_sets = tree.info_set[history][tree.player[history] >= 0]
    assert (own.argmax(1) == info_sets).all() and (own.sum(1) == 1.0).all()
    assert (legal == tree.legal[info_sets]).all()
    np.testing.assert_array_equal(jax.vmap(env.observe)(jnp.asarray(info_sets)), seen[acting])


@pytest.mark.slow
def test_what_is_not_legal_is_taken_as_the_first_legal_action():
    tree = GAMES["leduc"]
    env = tree_env(tree)
    start = env.reset(jax.random.key(0))[0]  # nobody can fold before anybody has raised
    folded, called = (env.step(jax.random.key(1), start, jnp.full(2, action))[0] for action in (0, 1))
    assert not tree.legal[tree.info_set[start], 0] and folded == called


@pytest.mark.parametrize(("game", "waits", "longest"), [("kuhn", 1, 3), ("kuhn for 3", 2, 5), ("leduc", 2, 8)])
def test_how_long_a_player_waits_and_a_game_lasts(game, waits, longest):
    assert _durations(GAMES[game]) == (waits, longest)


def test_deals_are_alike_and_payoffs_those_of_the_tree_on_average():
    env, tree = envs.make("Kuhn"), GAMES["kuhn"]
    histories = np.asarray(jax.jit(jax.vmap(lambda key: env.reset(key)[0]))(jax.random.split(jax.random.key(0), 6000)))
    counts = np.bincount(histories, minlength=tree.num_histories)
    dealt = np.flatnonzero(counts)
    assert len(dealt) == 6 and (tree.player[dealt] == 0).all()
    assert np.abs(counts[dealt] - 1000).max() < 5 * np.sqrt(1000 * 5 / 6)


@pytest.mark.parametrize("memory", [False, True])
def test_a_game_in_normal_form_pays_every_round_and_shows_the_last_one_only_with_memory(memory):
    game = matrix.from_arrays(np.arange(12.0).reshape(2, 2, 3), [("u", "d"), ("l", "m", "r")])
    env = matrix_env(game, rounds=3, memory=memory)
    state, first = env.reset(jax.random.key(0))
    assert env.layout == envs.Layout(2 + 6 * memory, 0, 3) and env.acting is None and env.waits == 0
    assert first[:, -3:].tolist() == [[1, 1, 0], [1, 1, 1]] and (first[:, 2:-3] == 0.0).all()
    seen = first
    for played, (one, two) in enumerate(((1, 2), (0, 1), (1, 0)), start=1):
        state, reached = env.step(jax.random.key(0), state, jnp.array([one, two]))
        assert reached.reward.tolist() == game.payoff[:, one, two].tolist()
        assert bool(reached.terminated) == (played == 3)
        told = np.asarray(reached.observation)[:, 2:-3].reshape(2, -1, 3)
        if memory:
            assert told.argmax(2).tolist() == [[one, two], [two, one]]  # oneself first
        seen = reached.observation
    assert memory or (np.asarray(seen) == np.asarray(first)).all()


def test_the_reward_is_called_the_teams_where_all_are_given_the_same():
    assert {name: envs.make(name).reward_convention for name in ("Climbing", "Penalty", "StagHunt", "Kuhn")} == {
        "Climbing": "team", "Penalty": "team", "StagHunt": "individual", "Kuhn": "individual",
    }  # fmt: skip
    assert envs.make("Penalty", k=-25).game.payoff.min() == -25 and envs.make("Climbing").max_steps == 25


@pytest.mark.parametrize(
    ("name", "fields", "told"),
    [("Kuhn", {"cards": 4}, "Kuhn has no field cards; its fields are: players, observation"),
     ("Kuhn", {"observation": "card"}, "observation must be one of one_hot, spelled"),
     ("Penalty", {"k": 5}, "the penalty k must be 0 or below"), ("StagHunt", {"rounds": 0}, "rounds must be 1 or more")],
)  # fmt: skip
def test_what_there_is_not_is_said_in_one_line(name, fields, told):
    with pytest.raises(ValueError, match=told):
        envs.make(name, **fields)
