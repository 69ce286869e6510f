"""How the loss of many tokens becomes one number. The choice changes what is learned: averaging within an answer first makes
a token of a long answer count less (Liu et al. 2025, arXiv 2503.20783, section 3).

    token    sum_b sum_t x / sum_b |y_b|         every token of the batch counts alike
    answer   mean_b (1 / |y_b|) sum_t x          every answer counts alike (GRPO's paper)
    sum      mean_b sum_t x                      the log-probability of an answer is a sum: the plain policy gradient
"""

import jax.numpy as jnp

AVERAGES = ("token", "answer", "sum")


def require_average(average: str) -> None:
    """Raises ValueError for a name that is none."""
    if average not in AVERAGES:
        raise ValueError(f"average must be one of {', '.join(AVERAGES)}, not {average!r}")


def weights(mask, average: str):
    """Returns what each token counts, [B, L]; 0 where the mask [B, L] is."""
    if average == "token":
        return mask / jnp.maximum(jnp.sum(mask), 1.0)
    if average == "answer":
        return mask / (jnp.maximum(jnp.sum(mask, axis=1, keepdims=True), 1.0) * len(mask))
    return mask / len(mask)


def total(x, weight):
    """Returns sum weight x, a scalar; what has no weight may be anything."""
    return jnp.sum(jnp.where(weight > 0, weight * x, 0.0))
