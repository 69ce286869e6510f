"""Policy gradients in continuous time: conserved quantities, limits from uniform play, and how often the best agreement is found."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from algos.agents import gradient_flow
from envs.games import matrix

pytestmark = pytest.mark.usefixtures("float64")


def flown(game, start, steps, natural=True):
    """Returns (policies in the end, averages over time) from logits [K, N, A], compiled once for all K."""

    @jax.jit
    @jax.vmap
    def one(logits):
        solver = gradient_flow.make(game, gradient_flow.Config(natural), logits)
        state = jax.lax.fori_loop(0, steps, lambda _, state: solver.step(state), solver.init())
        return solver.current(state), solver.average(state)

    return map(np.asarray, one(jnp.asarray(start)))


@pytest.mark.slow
def test_the_flow_turns_round_the_equilibrium_of_rock_paper_scissors_and_its_average_goes_there():
    start = np.array([[[1.0, 0.0, 0.0], [0.0, 0.5, 0.0]]])
    policy, average = flown(matrix.rock_paper_scissors(), start, 20_000)
    before = np.log(np.exp(start) / np.exp(start).sum(-1, keepdims=True))
    assert np.log(policy).sum() == pytest.approx(before.sum(), abs=1e-6)  # the sum of KL from uniform, up to a constant
    assert abs(policy - 1 / 3).max() > 0.05
    assert abs(average - 1 / 3).max() < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("natural", [True, False])
def test_the_flow_is_that_of_the_equations(natural):
    game = matrix.from_arrays(np.random.default_rng(4).normal(size=(2, 2, 3)))

    def slope(_, theta):
        first, second = (np.exp(part) / np.exp(part).sum() for part in (theta[:2], theta[2:]))
        worth = game.payoff[0] @ second, first @ game.payoff[1]
        gain = [u - pi @ u for pi, u in zip((first, second), worth)]
        return np.concatenate([g if natural else pi * g for pi, g in zip((first, second), gain)])

    exact = solve_ivp(slope, (0.0, 5.0), np.zeros(5), rtol=1e-11, atol=1e-12).y[:, -1]
    policy, _ = flown(game, np.zeros((1, 2, 3)), 100, natural)
    np.testing.assert_allclose(policy[0, 0], [*(np.exp(exact[:2]) / np.exp(exact[:2]).sum()), 0.0], atol=1e-6)
    np.testing.assert_allclose(policy[0, 1], np.exp(exact[2:]) / np.exp(exact[2:]).sum(), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("game", "limit"),
    [(matrix.climbing(), 7.0), (matrix.penalty(-25.0), 2.0), (matrix.penalty(-100.0), 2.0), (matrix.penalty(0.0), 10.0)],
    ids=["climbing", "penalty-25", "penalty-100", "penalty0"],
)  # fmt: skip
def test_from_uniform_play_the_flow_goes_to_the_agreements_that_are_published_as_results(game, limit):
    start = np.zeros((1, 2, 3)) + 1e-6 * np.array(
        [1.0, 0.0, 0.0]
    )  # at penalty 0 uniform play is a saddle between two agreements
    policy, _ = flown(game, start, 4000)
    assert policy[0, 0] @ game.payoff[0] @ policy[0, 1] == pytest.approx(limit, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("game", "natural", "rate"),
    [(matrix.climbing(), True, 0.33), (matrix.penalty(0.0), True, 0.98), (matrix.penalty(-25.0), True, 0.88),
     (matrix.penalty(-100.0), True, 0.70), (matrix.climbing(), False, 0.27)],
)  # fmt: skip
def test_from_random_starts_the_best_agreement_is_found_as_often_as_measured(game, natural, rate):
    start = np.log(np.random.default_rng(0).dirichlet(np.ones(3), size=(1000, 2)))
    policy, _ = flown(game, start, 4000 if natural else 16_000, natural)
    earned = np.einsum("ka,ab,kb->k", policy[:, 0], game.payoff[0], policy[:, 1])
    assert np.mean(earned > game.payoff[0].max() - 0.5) == pytest.approx(rate, abs=0.045)  # three standard errors
