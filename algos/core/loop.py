"""A training run: a loop over `step`, cut wherever the caller likes, with the same bits however it is cut."""

import jax
import jax.numpy as jnp
from jax import lax

from algos.core.types import Algorithm, Metrics


def no_metrics(algorithm: Algorithm, state, hparams) -> Metrics:
    """Returns the sums that `advance` begins with: zeros, or -inf for a maximum."""
    shapes = jax.eval_shape(algorithm.step, state, hparams)[1]
    return {name: jnp.full(x.shape, -jnp.inf if name.endswith("_max") else 0.0) for name, x in shapes.items()}


def advance(algorithm: Algorithm, state, hparams, sums: Metrics, num_updates):
    """Returns (state, sums) after `num_updates` updates, which may be traced.

    Metrics are added up from update to update (those named `..._max` keep their maximum), so that they cost the same
    however long the run, and do not depend on where the run is cut as long as `sums` is handed on.
    """

    def one_update(_, carry):
        state, sums = carry
        state, metrics = algorithm.step(state, hparams)
        add = {name: jnp.maximum if name.endswith("_max") else jnp.add for name in sums}
        return state, {name: add[name](sums[name], metrics[name]) for name in sums}

    return lax.fori_loop(0, num_updates, one_update, (state, sums))
