"""Which rows of a data set an update meets: each epoch has its own order and meets every row once."""

import jax
from jax import lax

from algos.core.optimize import permutations


def rows(key, update, number: int, size: int) -> jax.Array:
    """Returns the `size` indices among `number` of update 0, 1, ..., int32 [size].

    An epoch is number // size updates; the rows that do not fill another wait for the next epoch's order.
    """
    batches = number // size
    order = permutations(jax.random.fold_in(key, update // batches), 1, number)[0]
    return lax.dynamic_slice_in_dim(order, update % batches * size, size)
