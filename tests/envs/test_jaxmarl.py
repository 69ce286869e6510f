"""JaxMARL's environments: whose rows, how long, how they end, and what fills up unlike agents."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs import jaxmarl_env
from envs.games.spread import Spread
from envs.jaxmarl_env import NAMES, PREFIX, _natural, make

jaxmarl = pytest.importorskip("jaxmarl")


def played(env, num_steps=None, choose=None):
    """Returns (first state and observation, [T] of (state, step)) of one episode of legal actions at random."""

    def drawn(key, observation):
        logits = jnp.zeros((env.agents, env.action.n))
        if env.layout is not None and env.layout.legal:
            logits = jnp.where(observation[:, -env.layout.legal :] > 0, logits, -jnp.inf)
        return jax.random.categorical(key, logits)

    def one(carry, key):
        state, observation = carry
        state, reached = env.step(key, state, (choose or drawn)(key, observation))
        return (state, reached.observation), (state, reached)

    def play(key):
        first = env.reset(key)
        return first, jax.lax.scan(one, first, jax.random.split(key, num_steps or env.max_steps))[1]

    return jax.jit(play)(jax.random.key(3))


@pytest.fixture(scope="module")
def spread():
    """Returns (environment, one episode of it and a step beyond)."""
    env = envs.make("jaxmarl/MPE_simple_spread_v3")
    return env, played(env, 26)


def test_spread_lasts_25_steps_and_its_end_is_a_truncation(spread):
    env, (_, (_, steps)) = spread
    assert (env.agents, env.max_steps, env.reward_convention) == (3, 25, "individual")
    np.testing.assert_array_equal(np.flatnonzero(steps.truncated), [24, 25])
    assert not steps.terminated.any()


def test_spread_is_ours_step_for_step_and_the_last_observation_is_of_the_state_reached(spread):
    env, ((state, _), (states, steps)) = spread
    ours = envs.make("Spread")
    before = jax.tree.map(lambda first, then: np.concatenate([np.asarray(first)[None], then[:-1]]), state, states)
    key, step = jax.random.split(jax.random.key(3), 26), jax.jit(ours.step)
    for time in (0, 7, 24):
        place = before.game.p_pos[time], before.game.p_vel[time, :3]
        action = jax.random.categorical(key[time], jnp.zeros((3, 5)))
        mine = Spread(place[0][:3], place[1], place[0][3:], jnp.int32(time))
        _, reached = step(key[time], mine, action)
        np.testing.assert_allclose(reached.observation[:, :18], steps.observation[time][:, :18], atol=1e-5)
        np.testing.assert_allclose(reached.reward, steps.reward[time], atol=1e-5)


def test_the_state_is_what_all_agents_see_side_by_side(spread):
    env, (_, (_, steps)) = spread
    assert env.layout == (18, 54, 0) and env.observation_shape == (72,)
    for agent in range(3):
        np.testing.assert_array_equal(steps.observation[:, agent, 18:], steps.observation[:, :, :18].reshape(26, 54))


def test_the_riddles_limit_is_a_truncation_and_whoever_tells_ends_it():
    env = envs.make("jaxmarl/switch_riddle")
    (_, silent), (reached, tells) = (played(env, choose=lambda key, seen, a=a: jnp.full(3, a))[1] for a in (0, 2))
    assert env.max_steps == 6 and env.reward_convention == "team"
    np.testing.assert_array_equal(np.flatnonzero(silent.truncated), [5])
    assert not silent.terminated.any() and tells.terminated[0].all() and not tells.truncated[0]
    np.testing.assert_array_equal(tells.reward[0], [-1.0, -1.0, -1.0])
    assert int(reached.game.step[0]) == 1 and bool(reached.game.done[0])  # the state reached, not that of a new riddle


def test_agents_who_see_and_do_less_are_filled_up_with_zeros_and_actions_that_are_not_legal():
    env = envs.make("jaxmarl/MPE_simple_speaker_listener_v4", agent_ids=True)
    (_, observation), _ = played(env, 1)
    assert env.agents == 2 and env.action.n == 5 and env.layout == (2 + 11, 14, 5)
    listener, speaker = observation  # in the order of their names: alice is not first because she speaks
    np.testing.assert_array_equal(observation[:, :2], np.eye(2))
    np.testing.assert_array_equal([listener[-5:], speaker[-5:]], [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    assert not speaker[2 + 3 : 13].any() and listener[2:13].any()


def test_rows_are_agents_in_the_order_of_their_names_as_people_count():
    assert sorted(["agent_10", "agent_2", "adversary_0"], key=_natural) == ["adversary_0", "agent_2", "agent_10"]


def test_max_steps_is_kept_to_the_step():
    env = make("MPE_simple_spread_v3", max_steps=3)
    steps = played(env, 4)[1][1]
    np.testing.assert_array_equal(steps.truncated, [False, False, True, True])


@pytest.mark.parametrize(
    "name, fields, words",
    [("Nope", {}, "unknown environment jaxmarl/Nope; choose from: MPE_simple_v3"),
     ("MPE_simple_spread_v3", {"num_agent": 3}, "has no field num_agent; its fields are"),
     ("MPE_simple_spread_v3", {"max_steps": 0}, "max_steps must be a whole number"),
     ("SMAX", {"scenario": "9m"}, "unknown scenario '9m'; choose from: 3m"),
     ("SMAX", {"scenario": 3}, "jaxmarl/SMAX: "),
     ("MPE_simple_spread_v3", {"action_type": "foo"}, "Action type: foo is not supported"),
     ("MPE_simple_spread_v3", {"num_agents": 0}, "has no agents with these fields")],
)  # fmt: skip
def test_bad_input_is_one_line(name, fields, words):
    with pytest.raises(ValueError, match=words) as error:
        envs.make(PREFIX + name, **fields)
    assert "\n" not in str(error.value)


def test_where_jaxmarl_is_not_installed_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "jaxmarl", None)
    with pytest.raises(ValueError, match=r"needs JaxMARL: pip install 'evenhand\[jaxmarl\]'"):
        jaxmarl_env.make("SMAX")


@pytest.mark.slow
def test_in_smax_the_dead_have_ended_and_may_do_nothing_but_stop():
    env = envs.make("jaxmarl/HeuristicEnemySMAX", scenario="3m")
    (_, first), (states, steps) = played(env)
    alive = np.asarray(states.game.state.unit_alive)[:, : env.agents]
    over = np.flatnonzero(np.asarray(steps.terminated).all(1) | np.asarray(steps.truncated))[0] + 1
    assert env.reward_convention == "team" and env.max_steps == 100 and 1 < over <= 100
    np.testing.assert_array_equal(steps.terminated[: over - 1], ~alive[: over - 1])
    legal = np.asarray(steps.observation)[..., -env.layout.legal :]
    assert (legal[: over - 1].sum(-1) == 1).any() or alive[: over - 1].all()
    np.testing.assert_array_equal((legal[: over - 1].sum(-1) == 1), ~alive[: over - 1])
    assert env.layout.state == steps.observation.shape[-1] - env.layout.own - env.layout.legal


@pytest.mark.slow
def test_overcooked_shows_images_for_400_steps_and_is_cut_there():
    env = envs.make("jaxmarl/overcooked")
    steps = played(env, 400)[1][1]
    assert env.layout is None and steps.observation.shape == (400, 2, 4, 5, 26)
    np.testing.assert_array_equal(np.flatnonzero(steps.truncated), [399])
    assert not steps.terminated.any()
    assert (
        not steps.observation[..., 25].any(axis=(1, 2, 3))[:359].any()
    )  # that time is nearly up is told in the last 40


@pytest.mark.slow
def test_in_hanabi_the_one_to_move_is_the_one_who_may_do_more_than_wait():
    env = envs.make("jaxmarl/hanabi")
    (state, _), (states, steps) = played(env, 12)
    acting = np.asarray(jax.vmap(env.acting)(states))
    over = np.flatnonzero(np.asarray(steps.terminated).all(1))
    going = over[0] if len(over) else 12
    legal = np.asarray(steps.observation)[..., -env.layout.legal :].sum(-1)
    assert env.waits == 1 and (acting.sum(1) == 1)[:going].all()
    np.testing.assert_array_equal((legal > 1)[:going], acting[:going])
    assert (acting[1:going] != acting[: max(going - 1, 0)]).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("MPE") and "facmac_" not in name])
def test_every_scenario_of_mpe_is_made_and_stepped(name):
    env = make(name)

    def choose(key, _):
        low, high = (jnp.asarray(getattr(env.action, bound)) for bound in ("low", "high"))
        return jax.random.uniform(key, (env.agents, *env.action.shape), minval=low, maxval=high)

    steps = played(env, 25, None if isinstance(env.action, envs.Discrete) else choose)[1][1]
    assert steps.observation.shape[1:] == (env.agents, *env.observation_shape)
    np.testing.assert_array_equal(np.flatnonzero(steps.truncated), [24])
    assert not steps.terminated.any() and np.isfinite(steps.observation).all()
