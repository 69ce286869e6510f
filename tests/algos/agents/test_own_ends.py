"""Where an agent's part ends and others' go on: what is bootstrapped, what is discounted, what is replayed, what is refused."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scripted

import envs
from algos import a2c, dqn, pgql
from algos.agents import exact_play, nfsp, vdn
from algos.core import config, networks, on_policy, replay
from algos.core.distributions import Categorical
from algos.core.returns import decision_returns, gae, reward_to_go
from algos.core.types import ReplayBatch
from envs import wrappers
from envs.vector import own_ends

NOT = np.zeros((3, 1), bool)


def test_no_decision_that_counts_comes_near_the_value_of_who_is_not_to_move():
    acting, nothing = np.array([[True], [False], [True]]), np.zeros((3, 1))
    value = np.array([[0.0], [0.0], [2.0]])
    junk = np.array([[0.0], [0.0], [1000.0]])  # after the last row others move
    counted = gae(nothing, NOT, NOT, value, junk, 1.0, 0.95, acting, waits=1)
    assert counted[0, 0] == 2.0
    assert decision_returns(nothing, NOT, NOT, value, junk, 1.0, 0.95, acting)[0, 0] > 900.0  # without knowing waits


class Waits:
    """A network whose value is 0 where one is to move and a million where not."""

    def init(self, key, observation):
        return {"one": jnp.ones(())}

    def apply(self, params, observation):
        idle = jnp.sum(jnp.abs(observation), axis=-1) == 0.0
        return Categorical(jnp.zeros((*observation.shape[:-1], 2))), params["one"] * jnp.where(idle, 1e6, 0.0)


def in_turn():
    """Returns the environment in which two take turns, nobody earns anything and who is not to move sees zeros."""
    acting = lambda time: jnp.arange(2) == time % 2  # noqa: E731
    seen = lambda time: acting(time)[:, None].astype(jnp.float32)  # noqa: E731

    def step(key, time, action):
        return time + 1, envs.TimeStep(seen(time + 1), jnp.zeros(2), jnp.bool_(False), jnp.bool_(False))

    return envs.Env(
        "InTurn", lambda key: (jnp.int32(0), seen(0)), step, (1,), envs.Discrete(2), 100,
        agents=2, acting=acting, waits=1, reward_convention="individual",
    )  # fmt: skip


def test_a_rollout_of_turns_gives_advantages_that_no_waiting_agents_value_is_in():
    vector, network, key = envs.vectorize(in_turn(), 2), Waits(), jax.random.key(0)
    state = on_policy.initialise(vector, network, a2c.adam(0.0, 0.0), key, a2c.Config())
    collect = jax.jit(lambda state: on_policy.collect(vector, network.apply, state.params, state, key, 4, 1.0, 0.95)[1])
    batch = collect(state)
    counted = np.asarray(batch.advantage)[np.asarray(batch.mask) > 0.0]
    assert counted.tolist() == [0.0] * 2 * 3


def test_what_a_team_earns_after_an_agents_end_is_discounted_at_every_step():
    live = np.array([[True], [False], [False]])
    reward, nothing = np.array([[1.0], [2.0], [4.0]]), np.zeros((3, 1))
    over = np.array([[False], [False], [True]])
    found = decision_returns(reward, over, NOT, nothing, nothing, 0.5, 1.0, live, live)
    assert found[0, 0] == 1.0 + 0.5 * 2.0 + 0.25 * 4.0
    assert reward_to_go(reward, over, NOT, 0.5, live, live)[0, 0] == found[0, 0]


def team_rollout(late):
    """Returns what `team_ends` says of two steps of three agents, of whom the first ends in the first. late: time is up then."""
    env = scripted.constants(convention="team")
    gone, rows, live = jnp.zeros(3, bool), [], []
    for ends, stop in (([True, False, False], False), ([False, False, late], late)):
        step = envs.TimeStep(jnp.zeros((3, 1)), jnp.ones(3), jnp.array(ends), jnp.zeros((), bool))
        live.append(~gone)
        step, gone = own_ends(env, step, gone, stop)
        rows.append(step)
    steps = jax.tree.map(lambda *x: jnp.stack(x), *rows)
    transitions = scripted_transitions(steps.terminated, steps.truncated, jnp.stack(live))
    after = SimpleNamespace(gone=jnp.zeros((1, 3), bool) if late else gone[None])
    return on_policy.team_ends(env, transitions, after, jnp.array([[1e3, 2.0, 4.0], [1e3, 6.0, 8.0]]))


def scripted_transitions(terminated, truncated, live):
    class Rows(SimpleNamespace):
        def replace(self, **fields):
            return Rows(**{**vars(self), **fields})

    return Rows(terminated=terminated, truncated=truncated, live=live)


def test_a_gone_agent_of_a_team_is_valued_as_its_living_are_where_the_rollout_ends():
    transitions, value = team_rollout(late=False)
    assert not transitions.terminated.any() and not transitions.truncated.any()
    assert value.tolist() == [[3.0, 2.0, 4.0], [7.0, 6.0, 8.0]]


def test_time_is_up_for_the_gone_of_a_team_when_it_is_for_the_team():
    transitions, value = team_rollout(late=True)  # the third agent ends just then
    assert not transitions.terminated.any() and transitions.truncated[1].all() and not transitions.truncated[0].any()
    assert value[1].tolist() == [6.0, 6.0, 6.0]
    env = scripted.constants(convention="team")
    gone, step = (
        jnp.array([True, False, False]),
        envs.TimeStep(None, jnp.ones(3), jnp.zeros(3, bool), jnp.zeros((), bool)),
    )
    cut, _ = own_ends(env, step, gone, True)
    assert cut.truncated.all() and not cut.terminated.any()
    cut, _ = own_ends(env, step.replace(terminated=jnp.ones(3, bool)), gone, False)
    assert cut.terminated.all() and not cut.truncated.any()


def test_what_is_replayed_counts_while_its_agent_is_there_or_its_team_pays():
    live = jnp.array([[True, False]])
    steps = SimpleNamespace(live=live)
    alone, team = (scripted.constants(convention=convention) for convention in ("individual", "team"))
    assert replay.live(alone, steps) is live and replay.live(team, steps).all()
    assert replay.live(envs.make("CartPole-v1"), SimpleNamespace(live=None)) is None
    stored = dqn.Experience(*[jnp.zeros(2)] * 6, live=live[0])
    assert replay.batch(stored, jnp.ones(2), target_params=None).mask.tolist() == [1.0, 0.0]
    assert replay.batch(stored.replace(live=None), jnp.ones(2), target_params=None).mask.tolist() == [1.0, 1.0]


HUGE = 1e3  # for what is not legal


def promoted(params, name):
    """Returns the parameters with a head that prefers the third action, which is not legal, by far."""
    params = jax.tree.map(lambda x: x, params)
    head = params["params"][name]
    head["bias"] = head["bias"].at[2].set(HUGE)
    return params


KNOWS = scripted.knows_more()


def replayed(target):
    seen = KNOWS.reset(jax.random.key(0))[1]
    zero = jnp.zeros(2)
    batch = ReplayBatch(seen, jnp.int32([0, 1]), zero + 0.5, zero + 0.9, seen, zero > 1, zero + 1.0, target)
    return seen, batch


@pytest.mark.parametrize("double", [False, True])
def test_a_target_is_of_the_best_legal_action(double):
    network = networks.q_network(KNOWS, (4,), False)
    seen = KNOWS.reset(jax.random.key(0))[1]
    params = promoted(network.init(jax.random.key(1), seen), "head")
    _, batch = replayed(params)
    q = np.asarray(network.apply(params, seen))[:, :2]
    error = np.abs(0.5 + 0.9 * q.max(1) - q[[0, 1], [0, 1]]).mean()
    found = dqn.td_loss(double, False)(params, network.apply, batch, None)[1]["td_error"]
    assert float(found) == pytest.approx(error, rel=1e-5) and error < HUGE / 10


def test_pgqls_target_is_of_the_best_legal_action_too():
    network, alpha = networks.actor_critic(KNOWS, (4,)), 0.1
    seen = KNOWS.reset(jax.random.key(0))[1]
    params = promoted(network.init(jax.random.key(1), seen), "policy")
    _, batch = replayed(params)
    policy, value = network.apply(params, seen)
    log = np.asarray(policy.log_probs())[:, :2]
    q = alpha * (log - (np.exp(log) * log).sum(1, keepdims=True)) + np.asarray(value)[:, None]
    error = np.abs(0.5 + 0.9 * q.max(1) - q[[0, 1], [0, 1]]).mean()
    hparams = pgql.HParams(entropy_coef=alpha)
    found = pgql.q_learning(params, network.apply, batch, hparams)[1]["bellman_residual"]
    assert float(found) == pytest.approx(error, rel=1e-4)
    assert np.exp(log).sum(1) == pytest.approx(1.0, abs=1e-5)


def test_a_teams_best_joint_action_is_legal():
    network = networks.q_network(KNOWS, (4,), False)
    seen = KNOWS.reset(jax.random.key(0))[1]
    mixed = vdn.Sum(network)
    params = promoted(network.init(jax.random.key(1), seen), "head")
    q = np.asarray(network.apply(params, seen))[:, :2]
    np.testing.assert_array_equal(np.ravel(mixed.apply({"agent": params}, seen).best()), q.argmax(1))


def test_who_plays_by_information_set_refuses_to_see_several_alike():
    for method in exact_play.METHODS:
        with pytest.raises(ValueError, match=f"{method} plays by information set, and RockPaperScissors shows several"):
            exact_play.make(envs.make("RockPaperScissors", ids=False), exact_play.Config(method))


def test_wrappers_know_no_agents_and_a_game_that_is_changed_is_known_no_more():
    kuhn = envs.make("Kuhn")
    for wrapped in (
        lambda: wrappers.frame_stack(kuhn, 2), lambda: wrappers.sticky_actions(kuhn, 0.1),
        lambda: wrappers.action_repeat(kuhn, 2), lambda: wrappers.transform_observation(kuhn, lambda seen: seen),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="is for one agent, and Kuhn has 2"):
            wrapped()
    assert wrappers.transform_reward(kuhn, lambda reward: 2.0 * reward).game is None
    assert wrappers.time_limit(kuhn, 2).game is None and wrappers.time_limit(kuhn, kuhn.max_steps).game is kuhn.game


def test_an_agents_own_advantages_are_not_normalised_over_one_sample():
    own, team = scripted.constants(), scripted.constants(convention="team")
    chosen = a2c.Config(num_envs=1, num_steps=1, normalize_advantage=True)
    with pytest.raises(ValueError, match="one sample 0"):
        config.require_two(chosen, own, 3)
    config.require_two(chosen, own, 6)
    config.require_two(chosen, team, 3)
    with pytest.raises(ValueError, match="one sample 0"):
        a2c.make(own, chosen)


def test_nfsp_refuses_several_who_move_at_once_and_never_to_play_the_best_response():
    several = envs.make("MatchingPennies", memory=True)
    legal = envs.Layout(several.layout.own - 2, 0, 2)
    several = several._replace(acting=lambda state: jnp.ones(2, bool), layout=legal)
    with pytest.raises(ValueError, match="in MatchingPennies several do"):
        nfsp.make(several)
    with pytest.raises(ValueError, match="anticipatory must be above 0 and 1 or less, not 0.0"):
        config.require_in_range(nfsp.HParams(anticipatory=0.0))
    config.require_in_range(nfsp.HParams())
