"""Every episode of a model whose episodes all end soon, with its chance: what sampling comes to, without sampling.

    E[f] = sum_tau P(tau) f(tau),   P(tau) = start(s_0) prod_t pi(a_t|s_t) p(outcome_t | s_t, a_t)

Rows are steps and columns episodes, as a rollout has them; what stands after an episode's end is marked. Generalised
advantages (arXiv 1506.02438) of all of them give the estimator's exact bias and variance:

    bias(s, a) = E[A_t | s, a] - (Q(s, a) - V(s)),   Q of the policy, V the critic, right or wrong

lambda = 1: A_t = G_t - V(s_t), no bias whatever the critic. lambda = 0: the least variance, and all of the critic's error.
"""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np

from algos.core.returns import gae
from algos.tabular import exact
from envs.mdp.model import MDP


class Episodes(NamedTuple):
    """N episodes of up to T steps, NumPy arrays [T, N]; after an episode's end the numbers mean nothing."""

    chance: np.ndarray  # [N], sums to 1
    state: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    successor: np.ndarray
    terminated: np.ndarray
    counts: np.ndarray  # bool, a step of the episode


def every_episode(mdp: MDP, probs, longest: int) -> Episodes:
    """Returns all episodes of the policy [S, A]. Raises ValueError where one may be longer than `longest` steps."""
    found = list(_from_start(mdp, np.asarray(probs), longest))
    chance, paths = np.array([p for p, _ in found]), [path for _, path in found]
    steps = max(map(len, paths))
    filled = [path + [(0, 0, 0.0, 0, False)] * (steps - len(path)) for path in paths]
    columns = [np.array([[step[field] for step in path] for path in filled]).T for field in range(5)]
    lengths = np.array(list(map(len, paths)))
    return Episodes(chance, *columns, counts=np.arange(steps)[:, None] < lengths)


def advantage_moments(mdp: MDP, probs, critic, gamma, gae_lambda, longest: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns (bias, variance) of the generalised advantage of each state and action, [L, S, A] for L values of lambda;
    NaN where no episode has the pair. probs [S, A], critic V [S]."""
    all_of_them, critic = every_episode(mdp, probs, longest), np.asarray(critic, np.float64)
    chance, state, action, reward, successor, terminated, counts = all_of_them
    cut = np.zeros_like(terminated)
    over_lambda = jax.vmap(functools.partial(gae, reward, terminated, cut, critic[state], critic[successor], gamma))
    advantage = np.asarray(over_lambda(np.asarray(gae_lambda, np.float64)))
    weight = np.broadcast_to(chance, state.shape) * counts
    pair = np.zeros((mdp.num_states, mdp.num_actions, *state.shape))
    np.add.at(pair, (state, action, *np.indices(state.shape)), weight)
    with np.errstate(invalid="ignore"):
        pair /= pair.sum((2, 3), keepdims=True)
    mean = np.einsum("satn,ltn->lsa", pair, advantage)
    variance = np.einsum("satn,ltn->lsa", pair, advantage**2) - mean**2
    return mean - (np.asarray(exact.action_value(mdp, jax.numpy.asarray(probs), gamma)) - critic[:, None]), variance


def _from_start(mdp: MDP, probs: np.ndarray, longest: int) -> Iterator[tuple[float, list]]:
    """Yields (chance, [(state, action, reward, successor, terminated), ...]) of every episode."""
    ahead = [(float(mdp.start[state]), int(state), []) for state in np.flatnonzero(mdp.start)[::-1]]
    while ahead:
        chance, state, path = ahead.pop()
        if len(path) == longest:
            raise ValueError(f"an episode may be longer than {longest} steps: it goes on from state {state}")
        mass = probs[state][:, None] * mdp.probability[state]
        for action, k in np.argwhere(mass > 0.0):
            reached, over = int(mdp.successor[state, action, k]), bool(mdp.terminated[state, action, k])
            after = [*path, (state, int(action), float(mdp.reward[state, action, k]), reached, over)]
            p = chance * float(mass[action, k])
            if over:
                yield p, after
            else:
                ahead.append((p, reached, after))
