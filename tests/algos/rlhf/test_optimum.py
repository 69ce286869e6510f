"""The optima in closed form, against optimisers, simulation and one another; NumPy alone."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from algos.rlhf import optimum
from algos.rlhf.tabular_model import answers, texts

RANDOM = np.random.default_rng(0)
RHO = log_softmax(RANDOM.normal(size=20))
REWARD = RANDOM.normal(size=20)
BETA = 0.4


def best(divergence):
    """Returns log pi [N] of the best of E[r] - beta * divergence, by a general optimiser."""

    def loss(logits):
        log_pi = log_softmax(logits)
        return -np.sum(np.exp(log_pi) * REWARD) + BETA * divergence(log_pi)

    return log_softmax(minimize(loss, RHO, method="BFGS", options={"gtol": 1e-9}).x)


def test_the_optimum_is_what_an_optimiser_finds_and_is_worth_beta_log_z():
    found = best(lambda log_pi: np.sum(np.exp(log_pi) * (log_pi - RHO)))
    star = optimum.optimal(RHO, REWARD, BETA)
    np.testing.assert_allclose(found, star, atol=1e-3)
    worth = np.sum(np.exp(star) * REWARD) - BETA * optimum.divergence(star, RHO)
    assert worth == pytest.approx(optimum.best_objective(RHO, REWARD, BETA))


def test_the_optimum_of_the_reverse_divergence_is_what_an_optimiser_finds():
    found = best(lambda log_pi: np.sum(np.exp(RHO) * (RHO - log_pi)))
    reverse = optimum.reverse_optimal(RHO, REWARD, BETA)
    np.testing.assert_allclose(found, reverse, atol=1e-3)
    weight = BETA * np.exp(RHO - reverse) + REWARD  # lambda, whichever answer it is read from
    np.testing.assert_allclose(weight, weight[0], atol=1e-9)
    assert optimum.divergence(reverse, optimum.optimal(RHO, REWARD, BETA)) > 0.05


def test_a_long_shot_with_a_tiny_divergence_coefficient_stays_finite():
    for solve in (optimum.optimal, optimum.reverse_optimal):
        found = solve(RHO, REWARD, 1e-4)
        assert np.exp(found).sum() == pytest.approx(1.0) and np.argmax(found) == np.argmax(REWARD)


def test_choices_token_by_token_are_those_of_backward_induction():
    tokens, mask = answers(3, 2, 2, 3)  # end, then 0 end, 1 end, 00, 01, 10, 11
    token = log_softmax(RANDOM.normal(size=(3, 3)))  # at the beginning, after 0, after 1
    reward = RANDOM.normal(size=7)
    log_reference = np.zeros((7, 2))
    for row, (first, second) in enumerate(tokens):
        log_reference[row] = token[0, first], token[1 + first, second] if first != 2 else 0.0
    table = {tuple(row): value for row, value in zip(tokens, reward)}
    after = []
    for first in (0, 1):
        worth = np.array([table[first, second] for second in range(3)])
        policy = softmax(token[1 + first] + worth / BETA)
        after.append((policy, policy @ worth))
    first = softmax(token[0] + np.array([after[0][1], after[1][1], table[2, 3]]) / BETA)
    expected = [first[a] * (after[a][0][b] if a != 2 else 1.0) for a, b in tokens]
    found = optimum.by_prefix(tokens, mask, log_reference, reward, BETA, optimum.optimal)
    np.testing.assert_allclose(np.exp(found), expected, rtol=1e-9)


def test_best_of_n_has_the_mass_that_drawing_shows_ties_and_all():
    reward = REWARD.copy()
    reward[[3, 7]] = reward[5]  # three equals
    for n in (1, 2, 5):
        drawn = RANDOM.choice(20, p=np.exp(RHO), size=(200_000, n))
        chosen = drawn[np.arange(len(drawn)), np.argmax(reward[drawn], axis=1)]
        found = np.bincount(chosen, minlength=20) / len(drawn)
        mass = optimum.best_of_n_mass(RHO, reward, n)
        assert mass.sum() == pytest.approx(1.0)
        assert np.all(np.abs(found - mass) < 5 * np.sqrt(mass / len(drawn)) + 1e-9)
    np.testing.assert_allclose(optimum.best_of_n_mass(RHO, reward, 1), np.exp(RHO), rtol=1e-9)


def test_the_bound_of_best_of_n_is_far_off_for_few_answers_and_close_for_many():
    few, many = (
        optimum.divergence(np.log(np.maximum(optimum.best_of_n_mass(rho, np.arange(len(rho)), 256), 1e-300)), rho)
        for rho in (np.full(20, -math.log(20)), np.full(100_000, -math.log(100_000)))
    )
    bound = optimum.best_of_n_bound(256)
    assert bound == pytest.approx(4.549, abs=1e-3) and few < 0.75 * bound
    assert many == pytest.approx(bound, abs=5e-3) and many < bound


def test_the_best_of_n_is_known_without_bias_from_more_answers():
    proxy, gold = RANDOM.normal(size=9).round(), RANDOM.normal(size=9)
    expected = []
    for _ in range(100_000):
        subset = RANDOM.permutation(9)[:4]
        expected.append(gold[subset[np.argmax(proxy[subset])]])
    assert optimum.best_of_n_mean(proxy, gold, 4) == pytest.approx(np.mean(expected), abs=0.02)
    assert optimum.best_of_n_mean(proxy, gold, 1) == pytest.approx(gold.mean())
    assert optimum.best_of_n_mean(REWARD, REWARD, 20) == pytest.approx(REWARD.max())
    with pytest.raises(ValueError, match="the best of 10 needs as many answers, not 9"):
        optimum.best_of_n_mean(proxy, gold, 10)


def test_importance_sampling_finds_the_optimum_and_says_how_many_samples_it_rests_on():
    drawn = RANDOM.choice(20, p=np.exp(RHO), size=200_000)
    star = optimum.optimal(RHO, REWARD, BETA)
    found = optimum.tilted(REWARD[drawn], BETA)
    assert found.weight.sum() == pytest.approx(1.0)
    assert found.reward == pytest.approx(np.sum(np.exp(star) * REWARD), abs=0.02)
    assert found.divergence == pytest.approx(optimum.divergence(star, RHO), abs=0.03)
    assert found.objective == pytest.approx(optimum.best_objective(RHO, REWARD, BETA), abs=0.01)
    shares = np.exp(2 * (star - RHO) + RHO).sum()  # E_rho[(pi* / rho)^2]
    assert found.effective_samples == pytest.approx(200_000 / shares, rel=0.03)
    assert optimum.tilted(REWARD[drawn], 1e-3).effective_samples < 1.0001 * np.sum(REWARD[drawn] == REWARD.max())


def test_every_answer_is_listed_once_and_the_masses_of_a_uniform_policy_sum_to_1():
    for vocabulary, length, number in ((6, 4, 781), (8, 5, 19608), (3, 1, 3)):
        tokens, mask = answers(vocabulary, length, vocabulary - 1, vocabulary)
        assert len(tokens) == number == len({tuple(row) for row in tokens})
        assert np.sum(float(vocabulary) ** -mask.sum(1)) == pytest.approx(1.0)
        np.testing.assert_array_equal(tokens == vocabulary, mask == 0)
        ended = tokens == vocabulary - 1
        assert np.all(ended.sum(1) <= 1) and np.all(mask[ended.sum(1) == 0] == 1)
        assert np.all(np.argmax(ended, 1)[ended.any(1)] == mask.sum(1)[ended.any(1)] - 1)
    whole, whole_mask = texts([3, 0], *answers(3, 1, 2, 3), 3)
    assert whole.tolist() == [[3, 0, 2], [3, 0, 0], [3, 0, 1]] and whole_mask[:, 0].tolist() == [0.0] * 3


def test_answers_of_a_policy_and_of_the_reference_find_the_optimum_that_the_references_alone_are_too_few_for():
    random = np.random.default_rng(4)
    reward, log_rho = random.normal(size=400), random.normal(size=400)
    log_rho = log_rho - np.log(np.sum(np.exp(log_rho)))
    best, policy = optimum.optimal(log_rho, reward, 0.3), optimum.optimal(log_rho, reward, 0.4)
    drawn = np.concatenate([random.choice(400, 4000, p=np.exp(own)) for own in (log_rho, policy)])
    weight = optimum.mixed_weight(log_rho[drawn], policy[drawn], 4000)
    np.testing.assert_allclose(weight, np.log(np.exp(log_rho) / (0.5 * np.exp(log_rho) + 0.5 * np.exp(policy)))[drawn])
    some = optimum.mixed_weight(log_rho[drawn], policy[drawn], 2000)
    np.testing.assert_allclose(some, np.log(np.exp(log_rho) / (0.75 * np.exp(log_rho) + 0.25 * np.exp(policy)))[drawn])
    found = optimum.tilted(reward[drawn], 0.3, weight)
    assert found.reward == pytest.approx(np.exp(best) @ reward, abs=0.03)
    assert found.divergence == pytest.approx(optimum.divergence(best, log_rho), rel=0.03)
    assert found.objective == pytest.approx(optimum.best_objective(log_rho, reward, 0.3), abs=0.03)
    alone = optimum.tilted(reward[drawn[:4000]], 0.3)
    assert found.effective_samples > 4 * alone.effective_samples
    to, beta = optimum.tilted_to(reward[drawn], optimum.divergence(best, log_rho), weight)
    assert beta == pytest.approx(0.3, rel=0.03)
    assert to.divergence == pytest.approx(optimum.divergence(best, log_rho), rel=1e-6)


def test_rewards_that_are_one_number_move_nothing_and_a_divergence_out_of_reach_is_told():
    found, beta = optimum.tilted_to(np.full(50, 0.3), 2.0)
    assert found.divergence == pytest.approx(0.0, abs=1e-12) and found.effective_samples == pytest.approx(50)
    assert beta == np.inf and found.reward == pytest.approx(0.3)
    found, _ = optimum.tilted_to(np.arange(50.0), 9.0)  # 50 answers show log 50 nats at most
    assert found.divergence == pytest.approx(np.log(50), rel=1e-3)
