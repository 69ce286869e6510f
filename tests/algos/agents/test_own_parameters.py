"""Agents with parameters of their own: nobody's bits depend on who sits where, and IQL's values are of the recorded mix."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from algos.agents import ia2c, iql, mappo
from algos.agents.networks import PerAgent
from algos.core import on_policy
from algos.core.distributions import Categorical
from algos.core.loop import advance, no_metrics
from algos.core.optimize import adam
from envs.games import matrix

AGENTS, LENGTH = 4, 4


def counting(scale=1.0, agents=AGENTS):
    """Returns an environment of four agents in which all numbers are short binary fractions, so that sums have no rounding in
    whatever order: agent a of an episode with number e sees (e, a, time) and earns e + a + 2 action, the first of them `scale` times
    that."""
    number_of = jnp.arange(agents, dtype=jnp.float32)

    def seen(number, time):
        return jnp.stack([jnp.full(agents, number), number_of, jnp.full(agents, time)], axis=1)

    def reset(key):
        number = jax.random.randint(key, (), 0, 4) / 4.0
        return (number, jnp.float32(0.0)), seen(number, 0.0)

    def step(key, state, action):
        number, time = state
        reward = (number + number_of + 2.0 * action) * jnp.ones(agents).at[0].set(scale)
        reached = envs.TimeStep(seen(number, time + 1.0), reward, jnp.zeros((), bool), jnp.zeros((), bool))
        return (number, time + 1.0), reached

    return envs.Env(
        "Counting", reset, step, (3,), envs.Discrete(2), LENGTH, agents=agents, reward_convention="individual"
    )  # fmt: skip


def seated(env, order):
    """Returns the environment with agent order[p] in place p, whatever it observes, does and earns. order: int32 [N]."""
    inverse = jnp.argsort(order)

    def reset(key):
        state, observation = env.reset(key)
        return state, observation[order]

    def step(key, state, action):
        state, reached = env.step(key, state, action[inverse])
        return state, reached.replace(observation=reached.observation[order], reward=reached.reward[order])

    return env._replace(reset=reset, step=step)


class Exact:
    """A network whose policy is a sure one, without parameters, and whose value is linear in what is seen."""

    def init(self, key, observation):
        return jnp.round(4.0 * jax.random.normal(key, observation.shape[-1:])) / 4.0

    def apply(self, params, observation):
        logit = 1e6 * jnp.sin(3.0 * jnp.sum(observation[..., AGENTS:], axis=-1) + 1.0)
        return Categorical(jnp.stack([logit, -logit], axis=-1)), observation @ params


FIELDS = {"num_envs": 4, "num_steps": 4, "hidden_sizes": (4,)}
KINDS = {
    "a2c": (ia2c, ia2c.Config(**FIELDS)),
    "ppo": (mappo, mappo.Config(**FIELDS, num_epochs=1, num_minibatches=1, normalize_advantage=False, centralised=False)),
}  # fmt: skip


EVERY = ["a2c", pytest.param("ppo", marks=pytest.mark.slow)]


@functools.cache
def one_update(kind, ids_travel=True):
    """Returns the compiled (order, scale, max_grad_norm) -> (parameters, value loss) of one update."""
    module, config = KINDS[kind]

    @jax.jit
    def run(order, scale, max_grad_norm):
        env = counting(scale)
        env = seated(envs.with_ids(env), order) if ids_travel else envs.with_ids(seated(env, order))
        algorithm = module.make(env, config, network=PerAgent(Exact(), AGENTS))
        hparams = module.HParams(gamma=0.5, gae_lambda=1.0, entropy_coef=0.0, max_grad_norm=max_grad_norm)
        state, metrics = algorithm.step(algorithm.init(jax.random.key(0), hparams), hparams)
        return state.params, metrics["value_loss"]

    def after(order=(0, 1, 2, 3), scale=1.0, max_grad_norm=0.0):
        params, loss = run(jnp.array(order, jnp.int32), jnp.float32(scale), jnp.float32(max_grad_norm))
        return np.asarray(params), float(loss)

    return after


@pytest.mark.parametrize("kind", EVERY)
def test_with_parameters_of_their_own_no_bit_depends_on_where_an_agent_sits(kind):
    (here, loss), (there, theirs) = one_update(kind)(), one_update(kind)((2, 0, 3, 1))
    np.testing.assert_array_equal(here, there)
    assert loss == theirs > 0.0


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_it_does_where_an_agent_is_called_by_its_place(kind):
    here, there = (one_update(kind, ids_travel=False)(order)[0] for order in ((0, 1, 2, 3), (2, 0, 3, 1)))
    assert (here != there).any()


@pytest.mark.parametrize("kind", EVERY)
def test_one_agents_rewards_times_100_leave_the_others_steps_as_they_were_to_the_bit(kind):
    (once, loss), (often, larger) = (one_update(kind)(scale=scale, max_grad_norm=0.5) for scale in (1.0, 100.0))
    np.testing.assert_array_equal(once[1:], often[1:])
    assert larger > 100.0 * loss


class Drawn:
    """A network that reads what is after the id, whose policy is drawn from and whose value has parameters."""

    def __init__(self, agents):
        self.agents = agents

    def init(self, key, observation):
        return jax.random.normal(key, (3,))

    def apply(self, params, observation):
        told = observation[..., self.agents :]
        logit = jnp.sin(jnp.sum(told, axis=-1))
        return Categorical(jnp.stack([logit, -logit], axis=-1)), jnp.sum(told * params, axis=-1)


def collected(agents):
    """Returns what a rollout of so many agents gives to learn from, {name: [T, B, N]}."""
    vector, network = envs.vectorize(envs.with_ids(counting(agents=agents)), 4), PerAgent(Drawn(agents), agents)

    @jax.jit
    def run(key):
        state = on_policy.initialise(vector, network, adam(0.0, 0.0, network=network), key, ia2c.Config())
        return on_policy.collect(vector, network.apply, state.params, state, state.key, 6, 0.9, 0.8)[1]

    batch = run(jax.random.key(0))
    names = ("action", "reward", "log_prob", "value", "advantage", "mask")
    return {name: np.asarray(getattr(batch, name)).reshape(6, 4, agents) for name in names}


@pytest.mark.slow  # noise and first parameters are asked every day
def test_another_agent_changes_nobodys_bits():
    three, four = collected(3), collected(4)
    for name, found in three.items():
        np.testing.assert_array_equal(found, four[name][..., :3], err_msg=name)
    assert np.ptp(three["action"]) == 1 and len(np.unique(three["advantage"])) > 20


@functools.cache
def learned(agents):
    """Returns the parameters [N, 3] after two updates of A2C whose gradients are about as small as Adam's epsilon."""
    env, network = envs.with_ids(counting(agents=agents)), PerAgent(Drawn(agents), agents)
    algorithm = ia2c.make(env, ia2c.Config(num_envs=4, num_steps=4, hidden_sizes=()), network=network)
    hparams = ia2c.HParams(gamma=0.5, entropy_coef=0.0, value_coef=1e-6, max_grad_norm=0.0, anneal=0.0)

    @jax.jit
    def run(key):
        state = algorithm.init(key, hparams)
        return jax.lax.fori_loop(0, 2, lambda _, state: algorithm.step(state, hparams)[0], state).params

    return np.asarray(run(jax.random.key(0)))


