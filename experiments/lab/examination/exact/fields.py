"""What the gradient of a loss is held against on a model: grad J, the field without gamma^t, the natural gradient."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from algos.tabular import bellman, exact
from experiments.lab.examination.exact.cases import Network, Tables, observed
from experiments.lab.examination.exact.models import STATES, STEPS, Model


class Fields(NamedTuple):
    """Vectors over the network's parameters, [n]."""

    gradient: np.ndarray  # of J, the states weighted by gamma^t
    undiscounted: np.ndarray  # without gamma^t
    value_step: np.ndarray  # towards V: the mean of (V(s) - 0) grad V(s) over the states visited
    moves: np.ndarray  # bool, the policy depends on that parameter
    values: np.ndarray  # bool, the value does


@functools.cache
def fields(model: Model, network: Network, gamma: float) -> Fields:
    """Returns the fields of the model's policy; under `jax.enable_x64`."""
    params, policy = _policy(model, network)
    found = [exact.policy_gradient(model.mdp, policy, params, gamma, each) for each in exact.WEIGHTINGS]
    table = observed(network, Tables(np.log(model.probs), np.zeros(STATES)))
    of_policy, of_value = (flat_rows(slope) for slope in slopes(network.apply)(network.params, table))
    weight = exact.weights(model.mdp, jnp.asarray(model.probs), gamma, "undiscounted") * value_of(model, gamma)
    moves, values = np.abs(of_policy).max(0) > 0.0, np.abs(of_value).max(0) > 0.0
    return Fields(*map(np.asarray, found), np.asarray(weight) @ of_value, moves, values)


@functools.cache
def slopes(apply):
    """Returns the program (params, observation [S, ...]) -> the derivatives of log pi [S, A] and V [S], trees."""

    def outputs(params, observation):
        policy, value = apply(params, observation)[:2]
        return policy.log_probs().ravel(), value

    return jax.jit(jax.jacrev(outputs))


def flat_rows(tree) -> np.ndarray:
    """Returns the leaves [rows, ...] side by side, [rows, n]."""
    return np.concatenate([np.asarray(leaf).reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(tree)], axis=1)


@functools.cache
def natural(model: Model, network: Network, gamma: float) -> np.ndarray:
    """Returns F^+ times the gradient, one weighting in both, [n]."""
    params, policy = _policy(model, network)
    return np.asarray(exact.natural_gradient(model.mdp, policy, params, gamma))


def _policy(model: Model, network: Network) -> tuple:
    """Returns (parameters [n], the policy as a function of them)."""
    table = observed(network, Tables(np.log(model.probs), np.zeros(STATES)))
    params, unravel = ravel_pytree(network.params)
    return params, lambda flat: network.apply(unravel(flat), table)[0]


@functools.cache
def value_of(model: Model, gamma: float) -> np.ndarray:
    """Returns V of the model's policy, [S]."""
    return np.asarray(exact.value(model.mdp, jnp.asarray(model.probs), gamma))


def backup(model: Model, following, gamma: float) -> np.ndarray:
    """Returns r + gamma E[following(s')], [S, A], nothing following an end; following [S]."""
    tables = bellman.tables(model.mdp)
    return tables.reward + gamma * (tables.onward * np.asarray(following)[tables.successor]).sum(-1)


def best_q(model: Model, gamma: float) -> np.ndarray:
    """Returns Q*, [S, A]: exact after as many sweeps as an episode has steps."""
    q = np.zeros(model.probs.shape)
    for _ in range(STEPS):
        q = backup(model, q.max(1), gamma)
    return q


def met(model: Model) -> np.ndarray:
    """Returns the share of each state and action among the steps of its pairs, [S, A]: all alike."""
    share = np.zeros(model.probs.shape)
    np.add.at(share, (model.pairs.state, model.pairs.action), model.pairs.counts)
    return share / share.sum()
