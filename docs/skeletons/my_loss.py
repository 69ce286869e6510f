"""The policy loss of `my_a2c.py`, which takes several steps on a rollout, clipped as PPO's is (arXiv 1707.06347, eq. 7)."""

import jax.numpy as jnp
import my_a2c
from flax import struct

from algos.core.losses import clipped_surrogate, mean, squared


@struct.dataclass
class HParams(my_a2c.HParams):
    """Those of `my_a2c.py`, and one more."""

    clip: float = 0.2


def clipped(params, apply, batch, hparams: HParams):
    """Returns the loss, a scalar, and metrics; batch [T, B]."""
    policy, value = apply(params, batch.observation)
    ratio = jnp.exp(policy.log_prob(batch.action) - batch.log_prob)
    loss = clipped_surrogate(ratio, batch.advantage, hparams.clip)
    loss += hparams.value_coef * squared(value - batch.value_target)
    is_clipped = jnp.abs(ratio - 1.0) > hparams.clip
    return mean(loss, batch.mask), {"clip_fraction": mean(is_clipped, batch.mask)}
