"""What policies reach, held against the optimum of the same divergence, where answers can be listed."""

import numpy as np
import pytest

from algos.rlhf import optimum
from experiments.rlhf import reach
from experiments.rlhf.reached import Drawn, against_the_optimum

NUMBER, BETA = 20_000, 0.4


@pytest.fixture(scope="module")
def listed():
    """log rho, proxy and gold reward of 300 answers; gold is the proxy and something else."""
    random = np.random.default_rng(0)
    log_rho = random.normal(size=300)
    proxy = random.normal(size=300)
    return log_rho - np.log(np.sum(np.exp(log_rho))), proxy, 0.5 * proxy + random.normal(size=300)


def drawn(listed, log_policy, seed):
    """Returns answers of a policy, each its number in the list."""
    log_rho, proxy, _ = listed
    own = np.random.default_rng(seed).choice(len(log_rho), NUMBER, p=np.exp(log_policy))
    kl = np.full(NUMBER, optimum.divergence(log_policy, log_rho))
    return Drawn(own, np.ones(NUMBER), log_policy[own], log_rho[own], kl, proxy[own])


def measured(listed, log_policy):
    """Returns the row of a policy."""
    log_rho, _, gold = listed
    base, own = drawn(listed, log_rho, 1), drawn(listed, log_policy, 2)
    return against_the_optimum(own, base, log_policy[base.tokens], gold[own.tokens], gold[base.tokens])


def test_the_optimum_reaches_all_that_the_optimum_of_its_divergence_gains(listed):
    log_rho, proxy, gold = listed
    best = optimum.optimal(log_rho, proxy, BETA)
    row = measured(listed, best)
    assert row["beta"] == pytest.approx(BETA, rel=0.03) and row["effective_samples"] > 5_000
    assert row["optimum_gold_gain"] == pytest.approx(np.exp(best) @ gold - np.exp(log_rho) @ gold, abs=0.03)
    assert row["optimum_proxy_gain"] == pytest.approx(np.exp(best) @ proxy - np.exp(log_rho) @ proxy, abs=0.03)
    assert row["gold_gain"] == pytest.approx(row["optimum_gold_gain"], abs=0.03)


def test_what_has_not_moved_has_gained_nothing_and_nor_has_the_optimum(listed):
    row = measured(listed, listed[0])
    assert row["kl"] == 0.0 and abs(row["gold_gain"]) < 0.03 and abs(row["optimum_gold_gain"]) < 0.01


def test_a_policy_that_spends_its_divergence_badly_is_held_against_what_that_divergence_buys(listed):
    log_rho, proxy, gold = listed
    wasteful = optimum.optimal(log_rho, proxy + np.random.default_rng(5).normal(size=300), 0.7)
    row, to = measured(listed, wasteful), optimum.divergence(wasteful, log_rho)
    betas = np.geomspace(0.05, 5.0, 4_000)
    away = [abs(optimum.divergence(optimum.optimal(log_rho, proxy, beta), log_rho) - to) for beta in betas]
    best = np.exp(optimum.optimal(log_rho, proxy, betas[int(np.argmin(away))]))
    assert row["kl"] == pytest.approx(to) and row["optimum_kl"] == pytest.approx(to, rel=1e-6)
    assert row["optimum_proxy_gain"] == pytest.approx(best @ proxy - np.exp(log_rho) @ proxy, abs=0.05)
    assert row["proxy_gain"] < 0.8 * row["optimum_proxy_gain"]


def test_a_line_says_the_share_over_seeds_and_when_too_few_answers_carry_the_optimum():
    row = {"contender": "ppo", "kl": 4.0, "gold_gain": 0.3, "optimum_gold_gain": 0.4, "distinct_2_share": 0.9}
    row |= {"optimum_kl": 4.0}
    rows = [row | {"seed": seed, "effective_samples": 80.0} for seed in range(3)]
    (line,) = reach.told(rows)
    assert line == "ppo: 4.00 nats, gold +0.300 where the optimum has +0.400: 75% [75%, 75%] of 3 seeds; distinct-2 90%"
    (line,) = reach.told([*rows[:2], row | {"seed": 2, "effective_samples": 12.0}])
    assert line.endswith("; no more than 12 effective answers")
    (line,) = reach.told([*rows[:2], row | {"seed": 2, "effective_samples": 80.0, "optimum_kl": 2.5}])
    assert line.endswith("distinct-2 90%; the optimum's answers show only 2.50 nats")
