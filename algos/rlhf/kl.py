"""Keeping a policy near its reference: estimators of KL(pi || rho) from samples of pi (Schulman 2020, "Approximating KL
divergence"), where they may stand, and the coefficient that adapts (Ziegler et al. 2019, arXiv 1909.08593, section 2.2).

    x = log pi(a) - log rho(a):   k1 = x,   k2 = x^2 / 2,   k3 = exp(-x) - 1 + x

All estimate the same number (k2 to second order). As something to descend they differ, and most do not lead to
pi* proportional to rho exp(r / beta). Where each leads, from the expected gradient:

    k1 in reward         pi*: the gradient of E[log pi - log rho] is that of a reward
    k2 in answer_loss    pi*: x grad log pi is the gradient of the same
    k2 in loss           at each prefix pi(a|s) ~ rho(a|s) exp(Q(s, a) / beta), Q the reward alone: what the token leads to
                         is rewarded, but not charged. That is pi* only where an answer is one token
    k3 in answer_loss    beta rho / (lambda - r): the optimum of the reverse divergence KL(rho || pi)
    k3 in loss           the same at each prefix, with Q for r (GRPO)
    k1 in either loss    no penalty at all: its gradient has mean 0
    k2, k3 in reward     something else, or a collapse as without a penalty

That is so where a loss sums over an answer's tokens, or averages over all of the batch's, and gamma is 1. A mean within each
answer keeps the end of k1 in the reward alone: in a loss, reward and penalty then balance elsewhere.
"""

import warnings

import jax.numpy as jnp
from jax import lax

from algos.rlhf.averages import total

ERROR_CLIP = 0.2
PLACES = ("reward", "loss", "answer_loss")
EXACT = (("k1", "reward"), ("k2", "answer_loss"))


def k1(log_ratio):
    """Returns the log-ratio itself: unbiased, of either sign."""
    return log_ratio


def k2(log_ratio):
    """Returns half its square: never negative, biased where the two are far apart."""
    return 0.5 * log_ratio**2


def k3(log_ratio):
    """Returns exp(-x) - 1 + x: unbiased and never negative."""
    return jnp.expm1(-log_ratio) + log_ratio


ESTIMATORS = {"k1": k1, "k2": k2, "k3": k3}


def in_reward(estimator: str, reward, log_ratio, coefficient, mask):
    """Returns the rewards less coefficient times the estimate, token by token, [B, L]; no gradient passes."""
    penalty = coefficient * ESTIMATORS[estimator](log_ratio)
    return lax.stop_gradient(reward - jnp.where(mask > 0, penalty, 0.0))


def in_loss(loss, estimator: str, place: str):
    """Returns the loss plus hparams.kl_coef times the estimate: of each token, or of each whole answer (`answer_loss`)."""

    def penalised(params, apply, batch, hparams):
        value, metrics = loss(params, apply, batch, hparams)
        log_prob = apply(params, batch.observation)[0].log_prob(batch.action)
        log_ratio = jnp.where(batch.mask > 0, log_prob - batch.reference_log_prob, 0.0)
        weight = batch.weight
        if place == "answer_loss":  # the first token is always there, and has the weight of each of the answer's
            log_ratio, weight = jnp.sum(log_ratio, axis=1), weight[:, 0]
        penalty = total(ESTIMATORS[estimator](log_ratio), weight)
        return value + hparams.kl_coef * penalty, {**metrics, "kl_penalty": penalty}

    return penalised


def adapted(coefficient, kl, target, horizon, episodes: int):
    """Returns beta (1 + clip(KL / target - 1, -0.2, 0.2) n / horizon), n the episodes that the KL was measured on; 0 where
    that is less, as with n of more than 5 horizons it can be."""
    error = jnp.clip(kl / target - 1.0, -ERROR_CLIP, ERROR_CLIP)
    return coefficient * jnp.maximum(1.0 + error * episodes / horizon, 0.0)


def require_place(estimator: str, place: str) -> None:
    """Raises ValueError for what is no estimator or no place of one."""
    if estimator not in ESTIMATORS:
        raise ValueError(f"estimator must be one of {', '.join(ESTIMATORS)}, not {estimator!r}")
    if place not in PLACES:
        raise ValueError(f"place must be one of {', '.join(PLACES)}, not {place!r}")


def warn_if_lost(estimator: str, place: str, average: str, whitened: bool = False, own=()) -> None:
    """Warns, in one line, where the penalty does not lead to pi*, or a loss that it is added to is on another scale. own: the
    estimator and its place that the method is known by."""
    told = ""
    if (estimator, place) != own and (estimator, place) not in EXACT:
        told = f"{estimator} in place {place!r} {lost(estimator, place)}"
    elif place != "reward" and average == "answer":
        told = f"average 'answer' with {estimator} in place {place!r} weighs an answer by 1 / its length, so that the penalty"
        told += " no longer balances the reward: take average='sum', or put k1 in the reward"
    elif place != "reward" and whitened:
        told = "whiten_advantage divides the reward by a deviation and the penalty by none, so that beta is not what it says;"
        told += " take whiten_advantage=False, or put k1 in the reward"
    if told:
        warnings.warn(told, stacklevel=4)


def lost(estimator: str, place: str) -> str:
    """Returns what a penalty does that does not lead to pi*."""
    if estimator == "k1":
        return "has an expected gradient of 0 and holds the policy to nothing; put k1 in the reward"
    if place == "reward":
        return "does not lead to rho exp(r / beta), and may collapse; put k1 in the reward"
    if estimator == "k2":
        return "charges no token for what it leads to, so it misses rho exp(r / beta); take place='answer_loss'"
    return "leads to beta rho / (lambda - r), not to rho exp(r / beta); put k1 in the reward for that"
