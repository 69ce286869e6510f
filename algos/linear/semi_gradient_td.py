"""Semi-gradient TD(lambda) with accumulating traces (Sutton and Barto 2018, sections 9.3, 12.2 and 12.9), lambda = 0: TD(0).

    delta = R + gamma w . x(S') - w . x(S)                                                                       (12.6)
    z <- rho (gamma lambda z + x(S))                                                                             (12.25)
    w <- w + alpha delta z                                                                                       (12.7)

rho = pi(A|S) / b(A|S) is that of the action whose outcome delta tells: this step's, not the last one's. On-policy it is 1.
Off-policy the weights may grow without bound (Baird 1995). Traces begin at 0 with each episode.
"""

from functools import partial

import jax.numpy as jnp
from flax import struct

from algos.core.returns import td_target
from algos.core.types import Algorithm
from algos.linear.features import Active, Features, value
from algos.linear.online import OffPolicyConfig as Config
from algos.linear.online import of_features, prediction, with_second
from algos.tabular.online import Method
from envs import Env


@struct.dataclass
class HParams:
    """Traced numbers: changing one compiles nothing."""

    learning_rate: float = 0.1
    anneal: float = 0.0  # the share of the learning rate that is gone at total_steps
    total_steps: float = 100_000.0  # environment steps; an experiment sets its budget here
    gamma: float = 1.0
    lambda_: float = 0.0
    initial_value: float = 0.0  # of every weight


def make(env: Env, config: Config = Config(), *, features: Features | None = None, policy=None,
         behaviour=None) -> Algorithm:  # fmt: skip
    """Returns semi-gradient TD(lambda) of a policy [S, A], following the behaviour [S, A]; None: as `config` says. features:
    of an observation, None: as `config` names them. Raises ValueError for what has no finite model."""
    return prediction(
        env, "semi_gradient_td", of_features(partial(method, config=config)), config, features, policy, behaviour
    )


def method(features: Features, config: Config) -> Method:
    """Returns how the weights are begun, and learned from a step."""

    def learn(w, trace, step, hparams):
        fading = hparams.gamma * hparams.lambda_ * trace
        trace = step.ratio * fading.at[step.x.index].add(step.x.value)
        return moved_along(w, trace, step.x, step.next_x, step, hparams, features.rate)

    return Method(with_second(features, config), learn)


def moved_along(w, trace, x: Active, next_x: Active, step, hparams, rate):
    """Returns (w [d] moved by delta along the trace [d], the trace, 0 where the episode ended)."""
    error = td_target(step.reward, step.terminated, value(w, next_x), hparams.gamma) - value(w, x)
    w = w + hparams.learning_rate * error * (jnp.asarray(rate, w.dtype) * trace)
    return w, jnp.where(step.terminated | step.truncated, 0.0, trace)
