"""Torsos of dense layers: the activation, layer normalisation (Ba et al. 2016, arXiv 1607.06450), and one torso for both
heads.

    h_0 = x,   h_i = activation(norm(W_i h_(i-1) + b_i)),   policy and value linear in h_n
"""

import flax.linen as nn
import jax.numpy as jnp
from flax.linen import initializers

from algos.core.distributions import Categorical, DiagonalGaussian
from algos.core.networks import HIDDEN_GAIN, POLICY_GAIN, Tower, dense
from envs import Box, Discrete, Env

ACTIVATIONS = {"tanh": nn.tanh, "relu": nn.relu, "silu": nn.silu, "gelu": nn.gelu, "elu": nn.elu}


def actor_critic(
    env: Env, config, activation: str = "tanh", layer_norm: bool = False, shared: bool = False, hidden_sizes=None
) -> nn.Module:
    """Returns a network of (policy, value); hidden_sizes: by default the algorithm's."""
    sizes = tuple(config.hidden_sizes if hidden_sizes is None else hidden_sizes)
    return ActorCritic(env.observation_shape, env.action, sizes, _known(activation), layer_norm, shared)


def q_network(env: Env, config, activation: str = "relu", layer_norm: bool = False, hidden_sizes=None) -> nn.Module:
    """Returns a network of Q [..., actions]."""
    sizes = tuple(config.hidden_sizes if hidden_sizes is None else hidden_sizes)
    return Q(env.observation_shape, env.action.n, sizes, _known(activation), layer_norm)


class Torso(nn.Module):
    """Returns features [..., hidden_sizes[-1]] of observations [..., *shape]; images pass the convolution of `Tower`."""

    observation_shape: tuple[int, ...]
    hidden_sizes: tuple[int, ...]
    activation: str
    layer_norm: bool

    @nn.compact
    def __call__(self, observation):
        x = Tower(self.observation_shape, ())(observation)
        for size in self.hidden_sizes:
            x = dense(size, HIDDEN_GAIN)(x)
            x = nn.LayerNorm()(x) if self.layer_norm else x
            x = ACTIVATIONS[self.activation](x)
        return x


class ActorCritic(nn.Module):
    """(observation) -> (policy, value): two torsos, or one whose features both heads read."""

    observation_shape: tuple[int, ...]
    action: Discrete | Box
    hidden_sizes: tuple[int, ...]
    activation: str
    layer_norm: bool
    shared: bool

    @nn.compact
    def __call__(self, observation):
        torso = (self.observation_shape, self.hidden_sizes, self.activation, self.layer_norm)
        features = Torso(*torso, name="torso" if self.shared else "actor")(observation)
        of_value = features if self.shared else Torso(*torso, name="critic")(observation)
        value = dense(1, 1.0, "value")(of_value)[..., 0]
        size = self.action.n if isinstance(self.action, Discrete) else self.action.size
        head = dense(size, POLICY_GAIN, "policy")(features)
        if isinstance(self.action, Discrete):
            return Categorical(head), value
        log_std = self.param("log_std", initializers.zeros, (size,))
        return DiagonalGaussian(head, jnp.broadcast_to(log_std, head.shape)), value


class Q(nn.Module):
    """(observation) -> Q [..., actions]."""

    observation_shape: tuple[int, ...]
    num_actions: int
    hidden_sizes: tuple[int, ...]
    activation: str
    layer_norm: bool

    @nn.compact
    def __call__(self, observation):
        features = Torso(self.observation_shape, self.hidden_sizes, self.activation, self.layer_norm)(observation)
        return dense(self.num_actions, 1.0, "head")(features)


def _known(activation: str) -> str:
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, not {activation!r}")
    return activation
