"""SARSA (Rummery and Niranjan 1994; Sutton and Barto 2018, section 6.4):

    Q(S, A) <- Q(S, A) + alpha (R + gamma Q(S', A') - Q(S, A))                                                   (6.7)

A' is chosen before the update, and taken after it.
"""

from algos.core.config import require
from algos.core.returns import td_target
from algos.core.types import Algorithm
from algos.tabular.online import Config, Method, by_update, control, table
from algos.tabular.online import ControlHParams as HParams
from envs import Env


def update(q, step, hparams: HParams):
    """Returns Q [S, A] after one step."""
    target = td_target(step.reward, step.terminated, q[step.next_state, step.next_action], hparams.gamma)
    error = target - q[step.state, step.action]
    return q.at[step.state, step.action].add(hparams.learning_rate * error)


def make(env: Env, config: Config = Config(), *, update=update) -> Algorithm:
    """Returns SARSA on `env`. update: (q, step, hparams) -> q. Raises ValueError for what has no finite model."""
    require(config, "num_steps")
    return control(env, "sarsa", method(env, config, update), config.num_steps)


def method(env: Env, config: Config, update=update) -> Method:
    """Returns how the table is begun, and learned from a step."""
    return by_update(lambda hparams: table(*env.model.reward.shape[:2], hparams), update, commits=True)
