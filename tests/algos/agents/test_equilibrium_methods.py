"""CFR, CFR+, fictitious play and regret matching: published figures, each other, and plain loops."""

import functools

import game_oracles
import jax
import numpy as np
import pytest
from game_oracles import form_of, measured, random_policy, tree_of, values

from algos.agents import cfr, fictitious_play, regret_matching
from algos.core import sequences
from envs.games import as_tree, matrix
from envs.games.kuhn import VALUE

pytestmark = pytest.mark.usefixtures("float64")
RPS = matrix.rock_paper_scissors()
RPS_TREE = as_tree(RPS)


def after(solver, tree, points):
    """Returns [((policy played next, its NashConv), (average policy, its NashConv))] after so many iterations each."""

    @jax.jit
    def advance(state, n):
        state = jax.lax.fori_loop(0, n, lambda _, state: solver.step(state), state)
        return state, solver.current(state), solver.average(state)

    state, done, found = solver.init(), 0, []
    for point in points:
        state, *policies = advance(state, point - done)
        done = point
        found.append(
            tuple((np.asarray(policy), measured(tree, np.asarray(policy))["nash_conv"]) for policy in policies)
        )
    return found


def test_cfr_is_as_near_to_equilibrium_in_kuhn_poker_as_published():
    found = after(cfr.make(form_of(tree_of("kuhn"))), "kuhn", (10, 100, 1000))
    assert [float(average[1]) for _, average in found] == pytest.approx([0.1374, 0.01645, 0.00188], abs=5e-5)
    assert [float(current[1]) for current, _ in found] == pytest.approx([0.352, 0.238, 0.104], abs=5e-4)
    assert values(tree_of("kuhn"), found[-1][1][0])[0] == pytest.approx(VALUE, abs=1e-3)


@pytest.mark.slow
def test_cfr_plus_is_nearer_and_all_at_once_comes_there_too():
    configs = (cfr.PLUS, cfr.Config(), cfr.Config(alternating=False))
    plus, plain, at_once = (
        after(cfr.make(form_of(tree_of("kuhn")), config), "kuhn", (1000,))[0][1][1] for config in configs
    )
    assert plus < 0.2 * plain
    assert plain < at_once < 0.02


def test_fictitious_play_on_rock_paper_scissors_is_a_loop_over_whole_numbers():
    payoff, counts, expected = RPS.payoff[0].astype(int), np.zeros((2, 3), int), []
    for count in range(1, 10_001):
        first, second = np.argmax(payoff @ counts[1]), np.argmax(-counts[0] @ payoff)
        counts[0, first] += 1
        counts[1, second] += 1
        if count in (100, 1000, 10_000):
            expected.append(((payoff @ counts[1]).max() + (-counts[0] @ payoff).max()) / count)
    found = after(fictitious_play.make(form_of(RPS_TREE)), RPS_TREE, (100, 1000, 10_000))
    assert [float(average[1]) for _, average in found] == pytest.approx(expected, abs=1e-12)
    assert (np.array(expected) <= [0.208, 0.065, 0.020]).all()
    assert [float(current[1]) for current, _ in found] == [2.0, 2.0, 2.0]  # best responses go round for ever


def test_fictitious_play_of_kuhn_poker_is_the_one_in_fractions_whatever_a_program_rounds():
    expected = game_oracles.fictitious_play(tree_of("kuhn"), 1000)
    found = after(fictitious_play.make(form_of(tree_of("kuhn"))), "kuhn", (10, 100, 1000))
    assert [float(average[1]) for _, average in found] == pytest.approx(
        [expected[n - 1] for n in (10, 100, 1000)], abs=1e-12
    )


def test_fictitious_play_mixes_whole_policies_also_where_a_player_may_never_be_asked():
    tree = tree_of("odd")
    start = random_policy(tree, 3)  # ties are for whole numbers: none here
    plans, policy = measured("odd", start)["realisation_plan"], start
    for _ in range(12):
        plans = plans + measured("odd", measured("odd", policy)["best_response"])["realisation_plan"]
        policy = plans / plans.sum(1, keepdims=True)
    (_, (begin, _)), (_, (average, _)) = after(fictitious_play.make(form_of(tree), start=start), "odd", (0, 12))
    np.testing.assert_allclose(begin, start, atol=1e-12)
    np.testing.assert_allclose(average, policy, atol=1e-12)


@pytest.mark.slow
def test_the_average_of_fictitious_play_goes_to_equilibrium_in_kuhn_poker():
    found = after(fictitious_play.make(form_of(tree_of("kuhn"))), "kuhn", (10, 100, 1000))
    assert [float(average[1]) for _, average in found] == pytest.approx([0.15, 0.04667, 0.014], abs=1e-2)
    assert found[-1][1][1] < 0.02


def test_the_average_of_regret_matching_goes_to_equilibrium_and_the_last_policy_goes_round():
    solver = regret_matching.make(RPS, start=np.eye(3)[[0, 1]])
    found = after(solver, RPS_TREE, (100, 1000, 10_000))
    assert [float(average[1]) for _, average in found] == pytest.approx([0.211, 0.064, 0.020], abs=5e-4)
    assert min(float(current[1]) for current, _ in found) > 1.5


@pytest.mark.slow
@pytest.mark.parametrize("plus", [True, False])
def test_regret_matching_is_cfr_with_everyone_moving_at_once(plus):
    game = matrix.from_arrays(np.random.default_rng(1).normal(size=(3, 2, 3, 4)))
    form = sequences.tables(as_tree(game))
    at_once = cfr.make(form, cfr.Config(plus=plus, alternating=False))
    direct = regret_matching.make(game, regret_matching.Config(plus=plus))

    def policies(solver):
        state = jax.lax.fori_loop(0, 30, lambda _, state: solver.step(state), solver.init())
        return solver.current(state), solver.average(state)

    for mine, other in zip(*(jax.jit(functools.partial(policies, solver))() for solver in (direct, at_once))):
        np.testing.assert_allclose(mine, other, atol=1e-9)


def test_nash_conv_of_the_average_is_the_players_regrets_over_time():
    game = matrix.zero_sum(
        np.random.default_rng(2).normal(size=(3, 4)) - 3.0
    )  # what is no action, and pays 0, would be best
    solver = regret_matching.make(game)
    state = jax.jit(lambda: jax.lax.fori_loop(0, 50, lambda _, state: solver.step(state), solver.init()))()
    regret = np.where(np.arange(4) < np.array([[3], [4]]), state.regret, -np.inf).max(1).sum()
    first, second = np.asarray(state.total) / 50
    gap = (game.payoff[0] @ second).max() + (first[:3] @ game.payoff[1]).max()
    assert gap == pytest.approx(regret / 50, abs=1e-12)
    assert state.total[0, 3] == 0.0  # no action of the first player's
