"""Agents in the batch: what is where, whose end ends what, and what does not count in any mean."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scripted
from scripted import AGENTS, LENGTH

import envs
from algos import a2c, dqn, pgql, ppo, reinforce, trpo
from algos.core import losses, networks, normalize, on_policy
from algos.core.distributions import Categorical
from algos.core.returns import decision_returns, gae, lambda_returns
from algos.core.rollout import episode_metrics, evaluate, rollout
from envs.vector import own_ends

ENVS, STEPS = 4, 6
GREEDY = 1e6  # logits so far apart that a sample is the best action


class Looks:
    """A network with nothing to learn: its policy and value are functions of what is observed."""

    def init(self, key, observation):
        return {"scale": jnp.ones(())}

    def apply(self, params, observation):
        number, agent, time = jnp.moveaxis(observation, -1, 0)
        logit = GREEDY * jnp.sin(7.0 * number + 3.0 * agent + time)
        return Categorical(jnp.stack([logit, -logit], -1)), params["scale"] * (number + 10.0 * agent - time)


@functools.cache
def collected(**made):
    """Returns (vector, batch [T, B, ...], episodes) of one rollout in `scripted.constants`."""
    vector, network = envs.vectorize(scripted.constants(**made), ENVS), Looks()

    @jax.jit
    def run():
        key = jax.random.key(0)
        config = a2c.Config(num_envs=ENVS, num_steps=STEPS)
        state = on_policy.initialise(vector, network, a2c.adam(0.0, 0.0), key, config)
        return on_policy.collect(vector, network.apply, state.params, state, key, STEPS, 0.9, 0.8)[1:]

    return vector, *run()


def test_what_is_an_environments_and_an_agents_own_comes_back_in_their_row():
    vector, batch, _ = collected()
    assert vector.num_rows == ENVS * AGENTS
    number, agent, time = np.moveaxis(np.asarray(batch.observation), -1, 0)
    assert (agent == np.arange(ENVS * AGENTS) % AGENTS).all() and (batch.agent == agent).all()
    assert (number.reshape(STEPS, ENVS, AGENTS) == number.reshape(STEPS, ENVS, AGENTS)[:, :, :1]).all()
    assert len(np.unique(number[0])) == ENVS
    np.testing.assert_allclose(batch.reward, number + 10.0 * agent + 100.0 * batch.action, rtol=1e-6)
    np.testing.assert_allclose(batch.value, number + 10.0 * agent - time, rtol=1e-6)
    assert (batch.truncated == (time == LENGTH - 1)).all() and not batch.terminated.any()


def test_a_time_limit_is_a_truncation_after_as_many_steps_and_its_value_that_of_the_observation_reached():
    _, batch, episodes = collected()
    ends = np.asarray(episodes.ended)
    assert ends.sum() == ENVS and (np.asarray(episodes.length)[ends] == LENGTH).all()
    last = np.asarray(batch.truncated)
    assert last.sum() == ENVS * AGENTS and not batch.terminated.any()
    assert (np.asarray(batch.next_observation)[last][:, 2] == LENGTH).all()
    bootstrapped = batch.reward + 0.9 * (batch.observation[..., 0] + 10.0 * batch.agent - LENGTH) - batch.value
    np.testing.assert_allclose(np.asarray(batch.advantage)[last], np.asarray(bootstrapped)[last], rtol=1e-5)


def test_an_episodes_return_is_the_mean_of_the_agents_own_and_only_episodes_that_ended_count():
    _, batch, episodes = collected()
    found = episode_metrics(episodes)
    whole = np.asarray(batch.reward)[:LENGTH].sum(0)
    assert found["episode_count"] == ENVS and found["episode_length_sum"] == ENVS * LENGTH
    np.testing.assert_allclose(found["episode_return_sum"], whole.reshape(ENVS, AGENTS).mean(1).sum(), rtol=1e-6)


def test_permuting_agents_permutes_everything_to_the_bit_and_with_ids_it_does_not():
    order = (2, 0, 1)
    here, there = collected()[1], collected(permutation=order)[1]
    for name in ("observation", "action", "reward", "value", "advantage", "log_prob", "mask"):
        mine, theirs = (np.asarray(getattr(x, name)).reshape(STEPS, ENVS, AGENTS, -1) for x in (here, there))
        np.testing.assert_array_equal(mine[:, :, list(order)], theirs, err_msg=name)
    env = envs.with_ids(scripted.constants(permutation=order))
    told = np.asarray(env.reset(jax.random.key(0))[1])
    assert (told[:, :AGENTS] == np.eye(AGENTS)).all() and told[:, AGENTS + 1].tolist() == list(map(float, order))


def test_with_ids_an_information_set_is_seen_as_its_mover_sees_it():
    plain, env = envs.make("Kuhn"), envs.with_ids(envs.make("Kuhn"))
    sets, mover = jnp.arange(12), np.asarray(plain.game.mover)
    shown, before = np.asarray(jax.vmap(env.observe)(sets)), np.asarray(jax.vmap(plain.observe)(sets))
    np.testing.assert_array_equal(shown, np.concatenate([np.eye(2)[mover], before], axis=1))
    for seed in range(4):
        state, first = env.reset(jax.random.key(seed))
        _, reached = env.step(jax.random.key(seed), state, jnp.array([seed % 2, 0]))
        for agent, seen in ((0, first[0]), (1, reached.observation[1])):  # the one to move
            rows = np.flatnonzero((shown == np.asarray(seen)).all(1))
            assert len(rows) == 1 and mover[rows[0]] == agent


def test_an_agents_noise_is_its_own_whoever_else_there_is():
    def uniform(params, observation):
        return Categorical(jnp.zeros((observation.shape[0], 5))), None

    def acts(agents):
        env = scripted.different()._replace(agents=agents, action=envs.Discrete(5))
        env = env._replace(
            reset=lambda key: (jnp.int32(0), jnp.ones((agents, 1))),
            step=lambda key, state, action: (
                state,
                envs.TimeStep(jnp.ones((agents, 1)), jnp.zeros(agents), jnp.bool_(True), jnp.bool_(False)),
            ),
        )
        vector = envs.vectorize(env, ENVS)
        first = vector.reset(jax.random.key(0))
        actions = rollout(vector, uniform, None, first, jax.random.key(1), STEPS)[1].action
        return np.asarray(actions).reshape(STEPS, ENVS, agents)

    two, three = acts(2), acts(3)
    np.testing.assert_array_equal(two, three[..., :2])
    assert (two[..., 0] != two[..., 1]).any() and len(np.unique(two)) == 5


LATER = [pytest.param(module, marks=pytest.mark.slow) for module in (ppo, reinforce, trpo, pgql)]


@pytest.mark.parametrize("module", [a2c, dqn, *LATER])
def test_a_dead_agents_reward_and_observation_times_100_change_nobodys_update(module):
    if module in (dqn, pgql):
        more = {"batch_size": 64, "buffer_size": 256, "warmup_steps": 64}
    else:
        more = {"normalize_reward": True, "normalize_observation": True}
    config = module.Config(num_envs=2, num_steps=8, hidden_sizes=(), **more)

    def params(scale):
        algorithm = module.make(scripted.constants(death=1, scale=scale), config)
        state = jax.jit(algorithm.init)(jax.random.key(0), module.HParams())
        state, metrics = jax.jit(algorithm.step)(state, module.HParams())
        moments = getattr(state, "normalizer", None)  # which the next update reads
        return jax.tree.leaves((state.params, metrics, moments))

    for mine, theirs in zip(params(1.0), params(100.0)):
        np.testing.assert_array_equal(mine, theirs)


def ended(convention):
    """Returns (steps of one environment as its two agents have them, who was gone before each), by `own_ends`.

    Three steps. Agent 0 ends in the first; both earn 1, 2 and 4; the episode ends in the third.
    """
    env = scripted.different()._replace(reward_convention=convention)
    gone, rows, before = jnp.zeros(2, bool), [], []
    for reward, ends in ((1.0, [True, False]), (2.0, [False, False]), (4.0, [False, True])):
        step = envs.TimeStep(jnp.zeros((2, 1)), jnp.full(2, reward), jnp.array(ends), jnp.zeros((), bool))
        before.append(gone)
        step, gone = own_ends(env, step, gone, False)
        rows.append(step)
    assert gone.all()
    return jax.tree.map(lambda *x: jnp.stack(x), *rows), jnp.stack(before)


@pytest.mark.parametrize(("convention", "first"), [("individual", 1.0), ("team", 7.0)])
def test_after_its_end_an_agent_is_paid_what_the_team_earns_and_nothing_of_its_own(convention, first):
    steps, gone = ended(convention)
    junk = jnp.full((3, 2), 1e3)  # what a critic says of an agent that is gone is asked by nobody
    returns = decision_returns(steps.reward, steps.terminated, steps.truncated, junk, junk, 1.0, 1.0, ~gone)
    assert returns[0].tolist() == [first, 7.0]
    blended = decision_returns(steps.reward, steps.terminated, steps.truncated, junk, junk, 1.0, 0.5, ~gone)
    assert blended[0, 0] == first  # no value of others' states in it


def test_an_episode_is_reset_when_all_have_ended_and_not_before():
    _, batch, episodes = collected(death=1)
    time = np.asarray(batch.observation)[..., 2]
    assert time[:, 0].tolist() == [0, 1, 2, 3, 0, 1] and (np.asarray(episodes.length)[episodes.ended] == LENGTH).all()
    dead = (np.asarray(batch.agent) == 0) & (time > 1)
    assert (np.asarray(batch.mask) == ~dead).all() and (np.asarray(batch.reward)[dead] == 0.0).all()


def test_a_decision_is_valued_by_the_same_players_next_one_and_rewards_between_add_up():
    generator, (steps, rows) = np.random.default_rng(0), (40, 6)
    turn = np.arange(steps + 1)[:, None] % 3 == np.arange(rows) % 3  # every third step: two are waited for
    acting = turn[:-1]
    terminated, truncated = generator.random((2, steps, rows)) < 0.08
    reward, value, next_value = generator.normal(size=(3, steps, rows))
    gamma, lambda_ = 0.9, 0.7
    truncated &= turn[1:]  # nobody knows a value of who waits
    next_value[~turn[1:]] = 1e4  # of who is not to move then: junk that nothing may come near
    found = np.asarray(
        decision_returns(reward, terminated, truncated, value, next_value, gamma, lambda_, acting, waits=2)
    )
    for row in range(rows):
        for begin in range(steps - 2):
            if not acting[begin, row]:
                continue
            expected, weight, here, at = value[begin, row], 1.0, value[begin, row], begin
            earned, discounted = 0.0, 1.0  # since the decision in hand; what is earned while waiting is discounted once
            while True:
                earned += discounted * reward[at, row]
                discounted = gamma
                over = terminated[at, row] or truncated[at, row] or at == steps - 1
                if over or acting[at + 1, row]:
                    ahead = value[at + 1, row] if not over else 0.0 if terminated[at, row] else next_value[at, row]
                    expected += weight * (earned + gamma * ahead - here)
                    weight, here, earned, discounted = weight * gamma * lambda_, ahead, 0.0, 1.0
                    over |= at + 1 >= steps - 2  # whether the one after that is seen depends on what is done
                if over:
                    break
                at += 1
            assert found[begin, row] == pytest.approx(expected, abs=1e-5)


def test_where_all_act_always_the_returns_are_the_plain_ones():
    generator = np.random.default_rng(1)
    terminated, truncated = generator.random((2, 20, 3)) < 0.1
    reward, value = generator.normal(size=(2, 20, 3))
    next_value = np.concatenate([value[1:], value[:1]])
    acting = np.ones((20, 3), bool)
    plain = lambda_returns(reward, terminated, truncated, next_value, 0.9, 0.8)
    np.testing.assert_allclose(
        decision_returns(reward, terminated, truncated, value, next_value, 0.9, 0.8, acting),
        plain,
        rtol=1e-5,
        atol=1e-6,
    )
    np.testing.assert_allclose(
        gae(reward, terminated, truncated, value, next_value, 0.9, 0.8, acting), plain - value, rtol=1e-4, atol=1e-6
    )


def test_advantages_are_normalised_over_what_counts_and_each_agents_alone_where_rewards_are_its_own():
    generator = np.random.default_rng(2)
    advantage = jnp.asarray(generator.normal(size=(30, 6)))
    agent = jnp.broadcast_to(jnp.arange(6) % 2, (30, 6))
    mask = jnp.asarray(generator.random((30, 6)) < 0.7, jnp.float32)
    batch = collected()[1].replace(advantage=advantage, agent=agent, mask=mask)
    louder = batch.replace(advantage=jnp.where(agent == 0, 100.0, 1.0) * jnp.where(mask > 0, advantage, 1e6))
    env = scripted.different()
    alone, loud = (
        on_policy.normalize_advantage(env._replace(reward_convention="individual"), one).advantage
        for one in (batch, louder)
    )
    np.testing.assert_allclose(np.where(mask, alone, 0.0), np.where(mask, loud, 0.0), atol=1e-5)
    for one in range(2):
        chosen = np.asarray(alone)[(np.asarray(agent) == one) & (np.asarray(mask) > 0)]
        assert chosen.mean() == pytest.approx(0.0, abs=1e-5) and chosen.std() == pytest.approx(1.0, abs=1e-5)
    together = on_policy.normalize_advantage(env, batch).advantage
    np.testing.assert_allclose(together, losses.normalize(advantage, mask))


def test_moments_are_of_rows_that_count_and_what_is_legal_is_not_moved():
    generator = np.random.default_rng(3)
    samples, mask = jnp.asarray(generator.normal(size=(3, 40, 5)) + 4.0), jnp.asarray(generator.random((3, 40)) < 0.4)
    moments = normalize._no_moments((5,))
    for part, some in zip(samples, mask):
        moments = normalize.update(moments, jnp.where(some[:, None], part, jnp.nan), some)
    chosen = np.asarray(samples)[np.asarray(mask)]
    np.testing.assert_allclose(moments.mean, chosen.mean(0), rtol=1e-5)
    np.testing.assert_allclose(moments.variance, chosen.var(0), rtol=1e-4)
    unmoved = normalize.update(moments, samples[0], jnp.zeros(40, bool))
    assert all((a == b).all() for a, b in zip(jax.tree.leaves(moments), jax.tree.leaves(unmoved)))
    seen = normalize.observe(normalize.Normalizer(moments, None, None), jnp.ones((2, 8)))
    assert (seen[:, 5:] == 1.0).all() and (seen[:, :5] != 1.0).all()


def test_the_scale_of_rewards_is_that_of_returns_of_the_living():
    vector, batch, _ = collected(death=1)
    config = a2c.Config(num_envs=ENVS, num_steps=STEPS, normalize_reward=True)

    @jax.jit
    def run(key):
        state = on_policy.initialise(vector, Looks(), a2c.adam(0.0, 0.0), key, config)
        return on_policy.collect(vector, Looks().apply, state.params, state, key, STEPS, 0.9, 0.8)[0].normalizer

    found, returns = run(jax.random.key(0)).discounted_return, []
    for row in range(vector.num_rows):
        running = 0.0
        for time in range(STEPS):
            running = float(batch.reward[time, row]) + 0.9 * running
            returns += [running] * bool(batch.live[time, row])
            running *= not (batch.terminated[time, row] or batch.truncated[time, row])
    assert found.count == len(returns) == batch.live.sum() < batch.live.size
    np.testing.assert_allclose((found.mean, found.variance), (np.mean(returns), np.var(returns)), rtol=1e-5)


KNOWS = scripted.knows_more()


@functools.cache
def knowing():
    network = networks.actor_critic(KNOWS, (8,), centralised=True)
    observation = KNOWS.reset(jax.random.key(0))[1]
    return network, network.init(jax.random.key(1), observation), observation


def test_the_actor_does_not_read_the_state_and_the_critic_does():
    network, params, observation = knowing()
    legal = jnp.asarray([1.0, 1.0, 0.0]) > 0
    probs = jax.jacobian(lambda x: jnp.where(legal, network.apply(params, x)[0].log_probs(), 0.0))(observation)
    value = jax.jacobian(lambda x: network.apply(params, x)[1])(observation)
    assert (probs[..., 2:4] == 0.0).all() and (probs[..., :2] != 0.0).any()
    assert (jnp.abs(jnp.diagonal(value[..., 2:4], axis1=0, axis2=1)) > 0.0).all()
    moved = network.apply(params, observation.at[:, 2:4].add(3.0))
    np.testing.assert_array_equal(moved[0].logits, network.apply(params, observation)[0].logits)


def test_what_is_not_legal_has_probability_0_and_entropy_kl_and_gradients_are_finite():
    network, params, observation = knowing()
    nothing = observation.at[:, 4:].set(0.0)  # of who is not to move

    def all_of(params, observation):
        policy, other = network.apply(params, observation)[0], network.apply(params, observation * 0.5 + 0.5)[0]
        other = other.replace(logits=networks.only_legal(other.logits, observation[:, 4:]))
        return jnp.sum(policy.entropy() + policy.kl(other) + policy.log_prob(jnp.zeros(2, jnp.int32)))

    for seen in (observation, nothing):
        total, gradient = jax.value_and_grad(all_of)(params, seen)
        assert np.isfinite(total) and all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    policy = network.apply(params, observation)[0]
    assert (jnp.exp(policy.log_probs())[:, 2] == 0.0).all()
    assert 2 not in policy.sample(jax.random.key(0)) and 2 not in policy.mode()
    head = jax.grad(all_of)(params, observation)["params"]["policy"]
    assert (head["kernel"][:, 2] == 0.0).all() and head["bias"][2] == 0.0 and (head["bias"][:2] != 0.0).all()


@pytest.mark.parametrize("module", [pytest.param(module, marks=pytest.mark.slow) for module in (dqn, pgql)])
def test_replayed_values_are_maximised_over_legal_actions_alone(module):
    config = module.Config(num_envs=2, batch_size=8, buffer_size=64, warmup_steps=16, hidden_sizes=(4,))
    algorithm = module.make(KNOWS, config)
    state = jax.jit(algorithm.init)(jax.random.key(0), module.HParams())
    state, metrics = jax.jit(algorithm.step)(state, module.HParams())
    assert 2 not in np.asarray(state.replay.data.action) and np.isfinite(metrics["loss"])
    observation = KNOWS.reset(jax.random.key(0))[1]
    assert (jnp.exp(algorithm.policy(state, observation).log_probs())[:, 2] == 0.0).all()


@pytest.mark.parametrize("module", [dqn, pgql], ids=lambda module: module.__name__)
def test_who_replays_single_steps_refuses_turns_in_one_line(module):
    with pytest.raises(ValueError, match="take turns in Kuhn"):
        module.make(envs.make("Kuhn"), module.Config())


def test_a_rollout_too_short_for_any_outcome_is_refused():
    with pytest.raises(ValueError, match="num_steps must be above 1 on Kuhn"):
        a2c.make(envs.make("Kuhn"), a2c.Config(num_steps=1))


def test_the_evaluation_return_is_the_mean_over_agents_of_their_own():
    env = scripted.constants(death=1, scale=100.0)
    found = evaluate(env, lambda key, observation: jnp.int32(0), jax.random.key(0), 3)
    first = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.split(jax.random.key(0))[0], jnp.arange(3))
    number = np.asarray(jax.vmap(env.reset)(first)[1][:, 0, 0])
    own = [2 * number] + [LENGTH * (number + 10.0 * agent) for agent in (1, 2)]  # agent 0 is paid twice
    np.testing.assert_allclose(found, np.mean(own, axis=0), rtol=1e-5)


def record_ratio(params, apply, batch, hparams):
    policy, _ = apply(params, batch.observation)
    ratio = jnp.exp(policy.log_prob(batch.action) - batch.log_prob)
    own = jnp.argmax(batch.observation[..., :2], axis=-1)
    return ppo.loss(params, apply, batch, hparams)[0], {
        "gap": jnp.max(jnp.abs(ratio - 1.0) * batch.mask),
        "wrong_id": jnp.sum((own != batch.agent) * batch.mask),
        "counted": jnp.mean(batch.mask),
    }


def test_the_first_minibatch_has_ratio_1_at_episode_borders_too_and_ids_travel_with_the_rows():
    env = envs.with_ids(envs.make("MatchingPennies"))
    config = ppo.Config(num_envs=3, num_steps=8, num_epochs=1, num_minibatches=1, hidden_sizes=(4,))
    algorithm = ppo.make(env, config, loss=record_ratio)
    state = jax.jit(algorithm.init)(jax.random.key(0), ppo.HParams())
    _, metrics = jax.jit(algorithm.step)(state, ppo.HParams())
    assert metrics["gap"] < 1e-6 and metrics["wrong_id"] == 0.0 and metrics["counted"] == 1.0


@pytest.mark.slow
@pytest.mark.parametrize(("ids", "least", "most"), [(False, 0.0, 0.5), (True, 0.95, 1.0)])
def test_who_shares_a_policy_acts_unlike_the_other_only_by_knowing_who_it_is(ids, least, most):
    env = envs.with_ids(scripted.different()) if ids else scripted.different()
    algorithm = a2c.make(env, a2c.Config(num_envs=16, num_steps=8, hidden_sizes=()))
    hparams = a2c.HParams(learning_rate=0.1, anneal=0.0)
    state = jax.jit(algorithm.init)(jax.random.key(0), hparams)
    state = jax.jit(lambda state: jax.lax.fori_loop(0, 100, lambda _, s: algorithm.step(s, hparams)[0], state))(state)
    first, second = jnp.exp(algorithm.policy(state, env.reset(jax.random.key(0))[1]).log_probs())
    assert least <= 1.0 - first @ second <= most + 1e-6
