"""Repeated games against a loop over rounds, all deterministic strategies, and the conditions of tit for tat and grim trigger."""

import itertools

import jax
import numpy as np
import pytest

from algos.agents import memory_one
from envs.games import iterated, matrix
from envs.games.iterated import MemoryOne, always_cooperate, always_defect, deterministic, grim_trigger, tit_for_tat

pytestmark = pytest.mark.usefixtures("float64")
DILEMMA = matrix.prisoners_dilemma()
value = jax.jit(lambda strategies, gamma: memory_one.value(DILEMMA, strategies, gamma))


def played(game, strategies, gamma, rounds=400):
    """Returns what both earn, by a loop over rounds that carries the distribution of the last outcome."""
    one, two = strategies
    outcome, earned = np.outer(one.first, two.first), np.zeros(2)
    for t in range(rounds):
        earned += gamma**t * np.tensordot(game.payoff, outcome, 2)
        after = np.zeros_like(outcome)
        for a, b in itertools.product(range(outcome.shape[0]), range(outcome.shape[1])):
            after += outcome[a, b] * np.outer(one.after[a, b], two.after[b, a])
        outcome = after
    return earned


def random_strategy(own, other, seed):
    draw = np.random.default_rng(seed)
    return MemoryOne(draw.dirichlet(np.ones(own)), draw.dirichlet(np.ones(own), size=(own, other)))


def test_two_strategies_earn_what_a_loop_over_rounds_says():
    for seed in range(3):
        pair = random_strategy(2, 2, seed), random_strategy(2, 2, 10 + seed)
        np.testing.assert_allclose(value(pair, 0.9), played(DILEMMA, pair, 0.9), atol=1e-9)
    classics = (always_cooperate(), always_defect(), tit_for_tat(), grim_trigger(), iterated.win_stay_lose_shift())
    for pair in itertools.combinations(classics, 2):
        np.testing.assert_allclose(value(pair, 0.9), played(DILEMMA, pair, 0.9), atol=1e-9)


@pytest.mark.slow
def test_players_with_unlike_numbers_of_actions_earn_what_a_loop_says():
    game = matrix.from_arrays(np.random.default_rng(5).normal(size=(2, 2, 3)))
    pair = random_strategy(2, 3, 1), random_strategy(3, 2, 2)
    found = jax.jit(lambda pair: memory_one.value(game, pair, 0.8))(pair)
    np.testing.assert_allclose(found, played(game, pair, 0.8), atol=1e-9)


@pytest.mark.parametrize("player", [0, 1])
def test_the_best_reply_earns_the_most_of_all_deterministic_strategies(player):
    opponent = random_strategy(2, 2, 7)
    reply, best = memory_one.best_reply(DILEMMA, opponent, 0.9, player)
    every = [deterministic(first, np.reshape(after, (2, 2))) for first, *after in itertools.product((0, 1), repeat=5)]
    pairs = [(one, opponent) if player == 0 else (opponent, one) for one in [reply, *every]]
    earned = np.array([value(pair, 0.9)[player] for pair in pairs])
    assert earned[0] == pytest.approx(best, abs=1e-9) == pytest.approx(earned[1:].max(), abs=1e-9)


@pytest.mark.parametrize("payoffs", [(3.0, 0.0, 5.0, 1.0), (4.0, 0.0, 5.0, 2.0), (3.0, 2.0, 3.9, 2.5)])
def test_tit_for_tat_and_grim_trigger_are_equilibria_where_the_inequalities_say(payoffs):
    reward, sucker, temptation, punishment = payoffs
    game = matrix.prisoners_dilemma(*payoffs)
    against_defection = (temptation - reward) / (temptation - punishment)
    against_turns = (temptation - reward) / (reward - sucker)
    assert against_defection != against_turns  # each decides somewhere
    for strategy, least in (
        (tit_for_tat(), max(against_defection, against_turns)),
        (grim_trigger(), against_defection),
    ):
        for gamma, holds in ((least - 0.01, False), (least + 0.01, True)):
            together = reward / (1.0 - gamma)
            gain = memory_one.best_reply(game, strategy, gamma)[1] - together
            assert (gain < 1e-9) == holds, (strategy, gamma, gain)


def test_what_is_no_strategy_and_no_discount_is_refused():
    with pytest.raises(ValueError, match="0 <= gamma < 1, not 2 and 1.0"):
        memory_one.best_reply(DILEMMA, tit_for_tat(), 1.0)
    with pytest.raises(ValueError, match=r"after must be \[2, 2, 2\], not \[3, 2, 3\]"):
        memory_one.best_reply(DILEMMA, MemoryOne(np.array([0.5, 0.5]), np.zeros((3, 2, 3))), 0.9)
    with pytest.raises(ValueError, match="first holds no probabilities"):
        memory_one.best_reply(DILEMMA, tit_for_tat().replace(first=np.array([0.5, 0.6])), 0.9)
