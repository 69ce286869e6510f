"""QMIX (Rashid et al. 2018, arXiv 1803.11485): deep Q-learning of a team whose value grows with each of its agents', in a way
that the state decides.

    Q(s, a) = w2(s) . elu(W1(s) q(o, a) + b1(s)) + b2(s),   W1, w2 >= 0

The best joint action is each agent's best for its own q, as with VDN, and one agent's action may be worth more the better the
others' are. Games in which it is worth less (or turns about) it cannot tell.
"""

from dataclasses import dataclass

from algos.agents import value_decomposition
from algos.agents.mixing import Hypernetwork, Mixer
from algos.agents.networks import agent_q
from algos.agents.value_decomposition import HParams, td_loss
from algos.core.config import require
from algos.core.types import Algorithm, Loss
from envs import Env

__all__ = ["Config", "HParams", "loss", "make"]


@dataclass(frozen=True)
class Config(value_decomposition.Config):
    """What changes a shape, a trip count or a branch."""

    mixing_size: int = 32  # hidden units of the mixing
    hypernetwork_sizes: tuple[int, ...] = (64,)  # hidden layers of what makes its weights of the state


loss = td_loss(Config().double)


def make(env: Env, config: Config = Config(), *, loss: Loss | None = None, network=None) -> Algorithm:
    """Returns QMIX on `env`. `network`: gives each agent's q [..., actions] of its observation.

    The state is the environment's, or what all agents observe where it has none. Raises ValueError as VDN's, and for
    observations that are no vectors.
    """
    value_decomposition.check(env, config, "qmix")
    require(config, "mixing_size", "hypernetwork_sizes")
    if len(env.observation_shape) != 1:
        raise ValueError(
            f"qmix reads a state of vectors, and {env.name} shows {env.observation_shape}: vdn takes images"
        )
    own, state = (env.observation_shape[0], 0) if env.layout is None else env.layout[:2]
    network = network or agent_q(env, config.hidden_sizes, config.own_parameters)
    mixing = Hypernetwork(env.agents, config.mixing_size, config.hypernetwork_sizes)
    return value_decomposition.build(env, config, loss or td_loss(config.double), Mixer(network, mixing, own, state))
