"""Fictitious self-play over stored policies: who plays whom, what is stored, what is averaged, what is learned from."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from kuhn_oracles import TREE, softmax, some_logits, walk

import envs
from algos import ppo
from algos.agents import fictitious_self_play as fsp
from algos.agents import reservoir
from algos.core import played
from algos.core.distributions import Categorical
from algos.core.loop import advance, no_metrics
from experiments.lab.judging.equilibrium import measure_nash_conv

KUHN = envs.make("Kuhn")
CONFIG = fsp.Config(
    num_envs=8, num_steps=4, num_epochs=1, num_minibatches=1, hidden_sizes=(), store_size=3, store_interval=2, num_opponents=2
)  # fmt: skip
HPARAMS = fsp.HParams(learning_rate=0.3, anneal=0.0)
AFTER_A_PASS = np.array([TREE.mover[row] == 1 and TREE.names[row].endswith("p") for row in range(12)], np.float32)


class Table:
    """A network of one number for each action: parameters [D, A]."""

    def apply(self, params, observation):
        return Categorical(observation @ params), jnp.sum(observation @ params, axis=-1)


def test_every_row_is_played_by_the_learner_or_by_the_policy_that_was_drawn_for_its_seat_and_group():
    rng, groups, agents, size = np.random.default_rng(0), 2, 3, 6
    env = envs.make("Kuhn", players=3)._replace(observation_shape=(5,))
    seat = np.arange(size) % agents
    params = {"learner": rng.normal(size=(5, 2)), "opponents": rng.normal(size=(groups, agents, 5, 2))}
    observation = rng.normal(size=(size * agents, 5))
    apply = fsp.against(Table(), env, seat, groups)
    policy, value = apply(params, jnp.asarray(observation))
    for row in range(size * agents):
        place, agent = divmod(row, agents)
        who = params["learner"] if agent == seat[place] else params["opponents"][place // 3, agent]
        np.testing.assert_allclose(policy.logits[row], observation[row] @ who, rtol=1e-4)
        assert value[row] == pytest.approx((observation[row] @ params["learner"]).sum(), rel=1e-4, abs=1e-5)
    whole, _ = apply(params, jnp.asarray(observation)[None])
    np.testing.assert_allclose(whole.logits[0], observation @ params["learner"], rtol=1e-4, atol=1e-5)


def told(params, apply, batch, hparams):
    """PPO's loss, and what is seen of the batch."""
    total, metrics = ppo.loss(params, apply, batch, hparams)
    ratio = jnp.exp(apply(params, batch.observation)[0].log_prob(batch.action) - batch.log_prob)
    return total, {
        **metrics,
        "gap_max": jnp.max(jnp.abs(ratio - 1.0)),
        "seat": jnp.mean(batch.agent.astype(jnp.float32)),
        "after_a_pass": jnp.sum(batch.observation[:, :12] @ AFTER_A_PASS * batch.mask),
        "counted": jnp.sum(batch.mask),
    }


@functools.cache
def compiled():
    """Returns (algorithm, its first state, (state, updates) -> (state, sums of metrics))."""
    algorithm = fsp.make(KUHN, CONFIG, loss=told)

    @jax.jit
    def go_on(state, updates):
        return advance(algorithm, state, HPARAMS, no_metrics(algorithm, state, HPARAMS), updates)

    first = jax.jit(lambda key: algorithm.init(key, HPARAMS))(jax.random.key(0))
    return algorithm, first, lambda state, updates: go_on(state, jnp.int32(updates))


@functools.cache
def states():
    """Returns the states before each of seven updates and after, and each update's metrics."""
    _, first, go_on = compiled()
    found, metrics = [first], []
    for _ in range(7):
        state, sums = go_on(found[-1], 1)
        found.append(state)
        metrics.append(jax.tree.map(float, sums.total))
    return found, metrics


def raw(state):
    return [np.asarray(x) for x in jax.tree.leaves(state.replace(key=jax.random.key_data(state.key)))]


