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
    natural: np.ndarray  # F^+ times the gradient, one weighting in both
    moves: np.ndarray  # bool, the policy depends on that parameter


@functools.cache
def fields(model: Model, network: Network, gamma: float) -> Fields:
    """Returns the fields of the model's policy; under `jax.enable_x64`."""
    table = observed(network, Tables(np.log(model.probs), np.zeros(STATES)))
    params, unravel = ravel_pytree(network.params)

    def policy(flat):
        return network.apply(unravel(flat), table)[0]

    moves = np.abs(jax.jacobian(lambda flat: exact.probabilities(policy, flat))(params)).max((0, 1)) > 0.0
    found = [exact.policy_gradient(model.mdp, policy, params, gamma, each) for each in exact.WEIGHTINGS]
    return Fields(*map(np.asarray, found), np.asarray(exact.natural_gradient(model.mdp, policy, params, gamma)), moves)


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
    """Returns the share of each state and action among the steps of all episodes, [S, A]."""
    share = np.zeros(model.probs.shape)
    np.add.at(share, (model.all.state, model.all.action), model.all.counts)
    return share / share.sum()
