"""Does a penalty on KL(old || new) do for PPO what its clip does?

A loss of one's own beside the one it replaces:

    python -m experiments.custom_loss
    python -m experiments.custom_loss --sweep ppo-kl.penalty=1,3,10

Copy this file anywhere, change the loss, and run it with `python FILE.py`: it takes the same options.
"""

import jax.numpy as jnp
from flax import struct

from algos import ppo
from algos.core.losses import mean, squared
from experiments.lab.commands.command import main
from experiments.lab.definition.contenders import with_loss
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.definition.settings import contender


@struct.dataclass
class HParams(ppo.HParams):
    """PPO's, and the weight of the penalty."""

    penalty: float = 3.0


def kl_penalised(params, apply, batch, hparams: HParams):
    """Returns PPO's loss with a penalty on KL(old || new) in place of the clip, and metrics."""
    policy, value = apply(params, batch.observation)
    ratio = jnp.exp(policy.log_prob(batch.action) - batch.log_prob)
    objective = ratio * batch.advantage - hparams.penalty * batch.policy.kl(policy)
    loss = -objective + hparams.value_coef * squared(value - batch.value_target)
    return mean(loss, batch.mask), {"ratio": mean(ratio, batch.mask)}


clipped = contender("ppo", "CartPole-v1", steps=100_000)
penalised = with_loss(clipped, kl_penalised, name="ppo-kl")
experiment = Experiment((Task("CartPole-v1", (clipped, penalised)),), seeds=tuple(range(10)), steps=100_000)

if __name__ == "__main__":
    main(experiment)
