"""TD(0) with gradient correction (Sutton et al. 2009; Sutton and Barto 2018, section 11.7), stable off-policy:

    delta = R + gamma w . x' - w . x
    w <- w + alpha rho (delta x - gamma (x . h) x')                                                              (TDC)
    h <- h + beta rho (delta - x . h) x

x = x(S), x' = x(S'), 0 where the episode ended. rho = pi(A|S) / b(A|S), of this step's action. h, which begins at 0, comes to
C^-1 E[rho delta x], C = E[x x^T]; with that h the mean of w's step is -1/2 the gradient of the projected Bellman error.
"""

from functools import partial

import jax.numpy as jnp
from flax import struct

from algos.core.returns import td_target
from algos.core.types import Algorithm
from algos.linear.features import Features, moved, value
from algos.linear.online import OffPolicyConfig as Config
from algos.linear.online import of_features, prediction, with_second
from algos.tabular.online import Method
from envs import Env


@struct.dataclass
class HParams:
    """Traced numbers: changing one compiles nothing."""

    learning_rate: float = 0.05  # alpha
    beta: float = 0.05  # the learning rate of h
    anneal: float = 0.0  # the share of alpha that is gone at total_steps
    total_steps: float = 100_000.0  # environment steps; an experiment sets its budget here
    gamma: float = 1.0
    initial_value: float = 0.0  # of every weight


def make(env: Env, config: Config = Config(), *, features: Features | None = None, policy=None,
         behaviour=None) -> Algorithm:  # fmt: skip
    """Returns TDC of a policy [S, A], following the behaviour [S, A]; None: as `config` says. features: of an observation,
    None: as `config` names them. Raises ValueError for what has no finite model."""
    return prediction(env, "tdc", of_features(partial(method, config=config)), config, features, policy, behaviour)


def method(features: Features, config: Config) -> Method:
    """Returns how the weights are begun, and learned from a step."""

    def learn(w, h, step, hparams):
        x, next_x, ratio, along = step.x, step.next_x, step.ratio, value(h, step.x)
        error = td_target(step.reward, step.terminated, value(w, next_x), hparams.gamma) - value(w, x)
        correction = jnp.where(step.terminated, 0.0, hparams.gamma * along)
        w = moved(w, x, hparams.learning_rate * ratio * error, features.rate)
        w = moved(w, next_x, -hparams.learning_rate * ratio * correction, features.rate)
        return w, moved(h, x, hparams.beta * ratio * (error - along), features.rate)

    return Method(with_second(features, config), learn)
