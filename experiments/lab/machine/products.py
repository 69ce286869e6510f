"""Products of matrices that stand alone and have one form, for --portable: rows of what stands first by columns of what stands
second.

XLA gives such products to YNNPACK, which adds up parts of one length. Others, as gradients by weights are by themselves (x^T g
with x as it lies), go to Eigen, whose parts are as long as the processor's first cache allows. Barriers keep XLA from making one
form of the other again.
"""

import functools
from typing import Any


@functools.cache
def in_one_form() -> None:
    """Has every product that is compiled from now on be so. Raises AttributeError, KeyError where jax keeps its rules elsewhere."""
    from jax import lax
    from jax.interpreters import mlir

    of_jax = mlir._platform_specific_lowerings["cpu"][lax.dot_general_p].rule

    def lower(ctx, *given, dimension_numbers, **how):
        orders, wanted = form(dimension_numbers, *(aval.ndim for aval in ctx.avals_in))

        def turned(*given):
            return lax.optimization_barrier(tuple(map(lax.transpose, given, orders)))

        shapes = [aval.update(shape=tuple(aval.shape[i] for i in order)) for aval, order in zip(ctx.avals_in, orders)]
        given = mlir.lower_fun(turned, multiple_results=True)(ctx.replace(), *given)
        product = of_jax(ctx.replace(avals_in=shapes), *given, dimension_numbers=wanted, **how)
        alone = mlir.lower_fun(lax.optimization_barrier, multiple_results=False)
        return alone(ctx.replace(avals_in=ctx.avals_out), *product)

    mlir.register_lowering(lax.dot_general_p, lower, platform="cpu")


def form(dimension_numbers: Any, first: int, second: int) -> tuple[tuple[list[int], list[int]], Any]:
    """Returns (the orders of the axes of both, [batch, kept, added up] and [batch, added up, kept], the dimension numbers that
    the product then has) for a product as lax.dot_general has it, of arrays of so many axes."""
    (added, other_added), (batch, other_batch) = dimension_numbers
    kept = [axis for axis in range(first) if axis not in (*added, *batch)]
    other_kept = [axis for axis in range(second) if axis not in (*other_added, *other_batch)]
    b, n = len(batch), len(added)
    sums = tuple(range(first - n, first)), tuple(range(b, b + n))
    return ([*batch, *kept, *added], [*other_batch, *other_added, *other_kept]), (sums, (tuple(range(b)),) * 2)
