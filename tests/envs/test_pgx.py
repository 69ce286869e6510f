"""Pgx's games as environments: seats for ids, turns, what is shown, and what is paid."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs import pgx_env, suites


def test_without_pgx_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(suites.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pgx/tic_tac_toe needs the package pgx.*: pip install 'evenhand\[pgx\]'"):
        envs.make("pgx/tic_tac_toe")


def test_an_unknown_game_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="unknown game pgx/chess; choose from: pgx/tic_tac_toe"):
        pgx_env.make("chess")


@pytest.fixture(scope="module")
def poker():
    """Kuhn poker, and 600 games of it by a policy that takes any legal action: (acting, observation, action, reward, ended)."""
    pytest.importorskip("pgx", reason="pgx is not installed: pip install 'evenhand[pgx]'")
    env = envs.make("pgx/kuhn_poker")

    def one_step(carry, key):
        state, observation, over = carry
        keys, moves = jax.random.split(key), env.acting(state)
        legal = observation[:, -2:]
        action = jnp.argmax(
            jax.random.gumbel(keys[0], legal.shape) + jnp.log(legal + 1e-9 * (legal.sum(1) == 0)[:, None]), 1
        )
        state, reached = env.step(keys[1], state, action)
        row = moves & ~over, observation, action, jnp.where(over, 0.0, reached.reward), reached.terminated
        return (state, reached.observation, over | reached.terminated), row

    @jax.jit
    @jax.vmap
    def play(key):
        key_reset, key_steps = jax.random.split(key)
        first = (*env.reset(key_reset), jnp.bool_(False))
        return jax.lax.scan(one_step, first, jax.random.split(key_steps, env.max_steps))[1]

    return env, jax.tree.map(np.asarray, play(jax.random.split(jax.random.key(0), 600)))


def test_seat_0_moves_first_and_one_at_a_time_and_the_game_ends_in_time(poker):
    _, (acting, _, _, reward, ended) = poker
    assert acting[:, 0].tolist() == [[True, False]] * 600 and (acting[:, 1] == [False, True]).all()
    assert (acting.sum(2) <= 1).all() and ended[:, -1].all()
    assert np.abs(reward.sum(2)).max() == 0.0 and set(np.abs(reward.sum(1)).reshape(-1)) == {1.0, 2.0}


def test_as_many_observations_as_information_sets_and_who_waits_sees_nothing(poker):
    _, (acting, observation, _, _, _) = poker
    assert len(np.unique(observation[acting], axis=0)) == 12
    idle = ~acting.any(2, keepdims=True) | ~acting
    assert (observation[idle & ~np.repeat(poker[1][4][..., None], 2, 2)] == 0.0).all()
    hidden = observation[..., 2 + 3 * 2 :]  # as pgx shows it: one observation for several information sets
    assert len(np.unique(hidden[acting], axis=0)) < 12


def test_who_bets_and_sees_the_other_fold_earns_one_at_the_seat_and_not_at_an_id(poker):
    _, (_, _, action, reward, _) = poker
    folded = (action[:, 0, 0] == 0) & (action[:, 1, 1] == 1)  # pgx: 0 bets, 1 passes
    assert folded.sum() > 50 and (reward.sum(1)[folded] == [1.0, -1.0]).all()


def test_the_first_seat_earns_what_uniform_play_earns_the_first_mover(poker):
    reward = poker[1][3].sum(1)[:, 0]
    assert reward.mean() == pytest.approx(0.125, abs=4 * reward.std() / np.sqrt(len(reward)))


@pytest.mark.parametrize("name", ["tic_tac_toe", "connect_four"])
def test_a_board_is_played_in_turn_and_what_is_taken_is_not_legal(name):
    pytest.importorskip("pgx", reason="pgx is not installed: pip install 'evenhand[pgx]'")
    env = envs.make(f"pgx/{name}")
    state, observation = env.reset(jax.random.key(0))
    legal = observation[:, -env.action.n :]
    assert (
        legal.tolist() == [[1.0] * env.action.n, [0.0] * env.action.n]
        and env.observation_shape == observation.shape[1:]
    )
    state, reached = jax.jit(env.step)(jax.random.key(1), state, jnp.array([4, 0]))
    assert env.acting(state).tolist() == [False, True] and (reached.reward == 0.0).all()
    taken = np.asarray(reached.observation)[1, -env.action.n :]
    assert (taken == 0.0).sum() == (name == "tic_tac_toe") and taken[4] == (name == "connect_four")