def test_with_parameters_of_its_own_an_agent_learns_as_fast_whoever_else_there_is():
    three, four = learned(3), learned(4)
    np.testing.assert_allclose(three, four[:3], rtol=1e-6)


@functools.cache
def hunted():
    """Returns (env, algorithm, state) after independent Q-learning of a table for each of two in the stag hunt."""
    env = envs.make("StagHunt")
    config = iql.Config(
        num_envs=8, num_updates=8, batch_size=256, buffer_size=8192, warmup_steps=8, hidden_sizes=(), own_parameters=True
    )  # fmt: skip
    algorithm, updates = iql.make(env, config), 400
    hparams = iql.HParams(
        learning_rate=0.05, anneal=1.0, total_steps=8.0 * (updates + 1), epsilon_start=0.5, epsilon_end=0.5
    )

    @jax.jit
    def run(key):
        state = algorithm.init(key, hparams)
        return advance(algorithm, state, hparams, no_metrics(algorithm, state, hparams), updates)[0]

    return env, algorithm, run(jax.random.key(1))


def test_the_values_of_independent_q_learning_are_those_against_the_recorded_mix_and_its_choice_the_best_response_to_it():
    env, algorithm, state = hunted()
    steps = int(state.replay.added) // 2
    action = np.asarray(state.replay.data.action)[: 2 * steps].reshape(steps, 2)
    payoff = matrix.stag_hunt().payoff
    observation = env.reset(jax.random.key(0))[1]
    found = np.asarray(jax.vmap(lambda seen: algorithm.value(state, seen))(observation))
    for agent in (0, 1):
        own, other = action[:, agent], action[:, 1 - agent]
        assert 0.05 < abs(other.mean() - 0.5)  # else uniform play would be answered in the same way
        worth = []
        for choice in (0, 1):
            mix = np.bincount(other[own == choice], minlength=2) / (own == choice).sum()
            pays = payoff[0][choice] if agent == 0 else payoff[1][:, choice]
            worth.append(sum(share * paid for share, paid in zip(mix, pays)))
        assert found[agent] == pytest.approx(max(worth), abs=0.1)
        chosen = algorithm.act(state, jax.random.key(0), observation[agent], False)
        assert int(chosen) == int(np.argmax(worth))


def test_what_cannot_be_is_refused_in_one_line():
    for module, name, instead in ((ia2c, "ia2c", "a2c"), (iql, "iql", "dqn")):
        with pytest.raises(ValueError, match=f"{name} is for several agents, and CartPole-v1 has one: {instead}"):
            module.make(envs.make("CartPole-v1"))
        with pytest.raises(
            ValueError, match="own_parameters tells agents apart by ids, and observations of Spread have none"
        ):
            module.make(envs.make("Spread"), module.Config(own_parameters=True))
