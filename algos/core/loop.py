"""A training run: a loop over `step`, cut wherever the caller likes, with the same bits however it is cut."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from algos.core.types import Algorithm, Metrics


class Sums(NamedTuple):
    """Sums of metrics over updates; of those named `..._max`, the highest."""

    total: Metrics
    lost: Metrics  # what rounding has kept out of each total: a float32 alone sticks at 2^24 times what is added


def no_metrics(algorithm: Algorithm, state, hparams) -> Sums:
    """Returns the sums that `advance` begins with: zeros, or -inf for a maximum."""
    shapes = jax.eval_shape(algorithm.step, state, hparams)[1]
    total = {name: jnp.full(x.shape, -jnp.inf if _is_maximum(name) else 0.0) for name, x in shapes.items()}
    return Sums(total, {name: jnp.zeros_like(x) for name, x in total.items() if not _is_maximum(name)})


def advance(algorithm: Algorithm, state, hparams, sums: Sums, num_updates):
    """Returns (state, sums) after `num_updates` updates, which may be traced.

    Metrics are added up from update to update (those named `..._max` keep their maximum), so that they cost the same
    however long the run, and do not depend on where the run is cut as long as `sums` is handed on.
    """

    def one_update(_, carry):
        state, sums = carry
        state, metrics = algorithm.step(state, hparams)
        return state, _added(sums, metrics)

    return lax.fori_loop(0, num_updates, one_update, (state, sums))


def totals(sums: Sums) -> dict[str, np.ndarray]:
    """Returns every sum in float64, from arrays that are on the host."""
    return {name: np.asarray(total, np.float64) + sums.lost.get(name, 0.0) for name, total in sums.total.items()}


def _added(sums: Sums, metrics: Metrics) -> Sums:
    """Returns the sums with one update's metrics in them."""
    total, lost = {}, {}
    for name, old in sums.total.items():
        if _is_maximum(name):
            total[name] = jnp.maximum(old, metrics[name])
        else:
            total[name], lost[name] = _compensated(old, sums.lost[name], metrics[name])
    return Sums(total, lost)


def _compensated(total, lost, x):
    """Returns (total, lost) with x added (Kahan 1965), the new loss exact for addends of any size (Knuth's TwoSum)."""
    x = x + lost
    new = total + x
    counted = new - total
    lost = (total - (new - counted)) + (x - counted)
    return new, jnp.where(jnp.isfinite(lost), lost, 0.0)  # a total that is infinite stays so, and does not become NaN


def _is_maximum(name: str) -> bool:
    return name.endswith("_max")
