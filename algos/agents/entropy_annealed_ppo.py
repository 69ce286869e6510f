"""PPO in self-play with an entropy bonus that is annealed.

    L(theta) as in ppo.py, with c_e(t) = c_0 + (c_end - c_0) t / total_steps

Much entropy early on keeps players from running after each other; as it falls the policy comes nearer to an equilibrium.
arXiv 2502.08938 found PPO with entropy of this size not beaten by deep fictitious play, double oracle and CFR.
"""

from dataclasses import dataclass

from flax import struct

from algos import ppo
from algos.core.config import AMOUNT
from algos.core.optimize import linear, scheduled
from algos.core.types import Algorithm, Loss
from algos.ppo import loss
from envs import Env

__all__ = ["Config", "HParams", "loss", "make"]


@dataclass(frozen=True)
class Config(ppo.Config):
    """PPO's. Advantages stay in units of the payoff, which the entropy is weighed against."""

    num_envs: int = 256
    num_steps: int = 16
    num_epochs: int = 2
    normalize_advantage: bool = False


@struct.dataclass
class HParams(ppo.HParams):
    """PPO's, and where the entropy's coefficient goes."""

    gamma: float = 1.0
    entropy_coef: float = 0.2  # at the beginning
    entropy_coef_end: float = 0.02  # at total_steps
    RANGES = {"entropy_coef_end": AMOUNT}


def make(env: Env, config: Config = Config(), *, loss: Loss = loss, network=None) -> Algorithm:
    """Returns PPO on `env` with annealed entropy. `network`: as PPO takes it."""
    return scheduled(ppo.make(env, config, loss=loss, network=network), "entropy_coef", linear)
