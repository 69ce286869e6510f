"""What a policy held near its reference can reach, exactly where answers can be listed and from samples where they cannot.

    pi* = rho exp(r / beta) / Z,   max_pi E[r] - beta KL(pi || rho) = beta log Z,   Z = E_rho[exp(r / beta)]

Best of n is as simple a way to spend divergence: with F the distribution of the reward under rho, the best of n answers is
outcome i with probability F_i^n - F_{i-1}^n, exactly; log n - (n - 1) / n is an upper bound of its divergence, far off where
outcomes are few (Beirami et al. 2024, arXiv 2401.01879). On the host, in float64.
"""

import math
from typing import NamedTuple

import numpy as np


def optimal(log_reference, reward, beta: float):
    """Returns log pi* of listed answers, [N], which need log rho [N] and their rewards [N]."""
    energy = np.asarray(log_reference, np.float64) + np.asarray(reward, np.float64) / beta
    return energy - _log_sum_exp(energy)


def best_objective(log_reference, reward, beta: float) -> float:
    """Returns beta log E_rho[exp(r / beta)], what pi* makes of E[r] - beta KL."""
    energy = np.asarray(log_reference, np.float64) + np.asarray(reward, np.float64) / beta
    return beta * _log_sum_exp(energy)


def reverse_optimal(log_reference, reward, beta: float):
    """Returns log pi of pi = beta rho / (lambda - r), [N], lambda so that it sums to 1: the best of E[r] - beta KL(rho || pi).
    By bisection: lambda lies at most beta above the highest reward."""
    log_reference, reward = np.asarray(log_reference, np.float64), np.asarray(reward, np.float64)
    below = np.max(reward) - reward
    low, high = 0.0, beta
    for _ in range(200):
        middle = 0.5 * (low + high)
        too_much = np.sum(beta * np.exp(log_reference) / np.maximum(middle + below, 1e-300)) > 1.0
        low, high = (middle, high) if too_much else (low, middle)
    energy = log_reference - np.log(high + below)
    return energy - _log_sum_exp(energy)


def by_prefix(tokens, mask, log_reference, reward, beta: float, rule):
    """Returns log pi [N] of the listed answers, where each token is chosen by `rule` from what it is worth: Q(s, a), the
    expected reward when the rest is chosen so too, which charges no token for the divergence of those after it.

    tokens, mask and log_reference, each token's, [N, L]. rule: `optimal` for k2 in the loss, `reverse_optimal` for k3.
    """
    tokens, mask, log_reference = np.asarray(tokens), np.asarray(mask), np.asarray(log_reference, np.float64)
    log_policy = np.zeros(log_reference.shape)

    def solve(rows, place):
        if place == mask.shape[1] or mask[rows[0], place] == 0:
            return float(reward[rows[0]])
        branches = [rows[tokens[rows, place] == token] for token in np.unique(tokens[rows, place])]
        worth = np.array([solve(branch, place + 1) for branch in branches])
        chosen = rule(log_reference[[branch[0] for branch in branches], place], worth, beta)
        for branch, log_prob in zip(branches, chosen):
            log_policy[branch, place] = log_prob
        return float(np.sum(np.exp(chosen) * worth))

    solve(np.arange(len(tokens)), 0)
    return log_policy.sum(axis=1)


def divergence(log_p, log_q) -> float:
    """Returns KL(p || q) in nats of two listed distributions [N]."""
    p = np.exp(np.asarray(log_p, np.float64))
    return float(np.sum(np.where(p > 0, p * (np.asarray(log_p, np.float64) - np.asarray(log_q, np.float64)), 0.0)))


def best_of_n_mass(log_reference, reward, n: int):
    """Returns the probability that an answer is the best of n drawn from rho, [N]; equals share by their rho."""
    rho, reward = np.exp(np.asarray(log_reference, np.float64)), np.asarray(reward, np.float64)
    levels, level = np.unique(reward, return_inverse=True)
    at_level = np.bincount(level, weights=rho, minlength=len(levels))
    up_to = np.minimum(np.cumsum(at_level), 1.0)
    up_to[-1] = 1.0
    gained = np.diff(up_to**n, prepend=0.0)
    return np.where(rho > 0, gained[level] * rho / np.maximum(at_level[level], 1e-300), 0.0)


