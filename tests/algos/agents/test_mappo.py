"""IPPO and MAPPO: the critic that is told more, agents with parameters of their own, and spread's 25 steps. What holds of all
algorithms on agents is in test_folding.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import team_games
from flax import linen as nn

import envs
from algos import ppo
from algos.agents import mappo
from algos.agents.networks import PerAgent, per_agent
from algos.core import on_policy
from algos.core.loop import advance, no_metrics
from algos.core.networks import ActorCritic, actor_critic
from envs.core import Discrete, Layout


@pytest.mark.parametrize("centralised", [True, False])
def test_the_actors_derivative_in_the_state_is_exactly_zero_and_the_critics_is_not_where_it_is_centralised(centralised):
    network = ActorCritic((9,), Discrete(2), (8,), Layout(4, 3, 2), centralised)
    observation = jax.random.normal(jax.random.key(0), (9,)).at[7:].set(1.0)
    params = jax.tree.map(lambda x: x + 0.1, jax.jit(network.init)(jax.random.key(1), observation))

    def said(x):
        policy, value = network.apply(params, x)
        return policy.log_probs(), value

    of_actor, of_critic = jax.jit(jax.jacobian(said))(observation)
    assert np.all(of_actor[:, 4:7] == 0.0) and np.any(of_actor[:, :4] != 0.0)
    assert np.any(of_critic[4:7] != 0.0) == centralised and np.any(of_critic[:4] != 0.0)
    assert np.all(of_critic[7:] == 0.0)


def recording(params, apply, batch, hparams):
    ratio = jnp.exp(apply(params, batch.observation)[0].log_prob(batch.action) - batch.log_prob)
    return ppo.loss(params, apply, batch, hparams)[0], {"gap_max": jnp.max(jnp.abs(ratio - 1.0)), "n": batch.mask.size}


@pytest.mark.parametrize(
    "kind", [pytest.param("ippo", marks=pytest.mark.slow), "mappo", pytest.param("own", marks=pytest.mark.slow)]
)
def test_in_the_first_minibatch_every_ratio_is_one_after_shuffling_and_at_borders_of_episodes(kind):
    env = envs.make("Spread", agent_ids=True)
    config = mappo.Config(
        num_envs=2, num_steps=60, num_epochs=1, num_minibatches=1, hidden_sizes=(4,), centralised=kind == "mappo",
        own_parameters=kind == "own",
    )  # fmt: skip
    algorithm, hparams = mappo.make(env, config, loss=recording), mappo.HParams()
    metrics = jax.jit(lambda key: algorithm.step(algorithm.init(key, hparams), hparams)[1])(jax.random.key(0))
    assert metrics["gap_max"] < 1e-5 and int(metrics["n"]) == 2 * 60 * 3
    assert float(metrics["episode_count"]) == 4.0 and float(metrics["episode_length_sum"]) == 4 * 25.0


@pytest.mark.slow  # what is replayed is asked every day
def test_an_episode_of_spread_ends_at_25_as_a_truncation_and_is_valued_by_the_state_reached():
    env = envs.make("Spread")
    network, vector = actor_critic(env, (4,)), envs.vectorize(env, 1)
    algorithm = ppo.make(env, ppo.Config(num_envs=1, num_steps=26, num_epochs=1, num_minibatches=1), network=network)

    def run(key):
        state = algorithm.init(key, ppo.HParams())
        return on_policy.collect(vector, network.apply, state.params, state, key, 26, 0.99, 0.95)[1]

    batch = jax.jit(run)(jax.random.key(0))
    np.testing.assert_array_equal(np.flatnonzero(np.asarray(batch.truncated)[:, 0]), [24])
    assert not np.asarray(batch.terminated).any()
    expected = np.asarray(batch.reward + 0.99 * batch.next_value)[24]
    np.testing.assert_allclose(np.asarray(batch.value_target)[24], expected, rtol=1e-5)
    assert not np.allclose(batch.next_value[24], batch.value[25])  # the state after the reset is another


def test_an_agents_own_network_is_that_of_its_id_and_its_first_parameters_do_not_depend_on_how_many_there_are():
    network = nn.Dense(2)
    observation = jax.random.normal(jax.random.key(0), (6, 5)).at[:, :3].set(jnp.tile(jnp.eye(3), (2, 1)))
    three, two = PerAgent(network, 3), PerAgent(network, 2)
    params, fewer = (jax.jit(each.init)(jax.random.key(1), observation)["params"] for each in (three, two))
    for name in ("kernel", "bias"):
        np.testing.assert_array_equal(params[name][:2], fewer[name])
    given, (kernel, bias) = (
        jax.jit(three.apply)({"params": params}, observation),
        (np.asarray(params[name]) for name in ("kernel", "bias")),
    )
    assert np.ptp(kernel, axis=0).min() > 0.0
    for row in range(6):
        np.testing.assert_allclose(
            given[row], np.asarray(observation)[row] @ kernel[row % 3] + bias[row % 3], rtol=1e-4
        )
    gradient = jax.jit(jax.grad(lambda params: jnp.sum(three.apply({"params": params}, observation[1]))))(params)
    assert not gradient["kernel"][np.array([0, 2])].any() and gradient["kernel"][1].any()


DIFFERENT = np.array([[0.0, 1.0], [1.0, 0.0]])


@pytest.mark.slow
def test_agents_with_parameters_of_their_own_choose_different_actions():
    env = team_games.one_round(DIFFERENT)
    fields = {"num_envs": 64, "num_steps": 1, "num_epochs": 2, "num_minibatches": 1, "hidden_sizes": (8,)}
    algorithm = mappo.make(env, mappo.Config(**fields, centralised=False, own_parameters=True))
    hparams = mappo.HParams(learning_rate=3e-2, entropy_coef=0.0, anneal=0.0)

    def run(key):
        state = algorithm.init(key, hparams)
        state, _ = advance(algorithm, state, hparams, no_metrics(algorithm, state, hparams), 60)
        first, second = jnp.exp(algorithm.policy(state, env.reset(key)[1]).log_probs())
        return first @ jnp.asarray(DIFFERENT) @ second

    assert float(jax.jit(run)(jax.random.key(0))) > 0.95


def test_ids_are_known_where_they_are():
    assert envs.make("Spread", agent_ids=True).ids and not envs.make("Spread").ids
    assert envs.make("Climbing").ids and not envs.make("Climbing", ids=False).ids
    looks_alike = team_games.one_round(DIFFERENT)._replace(
        ids=False
    )  # begins with eye(N), and nobody says that it stays so
    with pytest.raises(ValueError, match="own_parameters tells agents apart by ids"):
        per_agent(None, looks_alike, True)


def test_what_cannot_be_is_refused_in_one_line():
    with pytest.raises(ValueError, match="CartPole-v1 has one: ppo"):
        mappo.make(envs.make("CartPole-v1"))
    with pytest.raises(ValueError, match="a centralised critic reads a state, and OneRound has none"):
        mappo.make(team_games.one_round(DIFFERENT))
    with pytest.raises(ValueError, match="own_parameters tells agents apart by ids"):
        mappo.make(envs.make("Spread"), mappo.Config(own_parameters=True))
