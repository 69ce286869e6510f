"""Kuhn poker by recursion over its histories: what policies earn, quantal responses, and the expected gradient of a loss there."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from algos.core.distributions import Categorical
from algos.core.types import Batch
from envs.games.kuhn import kuhn
from envs.games.tree import CHANCE

TREE = kuhn()


def walk(tree, policy):
    """Returns (reach of each history [H, N + 1], chance's last; what each player earns from each on [H, N]), by recursion."""
    reach, worth = np.ones((tree.num_histories, tree.num_players + 1)), np.array(tree.payoff, float)
    share = np.ones(tree.num_histories)
    for history in range(1, tree.num_histories):
        before = tree.parent[history]
        mover, reach[history] = tree.player[before], reach[before]
        share[history] = (
            tree.chance[history] if mover == CHANCE else policy[tree.info_set[before], tree.action[history]]
        )
        reach[history, mover] *= share[history]
    for history in range(tree.num_histories - 1, 0, -1):
        worth[tree.parent[history]] += share[history] * worth[history]
    return reach, worth


def conditional(tree, policy):
    """Returns (q [I, A], V [I]): what the mover of an information set earns from there on, everyone going on by the policy."""
    reach, worth = walk(tree, policy)
    q, weight = np.zeros(tree.legal.shape), np.zeros(tree.num_info_sets)
    for history in range(1, tree.num_histories):
        before = tree.parent[history]
        mover = tree.player[before]
        if mover >= 0:
            others = np.delete(reach[before], mover).prod()
            q[tree.info_set[before], tree.action[history]] += others * worth[history, mover]
            weight[tree.info_set[before]] += others * (tree.action[history] == 0)
    q = q / weight[:, None]
    return q, (policy * q).sum(1)


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


@functools.cache
def some_logits():
    return np.random.default_rng(5).normal(size=TREE.legal.shape)


@functools.cache
def quantal_response(temperature):
    """Returns the logit quantal response equilibrium of Kuhn poker, [I, A]: pi(a|I) ~ exp(q(I, a) / temperature), by damped
    iteration to a fixed point."""
    policy = np.full(TREE.legal.shape, 0.5)
    for _ in range(4000):
        logits = (np.log(policy) + 0.1 * conditional(TREE, policy)[0]) / (1.0 + 0.1 * temperature)
        policy, before = softmax(logits), policy
        if np.abs(policy - before).max() < 1e-9:
            return policy
    raise AssertionError("no fixed point")


def expected_gradient(loss, hparams, policy, at=None):
    """Returns the expected gradient of a loss in the logits, every decision weighed alike, [I, A], after a rollout by the policy;
    at: the policy that is differentiated, None: the same."""
    q, value = conditional(TREE, policy)
    old = jnp.log(jnp.asarray(policy))
    logits = old if at is None else jnp.log(jnp.asarray(at))
    return np.asarray(compiled_gradient(loss)(logits, old, jnp.asarray(q - value[:, None]), hparams))


@functools.cache
def compiled_gradient(loss):
    info_set, action = np.divmod(np.arange(TREE.legal.size), TREE.num_actions)

    def one(logits, old, info_set, action, advantage, hparams):
        said, nothing = Categorical(old[info_set][None]), jnp.zeros(1)
        batch = Batch(
            observation=jnp.eye(TREE.num_info_sets)[info_set][None], action=action[None], policy=said,
            log_prob=said.log_prob(action[None]), value=nothing, reward=nothing, next_observation=nothing, next_value=nothing,
            terminated=nothing, truncated=nothing, advantage=advantage[None], value_target=nothing, mask=jnp.ones(1),
        )  # fmt: skip
        return loss(logits, lambda logits, seen: (Categorical(seen @ logits), nothing), batch, hparams)[0]

    def expected(logits, old, advantage, hparams):
        rows = (jnp.asarray(info_set), jnp.asarray(action), advantage.reshape(-1))
        each = jax.vmap(one, (None, None, 0, 0, 0, None))(logits, old, *rows, hparams)
        return jnp.exp(old).reshape(-1) @ each

    return jax.jit(jax.grad(expected))
