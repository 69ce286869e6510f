"""One hidden layer for the policy and the value together, with layer normalisation."""

import flax.linen as nn

from algos.core.distributions import Categorical


class Wide(nn.Module):
    """(observation [..., d]) -> (policy, value [...])."""

    size: int
    num_actions: int

    @nn.compact
    def __call__(self, observation):
        x = nn.relu(nn.LayerNorm()(nn.Dense(self.size)(observation)))
        return Categorical(nn.Dense(self.num_actions)(x)), nn.Dense(1)(x)[..., 0]


def wide(env, size: int = 128):
    """Returns the network; its fields are set as `--network "my_net.py:wide(size=256)"`."""
    return Wide(size, env.action.n)
