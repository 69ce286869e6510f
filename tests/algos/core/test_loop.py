"""Sums of metrics over long runs, against exact ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algos.core.loop import advance, no_metrics, totals
from algos.core.types import Algorithm

MANY = 1_000_000


def constant(**metrics) -> Algorithm:
    """Returns an algorithm that does nothing but count its updates and give these metrics, `update` among them."""

    def step(state, hparams):
        given = {name: jnp.float32(value) for name, value in metrics.items()}
        return state + 1, {**given, "update": state, "update_max": -jnp.abs(state - 3.0)}

    return Algorithm(lambda key, hparams: jnp.float32(0.0), step, None, 1)


def summed(algorithm: Algorithm, chunks):
    """Returns (the sums as `advance` left them, the same in float64)."""
    go_on = jax.jit(lambda state, sums, number: advance(algorithm, state, None, sums, number))
    state = algorithm.init(None, None)
    sums = no_metrics(algorithm, state, None)
    for number in chunks:
        state, sums = go_on(state, sums, number)
    return sums, totals(jax.device_get(sums))


def test_sums_over_a_million_updates_are_exact_where_float32_drifts_and_sticks():
    algorithm = constant(small=0.05, episodes=4099.0, falling=-1e-3)
    _, sums = summed(algorithm, [MANY])
    np.testing.assert_allclose(sums["small"] / MANY, np.float32(0.05), rtol=1e-7)
    np.testing.assert_allclose(sums["falling"] / MANY, -np.float32(1e-3), rtol=1e-7)
    assert sums["episodes"] == 4099 * MANY
    assert sums["update"] == MANY * (MANY - 1) // 2
    assert sums["update_max"] == 0.0


def test_sums_do_not_depend_on_where_the_run_is_cut():
    algorithm = constant(small=0.05, large=1e9)
    straight, cut = summed(algorithm, [5000])[0], summed(algorithm, [1, 777, 4222])[0]
    jax.tree.map(np.testing.assert_array_equal, straight, cut)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_a_metric_that_is_not_finite_leaves_the_sum_what_it_would_be_without_compensation(bad):
    _, sums = summed(constant(bad=bad), [5])
    np.testing.assert_array_equal(sums["bad"], bad)