def best_of_n_bound(n: int) -> float:
    """Returns log n - (n - 1) / n, an upper bound of KL(best of n || rho); reached as answers become infinitely many."""
    return math.log(n) - (n - 1) / n


def best_of_n_mean(proxy, value, n: int) -> float:
    """Returns the mean `value` [N] of the best of n by `proxy` [N], without bias, from N answers drawn from rho: over all
    subsets of n, answer i of the sorted is the best of C(i - 1, n - 1) among C(N, n). Equals share."""
    proxy, value = np.asarray(proxy, np.float64), np.asarray(value, np.float64)
    if not 1 <= n <= len(proxy):
        raise ValueError(f"the best of {n} needs as many answers, not {len(proxy)}")
    place = np.arange(len(proxy))
    log_share = np.full(len(proxy), -np.inf)
    log_share[n - 1 :] = [_log_choose(i, n - 1) - _log_choose(len(proxy), n) for i in place[n - 1 :]]
    levels, level = np.unique(np.sort(proxy), return_inverse=True)
    share = np.bincount(level, weights=np.exp(log_share))
    found = np.searchsorted(levels, proxy)
    return float(np.sum(share[found] / np.bincount(level)[found] * value))


class Tilted(NamedTuple):
    """pi* as far as answers drawn from rho show it."""

    weight: np.ndarray  # [N], sums to 1: the mean of anything under pi* is its weighted sum
    reward: float  # E_pi*[r]
    divergence: float  # KL(pi* || rho)
    objective: float  # beta log Z
    effective_samples: float  # 1 / sum weight^2: few, and the figures are no more than those of the few best answers


def tilted(reward, beta: float, log_weight=0.0) -> Tilted:
    """Returns self-normalised importance sampling of pi* from the rewards [N] of answers: drawn from rho, or from another
    distribution q, with log_weight [N] their log rho / q. `mixed_weight` gives it where they were drawn from two."""
    reward = np.asarray(reward, np.float64)
    log_weight = np.zeros(len(reward)) + log_weight
    most = float(np.max(reward))
    below = reward - most  # differences of rewards alone are divided by beta: a small one loses no digits to them all
    energy = below / beta + log_weight
    log_mean = _log_sum_exp(energy) - _log_sum_exp(log_weight)
    weight = np.exp(energy - _log_sum_exp(energy))
    mean = float(np.sum(weight * below))
    return Tilted(weight, most + mean, mean / beta - log_mean, most + beta * log_mean, float(1.0 / np.sum(weight**2)))


def mixed_weight(log_reference, log_policy, drawn: int):
    """Returns log rho / q [N] of N answers, `drawn` of them from a policy and the others from rho: q is the mixture of the two,
    so that no weight is above N / (N - drawn) (Veach and Guibas 1995, the balance heuristic)."""
    share = drawn / len(log_reference)
    return -np.logaddexp(np.log1p(-share), np.log(share) + np.asarray(log_policy, np.float64) - log_reference)


def tilted_to(reward, divergence: float, log_weight=0.0) -> tuple[Tilted, float]:
    """Returns (importance sampling of pi* whose divergence is that, its beta), by bisection: it falls as beta grows. Its
    `divergence` is less where answers so few cannot show so much; rewards that are one number move nothing, at any beta."""
    spread = float(np.std(reward))
    if not np.ptp(reward):
        return tilted(reward, 1.0, log_weight), math.inf
    low, high = math.log(1e-3 * spread), math.log(1e3 * spread)
    for _ in range(60):
        middle = 0.5 * (low + high)
        above = tilted(reward, math.exp(middle), log_weight).divergence > divergence
        low, high = (middle, high) if above else (low, middle)
    return tilted(reward, math.exp(high), log_weight), math.exp(high)


def _log_sum_exp(x) -> float:
    highest = np.max(x)
    return float(highest + np.log(np.sum(np.exp(x - highest))))


def _log_choose(n, k) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
