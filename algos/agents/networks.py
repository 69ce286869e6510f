"""Networks of several agents: parameters of each agent's own, told apart by the ids that observations begin with
(envs.agents.with_ids). Shared parameters need no network of their own: agents are rows of the batch."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from algos.core.networks import q_network
from envs import Env


class PerAgent(NamedTuple):
    """A network with parameters for each of N agents, leaves [N, ...]. An agent's first ones depend on its number alone."""

    network: Any
    num_agents: int
    stacked: bool = True  # no agent's gradient has a part in another's step (algos.core.optimize.adam)

    def init(self, key, observation):
        """Returns the parameters."""
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(self.num_agents))
        return jax.vmap(self.network.init, (0, None))(keys, observation)

    def apply(self, params, observation):
        """Returns what each observation's own agent's network gives for it, of observations [..., N + rest]."""
        every = jax.vmap(self.network.apply, (0, None))(params, observation)
        number = jnp.argmax(observation[..., : self.num_agents], axis=-1)  # also of ids that were normalised
        who = number == jnp.arange(self.num_agents).reshape(-1, *[1] * number.ndim)

        def of_its_own(x):
            mine = who.reshape(who.shape + (1,) * (x.ndim - who.ndim))
            return jnp.sum(jnp.where(mine, x, 0.0), axis=0)

        return jax.tree.map(of_its_own, every)


def per_agent(network, env: Env, own_parameters: bool):
    """Returns the network, or one for each agent. Raises ValueError where observations do not say whose they are."""
    if not own_parameters:
        return network
    if not env.ids:
        raise ValueError(
            f"own_parameters tells agents apart by ids, and observations of {env.name} have none: agent_ids=True, or "
            "envs.agents.with_ids"
        )
    return PerAgent(network, env.agents)


def agent_q(env: Env, hidden_sizes: tuple[int, ...], own_parameters: bool, dueling: bool = False):
    """Returns the network of an agent's action values, shared or one for each."""
    return per_agent(q_network(env, hidden_sizes, dueling), env, own_parameters)
