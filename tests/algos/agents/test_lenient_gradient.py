"""The lenient gradient: what an action is worth against draws, and how often the best agreement is found."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algos.agents import gradient_flow, lenient_gradient
from algos.agents.regret_matching import action_value
from envs.games import matrix

pytestmark = pytest.mark.usefixtures("float64")


def test_an_action_is_worth_its_best_of_k_draws_of_the_others_actions():
    generator = np.random.default_rng(0)
    table = np.round(generator.normal(size=(2, 3, 2)), 1)
    game, policy = matrix.from_arrays([table] * 3), generator.dirichlet(np.ones(3), size=3)
    policy[[0, 2], :2], policy[[0, 2], 2] = generator.dirichlet(np.ones(2), size=2), 0.0
    found = np.asarray(lenient_gradient.lenient_value(game, jnp.asarray(policy), 3.0))
    for player, size in enumerate(table.shape):
        others = [policy[other, : table.shape[other]] for other in range(3) if other != player]
        joint = np.outer(*others).reshape(-1)
        three = joint[:, None, None] * joint[:, None] * joint  # every way in which three draws may come out
        for action in range(size):
            earned = np.take(table, action, axis=player).reshape(-1)
            best = np.maximum(np.maximum(earned[:, None, None], earned[:, None]), earned)
            assert found[player, action] == pytest.approx((three * best).sum(), abs=1e-12)
    np.testing.assert_allclose(
        lenient_gradient.lenient_value(game, jnp.asarray(policy), 1.0),
        action_value(game, jnp.asarray(policy)),
        atol=1e-12,
    )


def test_rivals_and_numbers_that_cannot_be_are_refused_in_one_line():
    with pytest.raises(ValueError, match="all are paid the same"):
        lenient_gradient.make(matrix.matching_pennies())
    with pytest.raises(ValueError, match="leniency must be 1 or more"):
        lenient_gradient.make(matrix.climbing(), lenient_gradient.Config(leniency=0.5))


def found(game, make, config, starts, steps):
    """Returns the share of random starts from which the best agreement is found."""

    @jax.jit
    @jax.vmap
    def one(logits):
        solver = make(game, config, logits)
        return solver.current(jax.lax.fori_loop(0, steps, lambda _, state: solver.step(state), solver.init()))

    policy = one(jnp.log(np.random.default_rng(0).dirichlet(np.ones(3), size=(starts, 2))))
    earned = np.einsum("ka,ab,kb->k", policy[:, 0], game.payoff[0], policy[:, 1])
    return np.mean(earned > game.payoff[0].max() - 0.5)


def test_on_climbing_forgiveness_finds_the_best_agreement_more_often():
    plain = found(matrix.climbing(), gradient_flow.make, gradient_flow.Config(), 100, 3000)
    lenient = found(matrix.climbing(), lenient_gradient.make, lenient_gradient.Config(), 100, 3000)
    assert plain < 0.5 and lenient > 0.95


@pytest.mark.slow
@pytest.mark.parametrize(
    ("game", "least"),
    [
        (matrix.climbing(), 0.985),
        (matrix.penalty(0.0), 1.0),
        (matrix.penalty(-25.0), 1.0),
        (matrix.penalty(-100.0), 1.0),
    ],
)
def test_the_best_agreement_is_found_as_often_as_is_told(game, least):
    assert found(game, lenient_gradient.make, lenient_gradient.Config(), 1000, 4000) >= least
