"""Repeated games between strategies that remember one round, exactly: the last outcome is the state of a Markov chain.

    W(s) = payoff(s) + gamma sum_s' P(s' | s) W(s')            s = (a, b), the outcome of a round
    u = sum_s first(s) W(s)

Four states in the prisoner's dilemma. Against a known opponent of that kind the best reply is the best policy of a finite model
whose states are the outcomes, and needs no longer memory: `best_reply` plans it.
"""

import warnings

import jax
import jax.numpy as jnp
import numpy as np

from algos.tabular.planning import policy_iteration
from envs.games.iterated import MemoryOne, check
from envs.games.matrix import MatrixGame
from envs.mdp import from_dense, on_reaching


def value(game: MatrixGame, strategies: tuple[MemoryOne, MemoryOne], gamma) -> jax.Array:
    """Returns what each of two earns, sum_t gamma^t payoff_t, [2]. It can be differentiated. gamma: below 1."""
    one, two = (jax.tree.map(jnp.asarray, strategy) for strategy in strategies)
    states = game.payoff[0].size
    first = jnp.outer(one.first, two.first).reshape(states)
    two_after = two.after.swapaxes(0, 1)  # by the first one's action, then the second one's
    onward = (one.after[..., :, None] * two_after[..., None, :]).reshape(states, states)
    payoff = jnp.asarray(game.payoff, first.dtype).reshape(2, states)
    return jnp.linalg.solve(jnp.eye(states) - gamma * onward, payoff.T).T @ first


def best_reply(game: MatrixGame, opponent: MemoryOne, gamma: float, player: int = 0) -> tuple[MemoryOne, float]:
    """Returns (a best reply of the player to the opponent, what it earns). Raises ValueError for a game that is not for two, a
    gamma that is none, and a strategy that is none."""
    if game.payoff.shape[0] != 2 or not 0.0 <= gamma < 1.0:
        raise ValueError(f"a repeated game needs 2 players and 0 <= gamma < 1, not {game.payoff.shape[0]} and {gamma}")
    payoff = game.payoff[player] if player == 0 else game.payoff[player].T
    own, other = payoff.shape
    check(opponent, other, own)
    begin = own * other  # one state more
    reaction = np.concatenate(
        [np.swapaxes(opponent.after, 0, 1).reshape(begin, other), np.asarray(opponent.first)[None]]
    )
    probability = np.zeros((begin + 1, own, begin + 1))
    for action in range(own):
        probability[:, action, action * other : (action + 1) * other] = reaction
    with warnings.catch_warnings():  # against one who always defects there are outcomes that nobody sees
        warnings.simplefilter("ignore")
        mdp = from_dense(probability, on_reaching(np.append(payoff.ravel(), 0.0)), start=begin)
    solution = policy_iteration.solve(mdp, gamma)
    policy = solution.policy
    return MemoryOne(policy[begin], policy[:begin].reshape(own, other, own)), float(solution.value[begin])
