"""The data that passes between the parts of learning from rewards of answers."""

from typing import Any

import jax
from flax import struct

from algos.core.config import AMOUNT, DIVISOR
from algos.core.types import Batch, TrainState

# of hyperparameters that only a language algorithm has, or that mean something else elsewhere
RANGES = {**dict.fromkeys(("temperature", "kl_target", "kl_horizon", "beta"), DIVISOR), "kl_coef": AMOUNT}


@struct.dataclass
class Sequence:
    """Whole texts, prompt and answer: what a network of this chapter observes."""

    tokens: jax.Array  # int32 [B, P + L]
    mask: jax.Array  # float32 [B, P + L], 1.0 on real tokens


@struct.dataclass(kw_only=True)
class TextBatch(Batch):
    """B answers; [B, L] unless a field says otherwise, 0 after an answer's end.

    `observation` is a `Sequence`, `next_observation` None: the sequence holds what follows each token as well.
    """

    reference_log_prob: jax.Array  # of the action, by the reference policy at the same temperature
    weight: jax.Array  # what each token counts in a loss that reduces by `averages.total`


@struct.dataclass(kw_only=True)
class TextState(TrainState):
    """All that a run carries. `environment` is the key that prompts are drawn with, `normalizer` None."""

    kl_coef: Any  # float32, where it adapts; else None, and the hyperparameter holds
    temperature: jax.Array  # of the policy, for acting
