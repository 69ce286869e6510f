"""Independent Q-learning (IQL: Tan 1993): DQN on agents folded into the batch, with parameters of all or of each agent's own.

    L_i(theta) = E[(r_i + gamma (1 - terminated) max_a q_target(o_i', a) - q(o_i, a_i))^2 / 2]

To each agent the others are part of its environment, which changes as they learn: what is learned of replayed steps is worth against
the mix of what the others did in them, and not against what they do now.
"""

from dataclasses import dataclass

from algos import dqn
from algos.agents.networks import agent_q
from algos.core.config import require_discrete
from algos.core.types import Algorithm, Loss
from algos.dqn import HParams, loss
from envs import Env

__all__ = ["Config", "HParams", "loss", "make"]


@dataclass(frozen=True)
class Config(dqn.Config):
    """What changes a shape, a trip count or a branch."""

    own_parameters: bool = False  # a network for each agent, who are told apart by their ids (envs.agents.with_ids)


def make(env: Env, config: Config = Config(), *, loss: Loss | None = None, network=None) -> Algorithm:
    """Returns independent DQN on `env`. `loss`, `network`: as DQN takes them. Raises ValueError where there is one agent, and as
    DQN does."""
    if env.agents is None:
        raise ValueError(f"iql is for several agents, and {env.name} has one: dqn")
    require_discrete(env, "iql")
    network = network or agent_q(env, config.hidden_sizes, config.own_parameters, config.dueling)
    return dqn.make(env, config, loss=loss, network=network)
