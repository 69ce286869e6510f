"""Independent advantage actor-critic (IA2C): A2C on agents folded into the batch, with parameters of all or of each agent's own.

actor pi(a_i | o_i),   critic V(o_i)
"""

from dataclasses import dataclass

from algos import a2c
from algos.a2c import HParams, loss
from algos.agents.networks import per_agent
from algos.core.networks import actor_critic
from algos.core.types import Algorithm, Loss
from envs import Env

__all__ = ["Config", "HParams", "loss", "make"]


@dataclass(frozen=True)
class Config(a2c.Config):
    """What changes a shape, a trip count or a branch."""

    own_parameters: bool = False  # a network for each agent, who are told apart by their ids (envs.agents.with_ids)


def make(env: Env, config: Config = Config(), *, loss: Loss = loss, network=None) -> Algorithm:
    """Returns independent A2C on `env`. `network`: as A2C takes it. Raises ValueError where there is one agent, and as A2C
    does."""
    if env.agents is None:
        raise ValueError(f"ia2c is for several agents, and {env.name} has one: a2c")
    network = network or per_agent(actor_critic(env, config.hidden_sizes), env, config.own_parameters)
    return a2c.make(env, config, loss=loss, network=network)
