"""Figures of Sutton and Barto (2018), against the curves of the book as they were digitised."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import envs
from algos.core.loop import advance, no_metrics
from algos.tabular import dyna_q, dyna_q_plus, expected_sarsa, n_step_td, q_learning, sarsa, td_lambda

pytestmark = pytest.mark.slow
WALK = np.arange(-18, 19, 2) / 20  # the values of the 19 states, -0.9 to 0.9


def rms_over_first_episodes(algorithm, hparams, key, num_episodes=10):
    """Returns the root mean square error of the 19 states, averaged over the ends of the first episodes."""
    state = algorithm.init(key, hparams)

    def unfinished(carry):
        return carry[1] < num_episodes

    def one_step(carry):
        state, ended, total = carry
        state, metrics = algorithm.step(state, hparams)
        now = metrics["episode_count"]
        error = jnp.sqrt(jnp.mean((state.params[1:-1] - WALK) ** 2))
        return state, ended + now, total + now * error

    return lax.while_loop(unfinished, one_step, (state, jnp.float32(0.0), jnp.float32(0.0)))[2] / num_episodes


def mean_error(module, rate, config, **fields):
    """Returns the mean of that error over 300 runs."""
    algorithm = module.make(envs.make("RandomWalk-19"), module.Config(num_steps=1, **config))
    hparams = module.HParams(learning_rate=rate, **fields)
    keys = jax.random.split(jax.random.key(0), 300)
    return float(jnp.mean(jax.jit(jax.vmap(lambda key: rms_over_first_episodes(algorithm, hparams, key)))(keys)))


@pytest.mark.parametrize(
    ("n", "published", "rate"),
    [(1, 0.3473, 0.82), (2, 0.2814, 0.58), (4, 0.2676, 0.37), (8, 0.2807, 0.22), (16, 0.3128, 0.135)],
)
def test_figure_7_2_the_least_error_of_n_step_td_on_19_states(n, published, rate):
    assert mean_error(n_step_td, rate, {"n": n}) == pytest.approx(published, abs=0.01)


@pytest.mark.parametrize(
    ("lambda_", "published", "rate"),
    [(0.0, 0.348, 0.82), (0.4, 0.276, 0.6), (0.8, 0.261, 0.32), (0.9, 0.285, 0.2), (0.95, 0.334, 0.12)],
)
def test_figure_12_6_the_least_error_of_td_lambda_on_19_states(lambda_, published, rate):
    assert mean_error(td_lambda, rate, {}, lambda_=lambda_) == pytest.approx(published, abs=0.015)


def returns_of_episodes(module, env, hparams, runs, num_episodes, **config):
    """Returns the mean return of an episode over the first `num_episodes` of every run, and over the second half of them."""
    algorithm = module.make(env, module.Config(num_steps=1, **config))

    def one_run(key):
        def one_step(carry):
            state, ended, early, late = carry
            state, metrics = algorithm.step(state, hparams)
            earned, half = metrics["episode_return_sum"], ended >= num_episodes / 2
            return state, ended + metrics["episode_count"], early + earned, late + earned * half

        begin = (algorithm.init(key, hparams), jnp.float32(0), jnp.float32(0), jnp.float32(0))
        carry = lax.while_loop(lambda carry: carry[1] < num_episodes, one_step, begin)
        return carry[2] / num_episodes, carry[3] / (num_episodes / 2)

    keys = jax.random.split(jax.random.key(1), runs)
    return [float(jnp.mean(x)) for x in jax.jit(jax.vmap(one_run))(keys)]


@pytest.mark.parametrize(
    ("module", "rate", "published"),
    [(expected_sarsa, 0.1, -133.7), (expected_sarsa, 0.5, -56.3), (expected_sarsa, 0.9, -45.7), (sarsa, 0.1, -139.2),
     (sarsa, 0.5, -71.3), (sarsa, 0.9, -68.8), (q_learning, 0.1, -149.7), (q_learning, 0.5, -80.6),
     (q_learning, 0.9, -73.0)],
)  # fmt: skip
def test_figure_6_3_the_first_100_episodes_on_the_cliff(module, rate, published):
    hparams = module.HParams(learning_rate=rate, gamma=1.0)
    early, _ = returns_of_episodes(module, envs.make("CliffWalking", max_steps_in_episode=100_000), hparams, 300, 100)
    assert early == pytest.approx(published, rel=0.05)


def test_example_6_6_on_the_cliff_sarsa_earns_more_than_q_learning_which_learns_the_shorter_way():
    cliff = envs.make("CliffWalking", max_steps_in_episode=100_000)
    found = [
        returns_of_episodes(module, cliff, module.HParams(learning_rate=0.5, gamma=1.0), 100, 500)[1]
        for module in (sarsa, q_learning)
    ]
    assert found[0] == pytest.approx(-25.0, abs=3.0) and found[1] == pytest.approx(-47.0, abs=4.0)


def rewards_as_the_maze_changes(module, **fields):
    """Returns the mean reward of 20 runs, 1000 steps in the maze and 2000 after its way is blocked."""
    hparams = module.HParams(learning_rate=1.0, gamma=0.95, **fields)
    config = module.Config(num_steps=100, num_planning=10)
    before, after = (module.make(envs.make("BlockingMaze", after=changed), config) for changed in (False, True))

    def one_run(key):
        state = before.init(key, hparams)
        carry = advance(before, state, hparams, no_metrics(before, state, hparams), 10)
        return advance(after, carry[0], hparams, carry[1], 20)[1].total["episode_return_sum"]

    return float(jnp.mean(jax.jit(jax.vmap(one_run))(jax.random.split(jax.random.key(0), 20))))


def test_figure_8_4_what_pays_for_long_untried_actions_finds_the_new_way_sooner():
    assert rewards_as_the_maze_changes(dyna_q_plus, kappa=1e-3) > 1.5 * rewards_as_the_maze_changes(dyna_q)
