"""Products in one form, for --portable, against products as jax has them."""

import jax
import numpy as np
import pytest
from jax import lax

from experiments.lab.machine import products

PLAIN = (((1,), (0,)), ((), ()))


@pytest.mark.parametrize(
    ("first", "second", "numbers"),
    [
        ((5, 3), (3, 4), PLAIN),
        ((3, 5), (3, 4), (((0,), (0,)), ((), ()))),  # a gradient by weights
        ((5, 3), (4, 3), (((1,), (1,)), ((), ()))),  # a gradient by inputs
        ((2, 7, 3), (3, 4), (((2,), (0,)), ((), ()))),
        ((2, 7, 3), (2, 7, 4), (((0, 1), (0, 1)), ((), ()))),
        ((2, 7, 3), (7, 2, 4), (((1, 0), (0, 1)), ((), ()))),
        ((3, 2, 5), (4, 3, 2), (((0,), (1,)), ((1,), (2,)))),
        ((6, 3, 2), (2, 3, 6), (((), ()), ((1, 2), (1, 0)))),
        ((3,), (3, 4), (((0,), (0,)), ((), ()))),
        ((3,), (3,), (((0,), (0,)), ((), ()))),
    ],
)
def test_a_product_in_the_form_is_the_product(first, second, numbers):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(first), rng.standard_normal(second)
    (order, other), wanted = products.form(numbers, x.ndim, y.ndim)
    found = lax.dot_general(x.transpose(order), y.transpose(other), wanted)
    np.testing.assert_allclose(found, lax.dot_general(x, y, numbers), rtol=1e-5, atol=1e-6)
    ((added, other_added), (batch, other_batch)), n, b = wanted, len(numbers[0][0]), len(numbers[1][0])
    assert added == tuple(range(x.ndim - n, x.ndim)) and other_added == tuple(range(b, b + n))  # rows by columns
    assert batch == other_batch == tuple(range(b))


def test_jax_keeps_its_rule_where_it_is_looked_for():
    from jax.interpreters import mlir

    assert callable(mlir._platform_specific_lowerings["cpu"][lax.dot_general_p].rule), jax.__version__
