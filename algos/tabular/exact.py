"""The policy gradient of a finite model, computed and not sampled (Sutton et al. 2000; Kakade 2001).

    J(theta) = sum_s start(s) V(s)
    g_w(theta) = sum_s w(s) sum_a grad pi(a|s) Q(s, a)

- "discounted": w(s) = sum_t gamma^t P(s_t = s). Then g_w = grad J: the policy gradient theorem.
- "undiscounted": w(s) = sum_t P(s_t = s), Q as before. This is what REINFORCE, A2C, PPO and TRPO follow: they average over
  the steps that they saw, and leave gamma^t out. At gamma < 1 it is the gradient of no function (Nota and Thomas 2020,
  arXiv 1906.07073); at gamma = 1 the two are one.

Parameters are flat vectors [n] (`jax.flatten_util.ravel_pytree`), as in `algos.core.curvature`; a policy is a function of
them that gives the distribution in every state, batched [S]. Dense matrices [S, S] and [n, n], by LAPACK: for models and
networks that are small, outside of programs that are vmapped. Under `jax.enable_x64` they are exact to rounding.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from algos.core.curvature import exact_fisher
from algos.tabular import bellman
from envs.mdp.endings import check_policy_ends
from envs.mdp.model import MDP

Policy = Callable[[jax.Array], object]  # params [n] -> distribution over the actions in each state, batched [S]
WEIGHTINGS = ("discounted", "undiscounted")


def expected_return(mdp: MDP, policy: Policy, params: jax.Array, gamma) -> jax.Array:
    """Returns J, a scalar that can be differentiated."""
    probs = probabilities(policy, params)
    return jnp.asarray(mdp.start, probs.dtype) @ value(mdp, probs, gamma)


def probabilities(policy: Policy, params: jax.Array) -> jax.Array:
    """Returns pi(a|s), [S, A]."""
    return jnp.exp(policy(params).log_probs())


def value(mdp: MDP, probs: jax.Array, gamma) -> jax.Array:
    """Returns V [S] of action probabilities [S, A]: V = r_pi + gamma P_pi V, solved."""
    followed = bellman.follow(bellman.tables(mdp, probs.dtype), probs)
    return jnp.linalg.solve(jnp.eye(mdp.num_states) - gamma * _matrix(followed), followed.reward[:, 0])


def action_value(mdp: MDP, probs: jax.Array, gamma) -> jax.Array:
    """Returns Q [S, A] of action probabilities [S, A]."""
    return bellman.action_value(bellman.tables(mdp, probs.dtype), value(mdp, probs, gamma), gamma)


def visits(mdp: MDP, probs: jax.Array, gamma) -> jax.Array:
    """Returns sum_t gamma^t P(s_t = s) of an episode, [S]; with gamma = 1 how often it comes to s, on average."""
    followed = bellman.follow(bellman.tables(mdp, probs.dtype), probs)
    return jnp.linalg.solve(
        (jnp.eye(mdp.num_states) - gamma * _matrix(followed)).T, jnp.asarray(mdp.start, probs.dtype)
    )


def weights(mdp: MDP, probs: jax.Array, gamma, weighting: str = "discounted") -> jax.Array:
    """Returns w [S] of one of WEIGHTINGS. Raises ValueError for another, and for "undiscounted" or gamma = 1 where episodes
    need not end."""
    if weighting not in WEIGHTINGS:
        raise ValueError(f"weighting must be one of {', '.join(WEIGHTINGS)}, not {weighting!r}")
    if weighting == "undiscounted" or gamma == 1.0:
        check_policy_ends(mdp, np.ones((mdp.num_states, mdp.num_actions)))
    return visits(mdp, probs, 1.0 if weighting == "undiscounted" else gamma)


def policy_gradient(mdp: MDP, policy: Policy, params: jax.Array, gamma, weighting: str = "discounted") -> jax.Array:
    """Returns g_w, [n], by the policy gradient theorem. Discounted, it is `jax.grad` of `expected_return`."""
    probs = lax.stop_gradient(probabilities(policy, params))
    weight, q = weights(mdp, probs, gamma, weighting), action_value(mdp, probs, gamma)
    return jax.grad(lambda new: jnp.sum(weight[:, None] * probabilities(policy, new) * q))(params)


def fisher(mdp: MDP, policy: Policy, params: jax.Array, gamma, weighting: str = "discounted") -> jax.Array:
    """Returns F [n, n], the mean of grad log pi grad log pi^T over actions and over states weighted by w / sum w."""
    weight = weights(mdp, probabilities(policy, params), gamma, weighting)
    return exact_fisher(policy, params, weight / weight.sum())


def natural_gradient(mdp: MDP, policy: Policy, params: jax.Array, gamma, weighting: str = "discounted") -> jax.Array:
    """Returns F^+ g_w / sum w, [n]: the shortest of the steps that are steepest per nat (Kakade 2001). One w in both."""
    weight = weights(mdp, probabilities(policy, params), gamma, weighting)
    gradient = policy_gradient(mdp, policy, params, gamma, weighting) / weight.sum()
    return jnp.linalg.pinv(fisher(mdp, policy, params, gamma, weighting), hermitian=True) @ gradient


def trust_region_step(
    mdp: MDP, policy: Policy, params: jax.Array, gamma, max_kl, weighting: str = "discounted"
) -> jax.Array:
    """Returns TRPO's full step without sampling, damping or conjugate gradients, [n]: sqrt(2 max_kl / x^T F x) x, x the natural
    gradient, so that to second order the KL averaged over w / sum w is `max_kl`. Where x = 0, no step."""
    direction = natural_gradient(mdp, policy, params, gamma, weighting)
    squared = direction @ fisher(mdp, policy, params, gamma, weighting) @ direction
    return jnp.where(squared > 0.0, jnp.sqrt(2.0 * max_kl / jnp.where(squared > 0.0, squared, 1.0)), 0.0) * direction


def mean_kl(
    mdp: MDP, policy: Policy, old: jax.Array, new: jax.Array, gamma, weighting: str = "discounted"
) -> jax.Array:
    """Returns the KL from the old policy to the new in nats, averaged over the states the old one visits, by w / sum w."""
    weight = weights(mdp, probabilities(policy, old), gamma, weighting)
    return (weight / weight.sum()) @ policy(old).kl(policy(new))


def _matrix(followed: bellman.Tables) -> jax.Array:
    """Returns P_pi, the chance to go on from s to s', [S, S]."""
    states = followed.successor.shape[0]
    onward = followed.onward[:, 0]
    return (
        jnp.zeros((states, states), onward.dtype).at[jnp.arange(states)[:, None], followed.successor[:, 0]].add(onward)
    )
