"""Values of a team made of values of its agents: additive (VDN: Sunehag et al. 2017, arXiv 1706.05296, eq. 3) and monotone
(QMIX: Rashid et al. 2018, arXiv 1803.11485, eqs. 4 to 6).

    Q(s, a) = sum_i q_i(a_i)                                       VDN
    Q(s, a) = w2(s) . elu(W1(s) q(a) + b1(s)) + b2(s)              QMIX,   W1, w2 >= 0

Both let each agent choose alone: the joint action that is best for Q is each agent's best for its own q. elu is convex, so
QMIX's mixing with one hidden layer has increasing differences too: what one agent's better action adds never falls as
another's gets better.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from algos.core.losses import action_value
from algos.core.networks import HIDDEN_GAIN, dense

WEIGHT_GAIN = (
    0.3  # of the mixing's weights: at first the team's value grows about as fast as an agent's, with 1.0 ten times
)


@struct.dataclass
class Additive:
    """What agents value their actions at, `q` [..., N, A]; the team's value is the sum over those that live."""

    q: jax.Array

    def of(self, action: jax.Array, live: jax.Array) -> jax.Array:
        """Returns Q of joint actions [..., N], [...]; an agent that is gone, live [..., N] 0, adds nothing."""
        return jnp.sum(chosen(self.q, action, live), axis=-1)

    def best(self) -> jax.Array:
        """Returns each agent's best action, int32 [..., N]."""
        return jnp.argmax(self.q, axis=-1).astype(jnp.int32)


@struct.dataclass
class Monotone:
    """The same, and how the team's value grows with them in this state: N agents, E hidden units."""

    q: jax.Array  # [..., N, A]
    weight1: jax.Array  # [..., N, E], 0 or more
    bias1: jax.Array  # [..., E]
    weight2: jax.Array  # [..., E], 0 or more
    bias2: jax.Array  # [...]

    def of(self, action: jax.Array, live: jax.Array) -> jax.Array:
        """Returns Q of joint actions [..., N], [...]."""
        return self.mixed(chosen(self.q, action, live))

    def mixed(self, q: jax.Array) -> jax.Array:
        """Returns the team's value, [...], of one value an agent, [..., N]."""
        hidden = nn.elu(jnp.sum(q[..., None] * self.weight1, axis=-2) + self.bias1)
        return jnp.sum(hidden * self.weight2, axis=-1) + self.bias2

    def best(self) -> jax.Array:
        """Returns each agent's best action, int32 [..., N]."""
        return Additive(self.q).best()


def chosen(q: jax.Array, action: jax.Array, live: jax.Array) -> jax.Array:
    """Returns q_i(a_i) of agents that live and 0 of those that are gone, [..., N]."""
    return jnp.where(live > 0, action_value(q, action), 0.0)


class Hypernetwork(nn.Module):
    """(state [..., S]) -> the four parts of `Monotone` beside q, weights by absolute values."""

    num_agents: int
    mixing_size: int
    hidden_sizes: Sequence[int]

    @nn.compact
    def __call__(self, state):
        def made(size, name, depth, gain=1.0):
            x = state
            for number, width in enumerate(self.hidden_sizes[:depth]):
                x = nn.relu(dense(width, HIDDEN_GAIN, f"{name}_{number}")(x))
            return dense(size, gain, name)(x)

        every = len(self.hidden_sizes)
        weight1 = jnp.abs(made(self.num_agents * self.mixing_size, "weight1", every, WEIGHT_GAIN))
        weight2 = jnp.abs(made(self.mixing_size, "weight2", every, WEIGHT_GAIN))
        weight1 = weight1.reshape(*weight1.shape[:-1], self.num_agents, self.mixing_size)
        return weight1, made(self.mixing_size, "bias1", 0), weight2, made(1, "bias2", every)[..., 0]


class Sum(NamedTuple):
    """VDN's network: the agents' own, [..., N, D] -> `Additive`."""

    agent: Any

    def init(self, key, observation):
        """Returns the parameters, for observations [..., N, D]."""
        return {"agent": self.agent.init(key, observation)}

    def apply(self, params, observation) -> Additive:
        """Returns the team's values of observations [..., N, D]."""
        return Additive(self.own(params, observation))

    def own(self, params, observation) -> jax.Array:
        """Returns q [..., A] of observations [..., D] of one agent each."""
        return self.agent.apply(params["agent"], observation)


class Mixer(NamedTuple):
    """QMIX's network: the agents' own, and the hypernetwork of the state, [..., N, D] -> `Monotone`."""

    agent: Any
    mixing: Any
    own_size: int  # numbers of an observation that are the agent's own
    state_size: int  # those of the state that follow; 0: the state is all agents' own

    def init(self, key, observation):
        """Returns the parameters, for observations [..., N, D]."""
        key_agent, key_mixing = jax.random.split(key)
        mixing = self.mixing.init(key_mixing, self.state(observation))
        return {"agent": self.agent.init(key_agent, observation), "mixing": mixing}

    def apply(self, params, observation) -> Monotone:
        """Returns the team's values of observations [..., N, D]."""
        mixing = self.mixing.apply(params["mixing"], self.state(observation))
        return Monotone(self.own(params, observation), *mixing)

    def own(self, params, observation) -> jax.Array:
        """Returns q [..., A] of observations [..., D] of one agent each; the state has no part in it."""
        return self.agent.apply(params["agent"], observation)

    def state(self, observation) -> jax.Array:
        """Returns the state [..., S] in the observations of all agents, which is the same in each."""
        if self.state_size:
            return observation[..., 0, self.own_size : self.own_size + self.state_size]
        own = observation[..., : self.own_size]
        return own.reshape(*own.shape[:-2], -1)
