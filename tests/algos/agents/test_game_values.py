"""Values, best responses and NashConv against recursion, enumeration of all pure strategies, and linear programs."""

import game_oracles
import jax
import numpy as np
import pytest
from game_oracles import GAMES, form_of, measured, random_policy, tree_of

from algos.agents import exact
from algos.core import sequences
from envs.games import as_tree, from_nested, matrix, uniform
from envs.games.kuhn import VALUE, family, kuhn
from envs.games.leduc import leduc
from envs.games.tree import index

pytestmark = pytest.mark.usefixtures("float64")
EVERY = [pytest.param(name, marks=pytest.mark.slow) if name == "liars_dice" else name for name in GAMES]


def equilibrium_of(payoff):
    """Returns (value, first player's mixture) of a matrix game with opposite interests, by a linear program of its rows."""
    from scipy.optimize import linprog

    rows, columns = payoff.shape
    done = linprog(
        np.append(np.zeros(rows), -1.0),
        A_ub=np.column_stack([-payoff.T, np.ones(columns)]),
        b_ub=np.zeros(columns),
        A_eq=[np.append(np.ones(rows), 0.0)],
        b_eq=[1.0],
        bounds=[(0, None)] * rows + [(None, None)],
    )
    return done.x[-1], done.x[:-1]


@pytest.mark.parametrize("name", EVERY)
def test_a_profile_earns_what_recursion_over_histories_says(name):
    for seed in range(3):
        policy = random_policy(tree_of(name), seed)
        np.testing.assert_allclose(
            measured(name, policy)["value"], game_oracles.values(tree_of(name), policy), atol=1e-12
        )


@pytest.mark.parametrize("name", ["kuhn", "odd"])
def test_a_best_response_earns_the_most_of_all_pure_strategies(name):
    tree = tree_of(name)
    for seed in range(2):
        policy = random_policy(tree, seed)
        best = [game_oracles.best_by_enumeration(tree, policy, player) for player in range(2)]
        np.testing.assert_allclose(measured(name, policy)["best_value"], best, atol=1e-12)
        gains = np.array(best) - game_oracles.values(tree, policy)
        assert measured(name, policy)["nash_conv"] == pytest.approx(gains.sum(), abs=1e-12)


@pytest.mark.parametrize("name", EVERY)
def test_the_best_response_is_legal_and_earns_the_best_value(name):
    tree, policy = tree_of(name), random_policy(tree_of(name), 5)
    response = measured(name, policy)["best_response"]
    assert ((response.sum(1) == 1.0) & (response <= tree.legal).all(1)).all()
    for player, best in enumerate(measured(name, policy)["best_value"]):
        changed = np.where((tree.mover == player)[:, None], response, policy)
        assert game_oracles.values(tree, changed)[player] == pytest.approx(best, abs=1e-12)


@pytest.mark.slow
def test_a_player_who_never_decides_gains_nothing():
    tree = from_nested(
        {"player": 1, "information": "", "actions": {"l": {"payoffs": [1, 2]}, "r": {"payoffs": [3, 0]}}}
    )
    found = measured(tree, np.array([[0.25, 0.75]]))
    np.testing.assert_allclose(found["value"], [2.5, 0.5])
    np.testing.assert_allclose(found["best_value"], [2.5, 2.0])


def test_uniform_play_is_as_far_from_equilibrium_as_published():
    assert measured("kuhn", uniform(tree_of("kuhn")))["nash_conv"] == pytest.approx(0.916667, abs=5e-7)
    np.testing.assert_allclose(measured("kuhn", uniform(tree_of("kuhn")))["value"], [0.125, -0.125], atol=1e-12)
    assert measured("kuhn for 3", uniform(tree_of("kuhn for 3")))["nash_conv"] == pytest.approx(2.0625, abs=1e-12)


@pytest.mark.slow
def test_uniform_play_of_leduc_is_as_far_from_equilibrium_as_published():
    tree = leduc()
    gap = jax.jit(exact.nash_conv)(form_of(tree), uniform(tree))
    assert float(gap) == pytest.approx(4.747222, abs=5e-7)


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.2, 1 / 3])
def test_the_equilibria_of_kuhn_poker_leave_nobody_anything_to_gain(alpha):
    policy = family(tree_of("kuhn"), alpha)
    assert abs(measured("kuhn", policy)["nash_conv"]) < 1e-12
    np.testing.assert_allclose(measured("kuhn", policy)["value"], [VALUE, -VALUE], atol=1e-12)


def test_the_value_alone_does_not_make_an_equilibrium():
    tree = tree_of("kuhn")
    policy = family(tree, 0.2)
    policy[index(tree, 0, "K:")] = 1.0, 0.0  # as good against the second one's equilibrium
    assert measured("kuhn", policy)["value"][0] == pytest.approx(VALUE, abs=1e-12)
    assert measured("kuhn", policy)["nash_conv"] > 0.01


@pytest.mark.parametrize("name", ["kuhn", pytest.param("liars_dice", marks=pytest.mark.slow)])
def test_the_sequence_form_program_finds_the_value_and_nothing_to_gain(name):
    value, policy = game_oracles.linear_program(tree_of(name))
    assert measured(name, policy)["value"][0] == pytest.approx(value, abs=1e-9)
    assert abs(measured(name, policy)["nash_conv"]) < 1e-8
    if name == "kuhn":
        assert value == pytest.approx(-1 / 18, abs=1e-9)


