"""TD(0) (Sutton 1988; Sutton and Barto 2018, section 6.1):

V(S) <- V(S) + alpha (R + gamma V(S') - V(S))                                                                (6.2)
"""

from algos.core.config import require
from algos.core.returns import td_target
from algos.core.types import Algorithm
from algos.tabular.online import Config, Method, by_update, prediction, values
from algos.tabular.online import PredictionHParams as HParams
from envs import Env


def update(v, step, hparams: HParams):
    """Returns V [S] after one step."""
    target = td_target(step.reward, step.terminated, v[step.next_state], hparams.gamma)
    return v.at[step.state].add(hparams.learning_rate * (target - v[step.state]))


def make(env: Env, config: Config = Config(), *, update=update, policy=None) -> Algorithm:
    """Returns TD(0) of a policy [S, A]; None: any action, all alike. update: (v, step, hparams) -> v. Raises ValueError
    for what has no finite model."""
    require(config, "num_steps")
    return prediction(env, "td", method(env, config, update), config.num_steps, policy)


def method(env: Env, config: Config, update=update) -> Method:
    """Returns how the table is begun, and learned from a step."""
    return by_update(lambda hparams: values(env.model.num_states, hparams), update)
