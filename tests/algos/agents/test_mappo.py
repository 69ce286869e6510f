"""IPPO and MAPPO: PPO on agents in the batch. What must hold of folding, ids, deaths, time limits and the critic that is told more."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import team_games

import envs
from algos import ppo
from algos.agents import mappo
from algos.agents.networks import PerAgent, tells_ids
from algos.core import on_policy
from algos.core.loop import advance, no_metrics
from algos.core.networks import ActorCritic, actor_critic
from algos.core.rollout import episode_metrics
from envs.core import Discrete, Layout

DEATH = [[0, 1, 0], [0, 0, 0], [1, 0, 1]]  # the second agent's after a step, the others' after three
REWARD = [[1.0, 10.0, 100.0], [2.0, 20.0, 200.0], [4.0, 40.0, 400.0]]


def layout_network(centralised):
    return ActorCritic((9,), Discrete(2), (8,), Layout(4, 3, 2), centralised)


@pytest.mark.parametrize("centralised", [True, False])
def test_the_actors_derivative_in_the_state_is_exactly_zero_and_the_critics_is_not_where_it_is_centralised(centralised):
    network = layout_network(centralised)
    observation = jax.random.normal(jax.random.key(0), (9,)).at[7:].set(1.0)
    params = jax.jit(network.init)(jax.random.key(1), observation)
    params = jax.tree.map(lambda x: x + 0.1, params)
    of_actor, of_critic = jax.jit(
        jax.jacobian(lambda x: (network.apply(params, x)[0].log_probs(), network.apply(params, x)[1]))
    )(observation)
    assert np.all(of_actor[:, 4:7] == 0.0) and np.any(of_actor[:, :4] != 0.0)
    assert np.any(of_critic[4:7] != 0.0) == centralised and np.any(of_critic[:4] != 0.0)
    assert np.all(of_critic[7:] == 0.0)


def collected(env, num_steps, reward_scale=1.0, network=None, num_envs=2):
    """Returns (batch [T, R], the update's metrics, the parameters after it) of one update of PPO."""
    config = ppo.Config(num_envs=num_envs, num_steps=num_steps, num_epochs=1, num_minibatches=1, hidden_sizes=(4,))
    network = network or actor_critic(env, (4,))
    vector, hparams = envs.vectorize(env, num_envs), ppo.HParams(anneal=0.0, learning_rate=1e-2)
    algorithm = ppo.make(env, config, network=network)

    def run(key):
        state = algorithm.init(key, hparams)
        _, key_rollout, _ = jax.random.split(state.key, 3)
        _, batch, episodes = on_policy.collect(
            vector, network.apply, state.params, state, key_rollout, num_steps, hparams.gamma, hparams.gae_lambda
        )
        after, metrics = algorithm.step(state, hparams)
        return batch, metrics, after.params, episode_metrics(episodes)

    return jax.jit(run)(jax.random.key(0))


@pytest.fixture(scope="module")
def deaths():
    """Returns (convention, how much more the dead agent would be paid after its end) -> `collected` of the script of deaths."""
    found = {}

    def of(convention, times):
        if (convention, times) not in found:
            reward = np.array(REWARD)
            reward[1:, 1] *= times  # what the second agent is given after its end
            found[convention, times] = collected(team_games.scripted(reward, DEATH, convention=convention), 6)
        return found[convention, times]

    return of


def test_what_a_dead_agent_is_given_a_hundredfold_changes_nobodys_update(deaths):
    (_, _, usual, _), (_, _, more, _) = deaths("individual", 1.0), deaths("individual", 100.0)
    for x, y in zip(jax.tree.leaves(usual), jax.tree.leaves(more)):
        np.testing.assert_array_equal(x, y)


def test_a_dead_agents_rows_have_mask_zero_and_statistics_are_over_the_living(deaths):
    batch = deaths("individual", 1.0)[0]
    np.testing.assert_array_equal(batch.mask[:3, :3], [[1, 1, 1], [1, 0, 1], [1, 0, 1]])
    normal = on_policy.normalize_advantage(team_games.scripted(REWARD, DEATH, convention="team"), batch)
    alive = np.asarray(normal.advantage)[np.asarray(batch.mask) > 0]
    assert abs(alive.mean()) < 1e-5 and alive.std() == pytest.approx(1.0, abs=1e-4)


def test_after_its_own_end_an_agent_is_worth_nothing_or_what_the_team_goes_on_to_earn(deaths):
    own, team = (deaths(convention, 1.0)[0] for convention in ("individual", "team"))
    assert float(own.value_target[0, 1]) == pytest.approx(10.0, rel=1e-5)  # of three rewards the first alone
    # it decides no more: what comes is one step away, in its own decisions
    assert float(team.value_target[0, 1]) == pytest.approx(10.0 + 0.99 * (20.0 + 40.0), rel=1e-5)


def test_where_an_episode_ends_is_what_each_agent_is_paid_and_the_mean_is_over_ended_episodes_alone(deaths):
    episodes = deaths("individual", 1.0)[3]
    assert float(episodes["episode_count"]) == 4.0  # two environments, two episodes of three steps each
    own = (1 + 2 + 4 + 10 + 100 + 200 + 400) / 3
    assert float(episodes["episode_return_sum"] / episodes["episode_count"]) == pytest.approx(own, rel=1e-6)


def test_a_minibatch_normalises_each_agents_advantages_by_themselves_where_rewards_are_their_own():
    ends = [[0, 0, 0], [0, 0, 0], [1, 1, 1]]
    usual = np.array(REWARD)
    env, scaled = (team_games.scripted(usual * by, ends) for by in ([1.0, 1.0, 1.0], [1.0, 1.0, 100.0]))
    batches = [on_policy.normalize_advantage(env, collected(each, 5)[0]) for each in (env, scaled)]
    mine = [np.asarray(batch.advantage)[:, :2] for batch in batches]
    np.testing.assert_array_equal(*mine)
    together = [on_policy.normalize_advantage(env._replace(reward_convention="team"), b).advantage for b in batches]
    assert (
        np.abs(np.asarray(together[0] - together[1])[:, :2]).max() > 0.05
    )  # and over all of them where it is the team's


def recording(params, apply, batch, hparams):
    ratio = jnp.exp(apply(params, batch.observation)[0].log_prob(batch.action) - batch.log_prob)
    return ppo.loss(params, apply, batch, hparams)[0], {"gap_max": jnp.max(jnp.abs(ratio - 1.0)), "n": batch.mask.size}


@pytest.mark.parametrize("kind", ["ippo", "mappo", "own"])
def test_in_the_first_minibatch_every_ratio_is_one_with_ids_after_shuffling_and_at_borders_of_episodes(kind):
    env = envs.make("Spread", agent_ids=True)
    config = mappo.Config(
        num_envs=2, num_steps=60, num_epochs=1, num_minibatches=1, hidden_sizes=(4,), centralised=kind == "mappo",
        own_parameters=kind == "own",
    )  # fmt: skip
    algorithm = mappo.make(env, config, loss=recording)
    hparams = mappo.HParams()
    metrics = jax.jit(lambda key: algorithm.step(algorithm.init(key, hparams), hparams)[1])(jax.random.key(0))
    assert metrics["gap_max"] < 1e-5 and int(metrics["n"]) == 2 * 60 * 3
    assert float(metrics["episode_count"]) == 4.0 and float(metrics["episode_length_sum"]) == 4 * 25.0


def test_an_episode_of_spread_ends_at_25_as_a_truncation_and_is_valued_by_the_state_reached():
    env = envs.make("Spread")
    batch = collected(env, 26, num_envs=1)[0]
    np.testing.assert_array_equal(np.flatnonzero(np.asarray(batch.truncated)[:, 0]), [24])
    assert not np.asarray(batch.terminated).any()
    expected = np.asarray(batch.reward + 0.99 * batch.next_value)[24]
    np.testing.assert_allclose(np.asarray(batch.value_target)[24], expected, rtol=1e-5)
    assert not np.allclose(batch.next_value[24], batch.value[25])  # the state after the reset is another


@pytest.fixture(scope="module")
def places():
    """Returns the batch [T, R, ...] of a script in which every environment and agent is known by its observation."""
    return collected(team_games.scripted(REWARD, [[0, 0, 0], [0, 0, 0], [1, 1, 1]]), 5, num_envs=3)[0]


def test_what_is_constant_for_an_environment_and_an_agent_comes_back_at_its_row_in_everything(places):
    numbers = np.asarray(places.observation)[0, ::3, 1]
    assert len(set(numbers.tolist())) == 3
    np.testing.assert_array_equal(places.observation[0, :, 0], np.tile([0.0, 1, 2], 3))
    np.testing.assert_array_equal(places.observation[:3, :, 1], np.tile(np.repeat(numbers, 3), (3, 1)))
    np.testing.assert_array_equal(places.reward[:3], np.tile(np.array(REWARD), (1, 3)))
    np.testing.assert_array_equal(places.terminated[:, 0], [0, 0, 1, 0, 0])
    np.testing.assert_array_equal(places.agent, np.tile([0, 1, 2], (5, 3)))
    np.testing.assert_array_equal(places.next_observation[:2, :, :2], places.observation[1:3, :, :2])


@pytest.mark.parametrize("ids", [False, True])
def test_permuting_the_agents_permutes_policy_and_value_to_the_bit_unless_they_have_ids(ids):
    env = envs.make("Spread", agent_ids=ids)
    network = actor_critic(env, (8,))
    observation = env.reset(jax.random.key(0))[1]
    params = jax.tree.map(lambda x: x + 0.05, jax.jit(network.init)(jax.random.key(1), observation))
    order = np.array([2, 0, 1])
    first = 3 * ids
    others = jnp.concatenate(
        [observation[:, :first], observation[order][:, first:]], axis=1
    )  # each now sees what another saw
    apply = jax.jit(network.apply)
    (policy, value), (permuted, permuted_value) = apply(params, observation), apply(params, others)
    same = np.array_equal(permuted.logits, policy.logits[order]) and np.array_equal(permuted_value, value[order])
    assert same != ids


def test_an_agents_own_network_is_that_of_its_id_and_its_first_parameters_do_not_depend_on_how_many_there_are():
    network = actor_critic(envs.make("Spread", agent_ids=True), (4,))
    observation = jax.random.normal(jax.random.key(0), (6, 39)).at[:, :3].set(jnp.tile(jnp.eye(3), (2, 1)))
    three, two = PerAgent(network, 3), PerAgent(network, 2)
    params, fewer = (jax.jit(each.init)(jax.random.key(1), observation) for each in (three, two))
    for x, y in zip(jax.tree.leaves(params), jax.tree.leaves(fewer)):
        np.testing.assert_array_equal(x[:2], y)
    policy, value = three.apply(params, observation)
    for row in range(6):
        alone_policy, alone = network.apply(jax.tree.map(lambda x, row=row: x[row % 3], params), observation[row])
        np.testing.assert_allclose(policy.logits[row], alone_policy.logits, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(value[row], alone, rtol=1e-5)
    gradient = jax.grad(lambda params: three.apply(params, observation[1])[1])(params)
    assert all(not leaf[np.array([0, 2])].any() for leaf in jax.tree.leaves(gradient))


DIFFERENT = np.array([[0.0, 1.0], [1.0, 0.0]])


def earned(ids, updates=60, **config):
    """Returns what a stochastic team earns in expectation, after learning to choose different actions."""
    env = team_games.one_round(DIFFERENT, ids)
    fields = {"num_envs": 64, "num_steps": 1, "num_epochs": 2, "num_minibatches": 1, "hidden_sizes": (8,)}
    algorithm = mappo.make(env, mappo.Config(**fields, centralised=False, **config))
    hparams = mappo.HParams(learning_rate=3e-2, entropy_coef=0.0, anneal=0.0)

    def run(key):
        state = algorithm.init(key, hparams)
        state, _ = advance(algorithm, state, hparams, no_metrics(algorithm, state, hparams), updates)
        _, observation = env.reset(key)
        first, second = jnp.exp(algorithm.policy(state, observation).log_probs())
        return first @ jnp.asarray(DIFFERENT) @ second

    return float(jax.jit(run)(jax.random.key(0)))


def test_agents_that_share_a_policy_choose_different_actions_half_the_time_at_most_and_with_ids_always():
    assert earned(ids=False) <= 0.5 + 1e-6
    assert earned(ids=True) > 0.95


def test_agents_with_parameters_of_their_own_choose_different_actions():
    assert earned(ids=True, own_parameters=True) > 0.95


def test_ids_are_known_where_they_are():
    assert tells_ids(envs.make("Spread", agent_ids=True)) and not tells_ids(envs.make("Spread"))
    assert not tells_ids(team_games.one_round(DIFFERENT, ids=False))


def test_what_cannot_be_is_refused_in_one_line():
    with pytest.raises(ValueError, match="CartPole-v1 has one: ppo"):
        mappo.make(envs.make("CartPole-v1"))
    with pytest.raises(ValueError, match="a centralised critic reads a state, and OneRound has none"):
        mappo.make(team_games.one_round(DIFFERENT))
    with pytest.raises(ValueError, match="own_parameters tells agents apart by ids"):
        mappo.make(envs.make("Spread"), mappo.Config(own_parameters=True))