@pytest.mark.slow
def test_the_sequence_form_program_finds_the_value_of_leduc():
    tree = leduc()
    value, policy = game_oracles.linear_program(tree)
    assert value == pytest.approx(-0.085606424078, abs=1e-9)
    assert measured(tree, policy)["value"][0] == pytest.approx(value, abs=1e-7)
    assert abs(measured(tree, policy)["nash_conv"]) < 1e-6


MATRICES = {
    "rock_paper_scissors": matrix.rock_paper_scissors(),
    "matching_pennies": matrix.matching_pennies(),
    "random": matrix.zero_sum(np.random.default_rng(3).normal(size=(3, 4))),
}


ROWS = [pytest.param(name, marks=pytest.mark.slow) if name != "rock_paper_scissors" else name for name in MATRICES]


@pytest.mark.parametrize("name", ROWS)
def test_a_matrix_game_has_the_value_of_its_linear_program(name):
    game = MATRICES[name]
    value, first = equilibrium_of(game.payoff[0])
    other, second = equilibrium_of(game.payoff[1].T)
    assert value == pytest.approx(-other, abs=1e-9)
    policy = np.zeros((2, max(game.payoff.shape[1:])))
    policy[0, : len(first)], policy[1, : len(second)] = first, second
    tree = as_tree(game)
    np.testing.assert_allclose(measured(tree, policy)["value"], [value, -value], atol=1e-9)
    assert abs(measured(tree, policy)["nash_conv"]) < 1e-9
    pure = np.eye(policy.shape[1])[[0, 0]]
    gains = game.payoff[0][:, 0].max() - game.payoff[0][0, 0] + game.payoff[1][0].max() - game.payoff[1][0, 0]
    assert measured(tree, pure)["nash_conv"] == pytest.approx(gains, abs=1e-12)


@pytest.mark.slow
def test_derivatives_of_nash_conv_are_its_differences():
    tree = tree_of("kuhn")
    game, policy = form_of(tree), random_policy(tree, 7)
    slope = np.asarray(jax.jit(jax.grad(lambda x: exact.nash_conv(game, x)))(policy))
    for row, action in ((0, 1), (4, 0), (9, 1)):
        step = np.zeros_like(policy)
        step[row, action] = 1e-6
        up, down = (measured("kuhn", policy + way * step)["nash_conv"] for way in (1, -1))
        assert slope[row, action] == pytest.approx((up - down) / 2e-6, abs=1e-7)


def test_exploitability_is_half_of_nash_conv_for_two_rivals_and_refused_elsewhere():
    tree = tree_of("kuhn")
    assert measured("kuhn", uniform(tree))["exploitability"] == pytest.approx(0.458333, abs=5e-7)
    for other in (kuhn(3), as_tree(matrix.prisoners_dilemma()), tree_of("odd")):
        with pytest.raises(ValueError, match="use nash_conv"):
            exact.exploitability(sequences.tables(other), uniform(other))


def test_the_average_policy_earns_what_the_policies_earn_on_average():
    tree = tree_of("kuhn")
    game, policies = form_of(tree), [random_policy(tree, seed) for seed in range(4)]
    plans = sum(measured(tree, policy)["realisation_plan"] for policy in policies)
    average, naive = np.asarray(jax.jit(sequences.averaged)(game, plans)), np.mean(policies, 0)
    opponent, off = random_policy(tree, 9), []
    for player in range(2):
        mine = (tree.mover == player)[:, None]
        mean = np.mean([game_oracles.values(tree, np.where(mine, policy, opponent)) for policy in policies], 0)
        np.testing.assert_allclose(game_oracles.values(tree, np.where(mine, average, opponent)), mean, atol=1e-12)
        off.append(abs(game_oracles.values(tree, np.where(mine, naive, opponent)) - mean).max())
    assert off[0] > 1e-3  # the first player decides twice
    assert off[1] < 1e-12  # the second once, where a plain mean is right


def test_where_no_policy_goes_the_average_is_uniform():
    tree = tree_of("kuhn")
    policy = random_policy(tree, 0)
    policy[index(tree, 0, "J:")] = 0.0, 1.0  # it never passes, so that it never hears a bet after a pass
    average = jax.jit(sequences.averaged)(form_of(tree), measured(tree, policy)["realisation_plan"])
    np.testing.assert_array_equal(average[index(tree, 0, "J:pb")], [0.5, 0.5])


def test_players_who_cannot_tell_seat_and_history_apart_stay_exploitable_in_kuhn_poker():
    tree = tree_of("kuhn")
    seen = {name: (name[0], name.endswith("b")) for name in tree.names}  # own card, and whether there is a bet
    assert len(set(seen.values())) == 6 < tree.num_info_sets
    rows = np.array([("J", "Q", "K").index(card) + 3 * bet for card, bet in map(seen.get, tree.names)])
    steps = np.arange(13) / 12
    bets = np.stack(np.meshgrid(steps, steps, steps, steps, indexing="ij"), -1).reshape(-1, 4)
    table = np.column_stack([bets, np.zeros(len(bets)), np.ones(len(bets))])[
        :, [0, 1, 2, 4, 3, 5]
    ]  # J folds, K calls: dominant
    found = jax.jit(
        jax.vmap(lambda bet: exact.exploitability(form_of(tree), jax.numpy.stack([1 - bet, bet], 1)[rows]))
    )(table)
    assert float(found.min()) == pytest.approx(1 / 36, abs=1e-9)


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
def test_in_single_precision_all_is_computed_without_a_word():
    with jax.enable_x64(False):
        found = measured("kuhn", uniform(tree_of("kuhn")))
    assert {x.dtype.name for x in found.values()} == {"float32"}
    assert found["nash_conv"] == pytest.approx(0.916667, abs=1e-6)
