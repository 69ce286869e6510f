"""Value decomposition networks (Sunehag et al. 2017, arXiv 1706.05296): deep Q-learning of a team whose value is the sum of its
agents'.

    Q(s, a) = sum_i q_i(o_i, a_i)

The best joint action is each agent's best for its own q. What one agent's action is worth must not depend on another's: then the
sum is exact, and otherwise the nearest by least squares over what was played.
"""

from algos.agents import value_decomposition
from algos.agents.mixing import Sum
from algos.agents.networks import agent_q
from algos.agents.value_decomposition import Config, HParams, td_loss
from algos.core.types import Algorithm, Loss
from envs import Env

__all__ = ["Config", "HParams", "loss", "make"]

loss = td_loss(Config().double)


def make(env: Env, config: Config = Config(), *, loss: Loss | None = None, network=None) -> Algorithm:
    """Returns VDN on `env`. `network`: gives each agent's q [..., actions] of its observation.

    Raises ValueError where there is one agent, actions are continuous or turns are taken, and for settings that cannot be.
    """
    value_decomposition.check(env, config, "vdn")
    network = network or agent_q(env, config.hidden_sizes, config.own_parameters)
    return value_decomposition.build(env, config, loss or td_loss(config.double), Sum(network))
