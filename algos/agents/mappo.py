"""Multi-agent PPO (Yu et al. 2021, arXiv 2103.01955) and independent PPO (de Witt et al. 2020, arXiv 2011.09533): PPO on
agents folded into the batch.

    actor pi(a_i | o_i),   critic V(o_i, s) with the state s, or V(o_i)

The critic is needed in training alone, and may be told what no agent can see; the actor is not.
"""

from dataclasses import dataclass

from algos import ppo
from algos.agents.networks import per_agent
from algos.core.networks import actor_critic
from algos.core.types import Algorithm, Loss
from algos.ppo import HParams, loss
from envs import Env

__all__ = ["Config", "HParams", "loss", "make"]


@dataclass(frozen=True)
class Config(ppo.Config):
    """What changes a shape, a trip count or a branch."""

    centralised: bool = True  # whether the critic reads the state
    own_parameters: bool = False  # a network for each agent, who are told apart by their ids (envs.agents.with_ids)


def make(env: Env, config: Config = Config(), *, loss: Loss = loss, network=None) -> Algorithm:
    """Returns MAPPO on `env`, or independent PPO. `network`: as PPO takes it.

    Raises ValueError where there is one agent, where no state is there for a centralised critic, and as PPO does.
    """
    if env.agents is None:
        raise ValueError(f"mappo is for several agents, and {env.name} has one: ppo")
    if config.centralised and not (env.layout and env.layout.state):
        raise ValueError(f"a centralised critic reads a state, and {env.name} has none: centralised=False")
    network = network or per_agent(
        actor_critic(env, config.hidden_sizes, config.centralised), env, config.own_parameters
    )
    return ppo.make(env, config, loss=loss, network=network)
