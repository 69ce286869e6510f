"""VDN and QMIX: what is replayed, the loss against loops, and games whose best decomposition is known."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import team_games

import envs
from algos.agents import qmix, vdn
from algos.agents.value_decomposition import Config, HParams, JointBatch, joint, td_loss
from algos.core.distributions import Categorical
from algos.core.loop import advance, no_metrics
from algos.core.rollout import rollout

CLIMBING = np.array([[11.0, -30.0, 0.0], [-30.0, 7.0, 6.0], [0.0, 0.0, 5.0]])


def replayed(env, num_steps, num_envs=2, team_reward="sum"):
    """Returns (joint transitions [num_steps, num_envs, ...], the rollout's rows) of agents that always do 0."""
    vector = envs.vectorize(env, num_envs)

    def apply(params, observation):
        return Categorical(jnp.tile(jnp.array([0.0, -jnp.inf]), (observation.shape[0], 1))), None

    def run(key):
        after, transitions, _ = rollout(vector, apply, None, vector.reset(key), key, num_steps)
        return joint(env, transitions, after, team_reward), transitions

    items, transitions = jax.jit(run)(jax.random.key(0))
    return jax.tree.map(lambda x: np.asarray(x).reshape(num_steps, num_envs, *x.shape[1:]), items), transitions


REWARD = [[1.0, 10.0, 100.0], [2.0, 20.0, 200.0], [4.0, 40.0, 400.0]]


def test_every_agents_observation_and_action_is_at_its_place_in_its_environments_team():
    items, _ = replayed(team_games.scripted(REWARD, [[0, 0, 0], [0, 0, 0], [1, 1, 1]]), 4)
    np.testing.assert_array_equal(items.observation[..., 0], np.broadcast_to([0.0, 1.0, 2.0], (4, 2, 3)))
    numbers = items.observation[..., 1]
    assert np.all(numbers == numbers[..., :1]) and np.all(numbers[:, 0] != numbers[:, 1])
    np.testing.assert_array_equal(
        items.observation[..., 2], np.array([0.0, 1, 2, 0])[:, None, None] * np.ones((4, 2, 3))
    )
    np.testing.assert_array_equal(
        items.next_observation[..., 2], np.array([1.0, 2, 3, 1])[:, None, None] * np.ones((4, 2, 3))
    )
    assert not items.action.any()


@pytest.mark.parametrize("team_reward, scale", [("sum", 3.0), ("mean", 1.0)])
def test_the_team_is_given_the_sum_or_the_mean_of_its_agents_rewards(team_reward, scale):
    items, _ = replayed(team_games.scripted(REWARD, [[0, 0, 0], [0, 0, 0], [1, 1, 1]]), 3, team_reward=team_reward)
    np.testing.assert_allclose(items.reward[:, 0], np.mean(REWARD, axis=1) * scale, rtol=1e-6)


def test_the_second_agents_death_ends_its_part_and_the_last_ones_the_episode():
    ends = [[0, 1, 0], [0, 0, 0], [1, 0, 1]]
    items, _ = replayed(team_games.scripted(REWARD, ends), 5)
    np.testing.assert_array_equal(items.live[:3, 0], [[1, 1, 1], [1, 0, 1], [1, 0, 1]])
    np.testing.assert_array_equal(items.next_live[:2, 0], [[1, 0, 1], [1, 0, 1]])
    np.testing.assert_array_equal(items.terminated[:, 0], [0, 0, 1, 0, 0])
    np.testing.assert_array_equal(items.reward[:3, 0], [111.0, 202.0, 404.0])  # nobody is paid after the own end
    np.testing.assert_array_equal(items.live[3:, 0], [[1, 1, 1], [1, 0, 1]])  # and in the next episode all are there
    paid, _ = replayed(team_games.scripted(REWARD, ends, convention="team"), 3)
    np.testing.assert_array_equal(paid.reward[:, 0], [111.0, 222.0, 444.0])  # but where the reward is the team's
    np.testing.assert_array_equal(paid.next_live[:2, 0], [[1, 0, 1], [1, 0, 1]])


@pytest.mark.parametrize("convention", ["individual", "team"])
def test_at_a_time_limit_those_alive_go_on_and_the_dead_do_not(convention):
    env = team_games.scripted(REWARD, [[0, 1, 0], [0, 0, 0], [0, 0, 0]], [0, 0, 1], convention)
    items, _ = replayed(env, 4)
    assert not items.terminated.any()
    np.testing.assert_array_equal(items.next_live[2, 0], [1, 0, 1])
    np.testing.assert_array_equal(
        items.next_observation[2, 0, :, 2], [3.0, 3.0, 3.0]
    )  # the state reached, not the reset's


def test_the_time_limit_of_spread_is_stored_as_none_at_25_steps():
    items, transitions = replayed(envs.make("Spread"), 26, 1)
    assert not items.terminated.any() and items.live.all() and items.next_live.all()
    np.testing.assert_array_equal(np.flatnonzero(np.asarray(transitions.truncated)[:, 0]), [24])
    assert not np.array_equal(
        items.next_observation[24], items.observation[25]
    )  # of an episode's last step is not the reset's


@pytest.mark.parametrize("double", [True, False])
def test_the_loss_is_that_of_double_q_learning_on_sums_by_loops(double):
    rng, size = np.random.default_rng(0), 8
    q, target, following = (rng.normal(size=(size, 2, 3)).astype(np.float32) for _ in range(3))
    batch = JointBatch(
        observation=q, action=rng.integers(3, size=(size, 2)), reward=rng.normal(size=size).astype(np.float32),
        next_observation=following, terminated=np.arange(size) % 3 == 0, live=rng.random((size, 2)) < 0.7,
        next_live=rng.random((size, 2)) < 0.7, mask=np.ones(size), target_params=1.0,
    )  # fmt: skip

    def apply(params, observation):  # parameters 1: the target network, whose values are others
        from algos.agents.mixing import Additive

        return Additive(jnp.asarray(observation) * (jnp.asarray(target) if params == 1.0 else 1.0))

    found = td_loss(double)(0.0, apply, batch, HParams(gamma=0.9))[0]
    errors = []
    for b in range(size):
        value = sum(q[b, n, batch.action[b, n]] for n in range(2) if batch.live[b, n])
        theirs = following[b] * target[b]
        best = np.argmax(following[b] if double else theirs, axis=1)
        ahead = sum(theirs[n, best[n]] for n in range(2) if batch.next_live[b, n])
        errors.append(batch.reward[b] + 0.9 * (not batch.terminated[b]) * ahead - value)
    assert float(found) == pytest.approx(0.5 * np.mean(np.square(errors)), rel=1e-5)


def learned(module, env, updates, **config):
    """Returns the state and the algorithm after learning from uniformly random actions."""
    fields = {
        "num_envs": 16,
        "warmup_steps": 512,
        "buffer_size": 1024,
        "target_interval": 50,
        "num_updates": 4,
        **config,
    }
    algorithm = module.make(env, module.Config(**{"hidden_sizes": (32,), "batch_size": 256, **fields}))
    hparams = HParams(learning_rate=5e-3, anneal=1.0, total_steps=16.0 * updates, gamma=1.0, epsilon_end=1.0)

    def run(key):
        state = algorithm.init(key, hparams)
        return advance(algorithm, state, hparams, no_metrics(algorithm, state, hparams), updates)[0]

    return jax.jit(run)(jax.random.key(0)), algorithm


def table(module, env, state, place=0):
    """Returns the team's value of every joint action of two agents, in the first state or at another place of `two_steps`."""
    _, observation = env.reset(jax.random.key(0))
    observation = (
        observation if not place else jnp.concatenate([jnp.eye(2), jnp.tile(jnp.eye(3)[place], (2, 1))], axis=1)
    )
    network = networks(module, env)
    number = env.action.n
    actions = jnp.array(list(itertools.product(range(number), repeat=2)))
    seen = jnp.tile(observation, (len(actions), 1, 1))
    return np.asarray(network.apply(state.params, seen).of(actions, jnp.ones((len(actions), 2)))).reshape(
        number, number
    )


def networks(module, env):
    from algos.agents.mixing import Hypernetwork, Mixer, Sum
    from algos.agents.networks import agent_q

    agent = agent_q(env, (32,), False)
    return Sum(agent) if module is vdn else Mixer(agent, Hypernetwork(2, 32, (64,)), env.observation_shape[0], 0)


def additive_projection(payoff):
    """Returns the sum of a row's and a column's number that is nearest by least squares: of the means."""
    return payoff.mean(1, keepdims=True) + payoff.mean(0, keepdims=True) - payoff.mean()


@pytest.fixture(scope="module")
def climbing():
    """Returns the environment and VDN's state after learning on the climbing game."""
    env = team_games.one_round(CLIMBING)
    return env, learned(vdn, env, 400)[0]


def test_vdn_on_the_climbing_game_finds_the_nearest_sum_by_least_squares(climbing):
    env, state = climbing
    np.testing.assert_allclose(table(vdn, env, state), additive_projection(CLIMBING), atol=1.5)
    assert np.abs(additive_projection(CLIMBING) - CLIMBING).max() > 15.0  # which is far from the game


def test_vdn_represents_a_game_of_independent_parts_exactly():
    payoff = np.array([[3.0], [-1.0], [0.5]]) + np.array([[0.0, 2.0, -4.0]])
    env = team_games.one_round(payoff)
    np.testing.assert_allclose(table(vdn, env, learned(vdn, env, 400)[0]), payoff, atol=0.1)


def monotone_projection(payoff):
    """Returns the least sum of squares of payoff less a table that does not fall from row to row nor from column to column, for
    some order of the rows and some order of the columns: a sum of steps up, one for each upper set of places (scipy's nnls)."""
    from scipy.optimize import nnls

    size = len(payoff)
    heights = [h for h in itertools.product(range(size + 1), repeat=size) if list(h) == sorted(h, reverse=True)]
    upper = [[[column >= height for column in range(size)] for height in heights_of] for heights_of in heights]
    steps = np.array(upper, float).reshape(len(upper), -1).T
    basis = np.concatenate([steps, -np.ones((size * size, 1))], axis=1)
    orders = list(itertools.permutations(range(size)))
    return min(nnls(basis, payoff[np.ix_(rows, columns)].ravel())[1] ** 2 for rows in orders for columns in orders)


def test_the_oracle_of_monotone_tables_knows_what_is_monotone():
    assert monotone_projection(team_games.EIGHT) == pytest.approx(0.0, abs=1e-9)
    assert monotone_projection(np.array([[2.0, 0.0], [0.0, 1.0]])) > 0.4


@pytest.mark.slow
def test_qmix_on_the_climbing_game_is_between_the_nearest_monotone_table_and_the_nearest_sum(climbing):
    env, _ = climbing
    error = np.sum((table(qmix, env, learned(qmix, env, 2000)[0]) - CLIMBING) ** 2)
    nearest_sum = np.sum((additive_projection(CLIMBING) - CLIMBING) ** 2)
    assert monotone_projection(CLIMBING) - 1e-6 <= error * 1.001
    assert error < nearest_sum


@pytest.mark.slow
def test_qmix_chooses_the_game_of_eight_and_vdn_the_one_of_seven():
    env = team_games.two_steps()
    found = {module: learned(module, env, 800) for module in (vdn, qmix)}
    tables = {module: table(module, env, state, place=2) for module, (state, _) in found.items()}
    np.testing.assert_allclose(tables[qmix], team_games.EIGHT, atol=0.2)
    np.testing.assert_allclose(tables[vdn], additive_projection(team_games.EIGHT), atol=0.4)
    _, first = env.reset(jax.random.key(0))
    choice = {
        m: int(algorithm.act(state, jax.random.key(0), first[0], False)) for m, (state, algorithm) in found.items()
    }
    assert choice == {vdn: 0, qmix: 1}


@pytest.mark.parametrize("module, name", [(vdn, "vdn"), (qmix, "qmix")])
def test_what_cannot_be_is_refused_in_one_line(module, name):
    def refused(env, match, **config):
        with pytest.raises(ValueError, match=match):
            module.make(env, module.Config(**config))

    refused(envs.make("CartPole-v1"), f"{name} is for a team of agents, and CartPole-v1 has one")
    refused(envs.make("Kuhn"), "agents take turns in Kuhn")
    spread = envs.make("Spread")
    refused(spread, "team_reward must be one of mean, sum, not 'all'", team_reward="all")
    refused(spread, "buffer_size", buffer_size=3)
    refused(spread, "own_parameters tells agents apart by ids", own_parameters=True)
    assert module.make(envs.make("Spread", agent_ids=True), module.Config(own_parameters=True))


def test_the_defaults_are_those_of_the_loss_that_is_exported():
    assert Config().double and vdn.loss is not None and qmix.loss is not None