def test_a_run_cut_into_chunks_has_the_bits_of_the_straight_run():
    straight = compiled()[2](compiled()[1], 7)[0]
    for one, other in zip(raw(straight), raw(states()[0][-1]), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_policy_joins_the_store_as_it_began_and_at_every_interval_and_there_are_never_more_than_fit():
    found, _ = states()
    assert [int(state.store.seen) for state in found] == [1, 1, 2, 2, 3, 3, 4, 4]
    for place, state in enumerate((found[0], found[2], found[4])):
        for kept, params in zip(jax.tree.leaves(found[5].store.data), jax.tree.leaves(state.params)):
            np.testing.assert_array_equal(kept[place], params)
            assert len(kept) == 3
    assert any(np.any(x != y) for x, y in zip(jax.tree.leaves(found[2].params), jax.tree.leaves(found[4].params)))


def test_what_is_learned_is_the_average_of_all_that_were_stored_alike_by_own_reach():
    algorithm, _, _ = compiled()
    found, _ = states()
    of = lambda state: np.asarray(played.probabilities(KUHN, lambda seen: algorithm.policy(state, seen)), float)  # noqa: E731
    policies = [of(found[update]) for update in (0, 2, 4, 6)]
    average, theirs = np.asarray(played.average(KUHN, found[7].plans), float), softmax(some_logits())
    own = (TREE.mover == 0)[:, None]
    earned = [walk(TREE, np.where(own, policy, theirs))[1][0, 0] for policy in policies]
    assert np.ptp(earned) > 1e-3
    assert walk(TREE, np.where(own, average, theirs))[1][0, 0] == pytest.approx(np.mean(earned), abs=1e-6)
    judged = measure_nash_conv(algorithm, KUHN, found[7], None)
    assert judged["nash_conv"] == judged["nash_conv_average"] != judged["nash_conv_current"]


def test_what_is_learned_from_is_the_learners_own_rows_alone_of_all_seats_alike():
    _, metrics = states()
    assert max(one["gap_max"] for one in metrics) < 1e-5
    assert {one["seat"] for one in metrics} == {0.5}
    assert all(8 <= one["counted"] <= 8 * 3 for one in metrics)  # of 8 environments; those waiting count nowhere


def test_every_rollout_begins_with_new_episodes():
    for state in states()[0]:
        assert not np.asarray(state.environment.episode_length).any()


def always(state, action):
    """Returns the state with a store full of the policy that always takes the action."""
    data = jax.tree.map(jnp.zeros_like, state.store.data)
    data["params"]["policy"]["bias"] = data["params"]["policy"]["bias"].at[:, action].set(100.0)
    return state.replace(store=reservoir.Reservoir(data, jnp.int32(3)))


def test_opponents_play_what_is_stored():
    _, first, go_on = compiled()
    passed, bet = (jax.tree.map(float, go_on(always(first, action), 2)[1].total) for action in (0, 1))
    assert bet["after_a_pass"] == 0.0 < passed["after_a_pass"]


@pytest.mark.slow
def test_the_average_comes_near_equilibrium_and_no_key_is_used_twice():
    config = fsp.Config(num_envs=128, num_steps=4, num_minibatches=1, hidden_sizes=(), store_interval=4)
    algorithm = fsp.make(KUHN, config)
    hparams = fsp.HParams(learning_rate=0.02, total_steps=300 * 512.0)
    with jax.debug_key_reuse(True):
        jax.jit(lambda key: algorithm.step(algorithm.init(key, hparams), hparams)).lower(jax.random.key(0))

    @jax.jit
    def run(key):
        state = algorithm.init(key, hparams)
        state, _ = advance(algorithm, state, hparams, no_metrics(algorithm, state, hparams), 300)
        return measure_nash_conv(algorithm, KUHN, state, None)

    assert float(run(jax.random.key(0))["nash_conv"][0]) < 0.25


@pytest.mark.parametrize(
    ("env", "fields", "words"),
    [("CartPole-v1", {}, "is for several players, and CartPole-v1 has one"),
     ("Kuhn", {"num_steps": 2}, "num_steps must be 3 or more on Kuhn: each rollout begins new episodes"),
     ("Kuhn", {"num_envs": 24}, "num_envs must be a multiple of num_opponents \\* agents = 16, not 24"),
     ("Kuhn", {"store_size": 0}, "store_size must be a positive integer, not 0"),
     ("Kuhn", {"num_minibatches": 3}, "num_minibatches=3 must divide num_envs \\* num_steps = 4096")],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line(env, fields, words):
    with pytest.raises(ValueError, match=words):
        fsp.make(envs.make(env), fsp.Config(**fields))
