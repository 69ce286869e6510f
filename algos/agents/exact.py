"""What the players of a known game earn, and what each could gain: values, best responses, NashConv.

    x(I, a)                                                             own reach, player by player (sequences.py)
    u_p(pi) = sum_z chance(z) payoff_p(z) prod_q x_q(z)                 value of a profile
    q_p(I, a) = sum_{h in I} reach_{-p}(h) u_p(h a, pi)                  counterfactual value (Zinkevich et al. 2007)
    NashConv(pi) = sum_p max_pi' u_p(pi', pi_{-p}) - u_p(pi)             0 in equilibrium and nowhere else

A best response chooses once for all histories that it cannot tell apart, weighing each by how chance and the others get there.
A policy is [I, A], rows as in the `GameTree`. All are pure functions of arrays, in their own precision, to be compiled and
differentiated by who calls them; a value is a multilinear function of the policy's rows, off the simplex too.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from algos.core.sequences import Level, Sequences, realisation_plan


def sequence_reach(game: Sequences, policy: jax.Array) -> jax.Array:
    """Returns x of all players' sequences one after another, and 1 for having done nothing, [I A + 1]."""
    plan = realisation_plan(game, policy)
    return jnp.append(plan.reshape(-1), jnp.ones(1, plan.dtype))


def value(game: Sequences, policy: jax.Array) -> jax.Array:
    """Returns what each player earns on average, [N]."""
    reach = sequence_reach(game, policy)[game.sequence]
    return reach.prod(1) @ jnp.asarray(game.payoff, reach.dtype)


def counterfactual_payoff(game: Sequences, reach: jax.Array, player: int) -> jax.Array:
    """Returns the player's payoff at each end, weighted by how chance and the others get there, [Z]. reach: [Z, N]."""
    payoff = jnp.asarray(game.payoff[:, player], reach.dtype)
    for other in range(game.num_players):
        payoff = payoff if other == player else payoff * reach[:, other]
    return payoff


def backward(
    game: Sequences, payoff: jax.Array, player: int, choose: Callable[[jax.Array, Level], jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """Returns (q [own information sets, A], the player's value), from the last decisions to the first.

    payoff: of the ends [Z], counterfactual. choose(q [n, A], level) -> [n]: what an information set is worth.
    """
    padded, worth, found = jnp.append(payoff, jnp.zeros(1, payoff.dtype)), None, []
    for level in reversed(game.levels[player]):
        q = padded[level.ends].sum(-1)
        if worth is not None:
            q += jnp.append(worth, jnp.zeros(1, worth.dtype))[level.after].sum(-1)
        worth = choose(q, level)
        found.append(q)
    never = jnp.where(
        game.sequence[:, player] == game.legal.size, payoff, 0.0
    ).sum()  # ends without a decision of the player's
    if worth is None:
        return jnp.zeros((0, game.legal.shape[1]), payoff.dtype), never
    return jnp.concatenate(found[::-1]), worth.sum() + never


def action_value(game: Sequences, policy: jax.Array, player: int) -> jax.Array:
    """Returns the player's counterfactual value of each action, where the player too goes on by the policy, [own sets, A]."""
    payoff = counterfactual_payoff(game, sequence_reach(game, policy)[game.sequence], player)
    return backward(game, payoff, player, lambda q, level: (policy[level.start : level.stop] * q).sum(1))[0]


def best_value(game: Sequences, policy: jax.Array) -> jax.Array:
    """Returns what each player could earn alone against the others' policies, [N]."""
    reach = sequence_reach(game, policy)
    return jnp.stack([_best(game, reach, player)[1] for player in range(game.num_players)])


def best_response(game: Sequences, policy: jax.Array) -> jax.Array:
    """Returns a best response of each player to the others' policies, [I, A]: the first of equal actions, with probability 1.
    Where the others never let the player come, all are equal."""
    return best_response_to_reach(game, sequence_reach(game, policy))


def best_response_to_reach(game: Sequences, reach: jax.Array) -> jax.Array:
    """Returns `best_response` to others whose sequences have this x [I A + 1], or any positive multiple of it."""
    q = jnp.concatenate([_best(game, reach, player)[0] for player in range(game.num_players)])
    best = jnp.argmax(jnp.where(game.legal, q, -jnp.inf), 1)
    return jax.nn.one_hot(best, q.shape[1], dtype=reach.dtype)


def nash_conv(game: Sequences, policy: jax.Array) -> jax.Array:
    """Returns the sum over players of what each could gain alone, a scalar: 0 in a Nash equilibrium, else above."""
    return (best_value(game, policy) - value(game, policy)).sum()


def exploitability(game: Sequences, policy: jax.Array) -> jax.Array:
    """Returns NashConv / 2, how far the policy is from its worst case on average over seats. Raises ValueError for a game
    that is not for two with a constant sum: there it would say nothing."""
    if not game.rivals:
        raise ValueError("exploitability is for two players whose payoffs sum to a constant; elsewhere use nash_conv")
    return 0.5 * nash_conv(game, policy)


def _best(game: Sequences, reach: jax.Array, player: int) -> tuple[jax.Array, jax.Array]:
    """Returns (q of the player's actions where the player goes on in the best way [own sets, A], the value of that)."""

    def best(q, level):
        return jnp.where(game.legal[level.start : level.stop], q, -jnp.inf).max(1)

    return backward(game, counterfactual_payoff(game, reach[game.sequence], player), player, best)
