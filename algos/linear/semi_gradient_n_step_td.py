"""Semi-gradient n-step TD (Sutton and Barto 2018, section 9.4):

w <- w + alpha (R_{t+1} + ... + gamma^{n-1} R_{t+n} + gamma^n w . x(S_{t+n}) - w . x(S_t)) x(S_t)            (9.15)
"""

from dataclasses import dataclass
from functools import partial

from algos.core.config import require
from algos.core.types import Algorithm
from algos.linear.features import Features, moved, none_active, value
from algos.linear.online import on_states, prediction, weights
from algos.tabular import n_step
from algos.tabular.online import Method
from algos.tabular.online import PredictionHParams as HParams
from envs import Env


@dataclass(frozen=True)
class Config:
    """What changes a shape, a trip count or a branch."""

    n: int = 4
    features: str = ""  # as `algos.linear.named` has them; "": what is observed
    begin: tuple[float, ...] = ()  # the weights before the first step; (): each is `initial_value`
    num_steps: int = 1000  # of the environment, in one call of `step`; every one of them is learned from


def make(env: Env, config: Config = Config(), *, features: Features | None = None, policy=None) -> Algorithm:
    """Returns semi-gradient n-step TD of a policy [S, A]; None: any action, all alike. features: of an observation, None: as
    `config` names them. Raises ValueError for what has no finite model."""
    require(config, "n")

    def of(chosen, rows, ratios):
        return on_states(method(chosen, config, rows.index.shape[1]), rows)

    return prediction(env, "semi_gradient_n_step_td", of, config, features, policy)


def method(features: Features, config: Config, num_active: int) -> Method:
    """Returns how the weights are begun, and learned from a step whose states have `num_active` features each."""

    def start(hparams):
        return weights(features.size, hparams, config.begin), n_step.no_steps(config.n, none_active(num_active))

    def learn(w, window, step, hparams):
        next_value = value(w, step.next_x)
        return n_step.learn(w, window, step.x, step, next_value, hparams, value, partial(moved, rate=features.rate))

    return Method(start, learn)
