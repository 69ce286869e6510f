"""Batch TD, least squares and the likeliest model say the same of any log."""

import jax
import jax.numpy as jnp
import logs
import numpy as np
import pytest

from algos.tabular import batch, learned_model
from algos.tabular.experience import Step
from algos.tabular.online import Method

GAMMA, S = 0.9, logs.STATES
COUNTING = Method(
    start=lambda _: (jnp.zeros(()), learned_model.nothing_seen(S, 1, 2 * S)),
    learn=lambda nothing, counts, step, _: (nothing, learned_model.seen(counts, step)),
)


def log_of(seed, absent=None):
    """Returns a log of one action; `absent`: a state that no step leaves."""
    log = logs.random_log(seed, num_steps=80)
    kept = np.ones(80, bool) if absent is None else log.state != absent
    return logs.Log(*(x[kept] for x in log._replace(action=np.zeros_like(log.action))))


def likeliest_values(log, untried):
    """Returns the values of the likeliest model of the log, solved by NumPy."""
    _, counts = logs.learning(COUNTING, log, None)
    mdp = jax.device_get(learned_model.maximum_likelihood(counts, untried))
    np.testing.assert_allclose(np.sum(mdp.probability, -1), 1.0, rtol=1e-12)
    matrix = np.eye(S)
    for s, k in np.ndindex(S, 2 * S):
        if not mdp.terminated[s, 0, k]:
            matrix[s, mdp.successor[s, 0, k]] -= GAMMA * mdp.probability[s, 0, k]
    return np.linalg.solve(matrix, np.sum(mdp.probability * mdp.reward, (1, 2)))


def td_sweeps(log, rate, number):
    """Returns V [S] after sweeps over the log, each of which changes V once, by the sum of all its TD errors."""
    v = np.zeros(S)
    for _ in range(number):
        error = log.reward + GAMMA * np.where(log.terminated, 0.0, v[log.next_state]) - v[log.state]
        np.add.at(v, log.state, rate * error)
    return v


@pytest.mark.parametrize(("seed", "absent"), [(0, None), (1, 3)])
def test_batch_td_least_squares_and_certainty_equivalence_are_one(seed, absent, float64):
    log = log_of(seed, absent)
    solved = batch.td_solution(log, S, GAMMA)
    swept = td_sweeps(log, 0.02, 3000)
    np.testing.assert_allclose(swept, solved, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(likeliest_values(log, "absorbing"), solved, rtol=1e-10, atol=1e-12)
    assert absent is None or (abs(solved[absent]) < 1e-12 and np.isfinite(solved).all())


def test_a_pair_never_tried_ends_with_nothing_or_earns_the_best_for_ever_and_is_never_0_over_0(float64):
    nothing = learned_model.nothing_seen(S, 2, 3)
    absorbing, optimistic = (learned_model.maximum_likelihood(nothing, u, 4.0) for u in learned_model.UNTRIED)
    for mdp in (absorbing, optimistic):
        np.testing.assert_array_equal(np.sum(mdp.probability, -1), 1.0)
    for_ever = jnp.full((S, 2), 4.0 / (1.0 - GAMMA))
    np.testing.assert_array_equal(learned_model.backup(absorbing, for_ever, GAMMA), 0.0)
    np.testing.assert_allclose(learned_model.backup(optimistic, for_ever, GAMMA), for_ever, rtol=1e-12)
    with pytest.raises(ValueError, match="untried must be one of absorbing, optimistic, not 'zero'"):
        learned_model.maximum_likelihood(nothing, "zero")


def test_an_outcome_that_ended_and_one_that_went_on_to_the_same_state_are_told_apart():
    counts = learned_model.nothing_seen(S, 1, 2)
    for reward, terminated in ((1.0, False), (5.0, True), (3.0, False), (1.0, False)):
        step = Step(0, 0, reward, 2, 0, terminated, False, None)
        counts = learned_model.seen(counts, step)
    mdp = learned_model.maximum_likelihood(counts, "absorbing")
    np.testing.assert_allclose(mdp.probability[0, 0], [0.75, 0.25])
    np.testing.assert_allclose(mdp.reward[0, 0], [5.0 / 3.0, 5.0])
    assert mdp.terminated[0, 0].tolist() == [False, True] and mdp.successor[0, 0].tolist() == [2, 2]
