"""GTD2 (Sutton et al. 2009; Sutton and Barto 2018, section 11.7), stable off-policy:

    delta = R + gamma w . x' - w . x
    w <- w + alpha rho (x . h) (x - gamma x')                                                                    (GTD2)
    h <- h + beta rho (delta - x . h) x

All as in `tdc`, but for the step of w: its mean is the same where h is C^-1 E[rho delta x], and another while h learns.
"""

from functools import partial

import jax.numpy as jnp

from algos.core.returns import td_target
from algos.core.types import Algorithm
from algos.linear.features import Features, moved, value
from algos.linear.online import OffPolicyConfig as Config
from algos.linear.online import of_features, prediction, with_second
from algos.linear.tdc import HParams
from algos.tabular.online import Method
from envs import Env


def make(env: Env, config: Config = Config(), *, features: Features | None = None, policy=None,
         behaviour=None) -> Algorithm:  # fmt: skip
    """Returns GTD2 of a policy [S, A], following the behaviour [S, A]; None: as `config` says. features: of an observation,
    None: as `config` names them. Raises ValueError for what has no finite model."""
    return prediction(env, "gtd2", of_features(partial(method, config=config)), config, features, policy, behaviour)


def method(features: Features, config: Config) -> Method:
    """Returns how the weights are begun, and learned from a step."""

    def learn(w, h, step, hparams):
        x, next_x, ratio, along = step.x, step.next_x, step.ratio, value(h, step.x)
        error = td_target(step.reward, step.terminated, value(w, next_x), hparams.gamma) - value(w, x)
        discount = jnp.where(step.terminated, 0.0, hparams.gamma)
        w = moved(w, x, hparams.learning_rate * ratio * along, features.rate)
        w = moved(w, next_x, -hparams.learning_rate * ratio * along * discount, features.rate)
        return w, moved(h, x, hparams.beta * ratio * (error - along), features.rate)

    return Method(with_second(features, config), learn)
