"""A team's value made of its agents': sums and monotone mixtures, against loops, enumeration and finite differences."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from algos.agents.mixing import Additive, Hypernetwork, Mixer, Monotone, Sum

AGENTS, ACTIONS, STATE, BATCH, HIDDEN = 3, 4, 5, 6, 7


@pytest.fixture(scope="module")
def mixture():
    """Returns (state [BATCH, STATE]) -> `Monotone` of random parameters, q from the same seed."""
    network = Hypernetwork(AGENTS, HIDDEN, (8,))
    params = jax.jit(network.init)(jax.random.key(0), jnp.zeros(STATE))
    params = jax.tree.map(lambda x: x + 0.3 * jax.random.normal(jax.random.key(x.size), x.shape), params)
    q = jax.random.normal(jax.random.key(1), (BATCH, AGENTS, ACTIONS))
    return jax.jit(lambda state: Monotone(q, *network.apply(params, state)))


def states():
    return jax.random.normal(jax.random.key(2), (BATCH, STATE))


def joint_actions():
    return np.array(list(itertools.product(range(ACTIONS), repeat=AGENTS)))


def test_the_sum_is_that_of_the_chosen_values_of_those_that_live():
    q = np.random.default_rng(0).normal(size=(BATCH, AGENTS, ACTIONS)).astype(np.float32)
    action = np.random.default_rng(1).integers(ACTIONS, size=(BATCH, AGENTS))
    live = np.random.default_rng(2).integers(2, size=(BATCH, AGENTS)).astype(bool)
    expected = [sum(q[b, n, action[b, n]] for n in range(AGENTS) if live[b, n]) for b in range(BATCH)]
    np.testing.assert_allclose(Additive(jnp.asarray(q)).of(action, live), expected, rtol=1e-6)


def test_an_illegal_action_nobody_took_leaves_the_value_and_its_gradient_finite(mixture):
    q = jnp.zeros((1, AGENTS, ACTIONS)).at[..., 0].set(-jnp.inf)
    action, live = jnp.ones((1, AGENTS), int), jnp.ones((1, AGENTS), bool)
    parts = jax.tree.map(lambda x: x[:1], mixture(states()))
    for team in (Additive(q), parts.replace(q=q)):
        value, gradient = jax.value_and_grad(lambda team: jnp.sum(team.of(action, live)))(team)
        assert np.isfinite(value) and np.isfinite(gradient.q).all() and not gradient.q[..., 0].any()


def test_the_mixture_is_two_layers_of_elu_by_loops(mixture):
    parts = mixture(states())
    weight1, bias1, weight2, bias2, q = (np.asarray(x, float) for x in (
        parts.weight1, parts.bias1, parts.weight2, parts.bias2, parts.q))  # fmt: skip
    action = np.random.default_rng(1).integers(ACTIONS, size=(BATCH, AGENTS))
    expected = []
    for b in range(BATCH):
        total = bias2[b]
        for e in range(HIDDEN):
            x = bias1[b, e] + sum(q[b, n, action[b, n]] * weight1[b, n, e] for n in range(AGENTS))
            total += weight2[b, e] * (x if x > 0 else np.exp(x) - 1.0)
        expected.append(total)
    np.testing.assert_allclose(parts.of(action, jnp.ones((BATCH, AGENTS))), expected, rtol=1e-4)


def test_the_teams_value_never_falls_as_an_agents_rises(mixture):
    parts, q = mixture(states()), jax.random.normal(jax.random.key(5), (BATCH, AGENTS))
    below = parts.mixed(q)
    for agent, rise in itertools.product(range(AGENTS), (1e-2, 0.5, 3.0)):
        assert np.all(np.asarray(parts.mixed(q.at[:, agent].add(rise)) - below) >= -1e-6)
    assert np.all(parts.weight1 >= 0) and np.all(parts.weight2 >= 0)
    assert np.max(np.asarray(parts.mixed(q + 1.0) - below)) > 0.1  # it is not flat


def test_what_one_agent_adds_never_falls_as_another_rises(mixture):
    parts, q = mixture(states()), jax.random.normal(jax.random.key(6), (BATCH, AGENTS))
    for one, other in itertools.permutations(range(AGENTS), 2):
        higher = q.at[:, other].add(1.0)
        adds, adds_there = (parts.mixed(x.at[:, one].add(1.0)) - parts.mixed(x) for x in (q, higher))
        assert np.all(np.asarray(adds_there - adds) >= -1e-5)


@pytest.mark.parametrize("kind", ["additive", "monotone"])
def test_each_agents_best_action_is_the_best_joint_action_of_all_that_there_are(mixture, kind):
    parts = mixture(states())
    parts = Additive(parts.q) if kind == "additive" else parts
    live = jnp.ones((BATCH, AGENTS))
    every = jnp.stack([parts.of(jnp.tile(jnp.asarray(action), (BATCH, 1)), live) for action in joint_actions()])
    np.testing.assert_allclose(parts.of(parts.best(), live), jnp.max(every, axis=0), rtol=1e-5)


def test_agents_do_not_read_the_state_and_the_mixing_reads_nothing_else():
    own, state = 2, 3
    network = Mixer(OwnPart(own), Hypernetwork(AGENTS, HIDDEN, (8,)), own, state)
    observation = jax.random.normal(jax.random.key(0), (BATCH, AGENTS, own + state))
    params = jax.jit(network.init)(jax.random.key(1), observation)
    of_own = jax.jit(jax.jacobian(lambda x: network.own(params, x)))(observation[0, 0])
    assert np.all(of_own[:, own:] == 0.0) and np.any(of_own[:, :own] != 0.0)
    of_mixing = jax.jit(jax.grad(lambda x: jnp.sum(network.apply(params, x).weight1)))(observation)
    assert np.all(of_mixing[..., :own] == 0.0) and np.any(of_mixing[:, 0, own:] != 0.0)


def test_without_a_state_the_mixing_reads_what_all_agents_see_in_their_order():
    network = Mixer(OwnPart(2), None, 2, 0)
    observation = jnp.arange(2 * AGENTS * 4.0).reshape(2, AGENTS, 4)
    np.testing.assert_array_equal(network.state(observation)[1], observation[1, :, :2].ravel())


class OwnPart(nn.Module):
    size: int

    @nn.compact
    def __call__(self, observation):
        return nn.Dense(ACTIONS)(observation[..., : self.size])


def test_the_sum_of_shared_values_is_the_same_in_any_order_of_the_agents_to_the_bit():
    network = Sum(nn.Dense(ACTIONS))
    observation = jax.random.normal(jax.random.key(0), (BATCH, AGENTS, 4))
    params = network.init(jax.random.key(1), observation)
    order = np.array([2, 0, 1])
    np.testing.assert_array_equal(
        network.apply(params, observation[:, order]).q, network.apply(params, observation).q[:, order]
    )
