"""Clipping is optax's, and metrics are averaged in their order."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from algos.core.optimize import LARGE, adam, clip_by_global_norm, mean_in_turn, over_many

GRADIENT = {"a": jnp.array([3.0, -4.0]), "b": jnp.array([[12.0]])}  # of norm 13


@pytest.mark.parametrize(("max_norm", "norm"), [(2.0, 2.0), (13.5, 13.0), (jnp.inf, 13.0), (0.1, 0.1)])
def test_a_gradient_is_clipped_as_optax_clips_it(max_norm, norm):
    clipped, _ = clip_by_global_norm(max_norm).update(GRADIENT, optax.EmptyState())
    expected, _ = optax.clip_by_global_norm(max_norm).update(GRADIENT, optax.EmptyState())
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), clipped, expected)
    assert float(optax.tree.norm(clipped)) == pytest.approx(norm, rel=1e-6)


def test_no_gradient_at_all_stays_none():
    zeros = jax.tree.map(jnp.zeros_like, GRADIENT)
    clipped, _ = clip_by_global_norm(0.5).update(zeros, optax.EmptyState())
    jax.tree.map(np.testing.assert_array_equal, clipped, zeros)


LARGE_GRADIENT = {"a": jnp.linspace(-1.0, 2.0, 300), "b": jnp.linspace(-3.0, 1.0, LARGE).reshape(-1, 256)}


@pytest.mark.parametrize("gradient", [GRADIENT, LARGE_GRADIENT], ids=["small", "large"])
def test_adam_over_one_vector_moves_each_parameter_as_optax_does_array_by_array(gradient):
    ours = adam(0.01, 1.0)
    theirs = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.01, eps=1e-5))
    our_state, their_state = ours.init(gradient), theirs.init(gradient)
    for given in (gradient, jax.tree.map(jnp.negative, gradient), gradient):
        found, our_state = ours.update(given, our_state)
        expected, their_state = theirs.update(given, their_state)
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-8), found, expected)


def test_a_large_gradient_is_put_together_once_and_not_in_each_kernel_that_reads_it():
    plain = optax.flatten(optax.adam(0.01))

    def copies(optimizer):
        def update(gradient, state):
            turned = {"a": gradient["a"], "b": gradient["b"].T}
            return optimizer.update(turned, state)

        state = optimizer.init({"a": LARGE_GRADIENT["a"], "b": LARGE_GRADIENT["b"].T})
        program = jax.jit(update).lower(LARGE_GRADIENT, state).compile().as_text()
        return program[program.index("ENTRY ") :].count(" concatenate(")

    assert (copies(over_many(plain)), copies(plain)) == (1, 0)


def test_means_are_those_of_adding_one_after_another():
    numbers = np.random.default_rng(0).standard_normal(1024).astype(np.float32) * 1e3
    total = np.float32(0.0)
    for number in numbers:
        total += number
    found = jax.jit(mean_in_turn)({"x": numbers, "y": -2.0 * numbers})
    assert found["x"] == total / np.float32(1024.0) and found["y"] == -2.0 * found["x"]
    assert found["x"] != np.mean(numbers)  # which NumPy adds up in pairs
