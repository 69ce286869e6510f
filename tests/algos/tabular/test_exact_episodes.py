"""All episodes of a model, and the moments of advantages that they give, against linear equations that enumerate nothing."""

import jax.numpy as jnp
import numpy as np
import pytest

from algos.tabular import exact
from algos.tabular.exact_episodes import advantage_moments, every_episode
from envs.mdp import problems
from experiments.gae import GAMMA, PROBABILITIES, chain

pytestmark = pytest.mark.usefixtures("float64")

CHAIN = chain()
SOON = CHAIN.replace(terminated=CHAIN.terminated | (np.arange(12).reshape(3, 2, 2) == 3))  # one outcome more ends it
WRONG = np.array([0.7, -1.3, 2.1])
LAMBDAS = (0.0, 0.3, 0.9, 1.0)


@pytest.fixture
def moments(float64):
    return advantage_moments(CHAIN, PROBABILITIES, WRONG, GAMMA, LAMBDAS, 3)


def test_the_chances_of_all_episodes_sum_to_one_and_their_mean_return_is_J():
    episodes = every_episode(CHAIN, PROBABILITIES, 3)
    assert episodes.chance.sum() == pytest.approx(1.0, abs=1e-14)
    discount = GAMMA ** np.arange(3)[:, None]
    mean = episodes.chance @ (discount * episodes.reward * episodes.counts).sum(0)
    assert mean == pytest.approx(float(exact.value(CHAIN, jnp.asarray(PROBABILITIES), GAMMA)[0]), abs=1e-14)


def test_with_lambda_1_the_advantage_has_no_bias_whatever_the_critic(moments):
    bias, _ = moments
    np.testing.assert_allclose(bias[-1], 0.0, atol=1e-12)
    assert np.abs(bias[:-1]).max(axis=(1, 2)).min() > 0.05


def test_with_the_right_critic_no_lambda_has_a_bias():
    right = exact.value(CHAIN, jnp.asarray(PROBABILITIES), GAMMA)
    bias, _ = advantage_moments(CHAIN, PROBABILITIES, right, GAMMA, LAMBDAS, 3)
    np.testing.assert_allclose(bias, 0.0, atol=1e-12)


@pytest.mark.parametrize("mdp", [CHAIN, SOON], ids=["of one length", "of two lengths"])
def test_bias_and_variance_are_those_of_the_recursions_for_the_first_two_moments(mdp):
    """m(s, a) = E[G], with G = r + gamma (1 - terminated) ((1 - lambda) V(s') + lambda G'); likewise E[G^2]."""
    moments = advantage_moments(mdp, PROBABILITIES, WRONG, GAMMA, LAMBDAS, 3)
    onward = mdp.probability * ~mdp.terminated
    for index, lambda_ in enumerate(LAMBDAS):
        first, second = np.zeros((3, 2)), np.zeros((3, 2))
        for _ in range(3):  # as many steps as the longest episode
            next_first, next_second = ((PROBABILITIES * x).sum(1)[mdp.successor] for x in (first, second))
            mixed = (1.0 - lambda_) * WRONG[mdp.successor]
            reached = GAMMA * (mixed + lambda_ * next_first)
            squared = GAMMA**2 * (mixed**2 + 2 * mixed * lambda_ * next_first + lambda_**2 * next_second)
            earned = (mdp.probability * mdp.reward**2).sum(-1)
            first = (mdp.probability * mdp.reward + onward * reached).sum(-1)
            second = earned + (onward * (2 * mdp.reward * reached + squared)).sum(-1)
        q = np.asarray(exact.action_value(mdp, jnp.asarray(PROBABILITIES), GAMMA))
        np.testing.assert_allclose(moments[0][index], first - q, atol=1e-12)
        np.testing.assert_allclose(moments[1][index], second - first**2, atol=1e-12)


def test_a_model_whose_episodes_can_go_on_is_refused_with_the_state():
    walk = problems.model("RandomWalk-5")
    with pytest.raises(ValueError, match="an episode may be longer than 4 steps: it goes on from state \\d"):
        every_episode(walk, np.full((walk.num_states, walk.num_actions), 1.0 / walk.num_actions), 4)
