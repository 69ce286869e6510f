"""Expected SARSA (van Seijen et al. 2009; Sutton and Barto 2018, section 6.6), pi the epsilon-greedy policy:

Q(S, A) <- Q(S, A) + alpha (R + gamma sum_a pi(a|S') Q(S', a) - Q(S, A))                                     (6.9)
"""

import jax.numpy as jnp

from algos.core.config import require
from algos.core.returns import td_target
from algos.core.types import Algorithm
from algos.tabular.online import Config, Method, by_update, control, table
from algos.tabular.online import ControlHParams as HParams
from envs import Env


def update(q, step, hparams: HParams):
    """Returns Q [S, A] after one step."""
    following = q[step.next_state]
    expected = hparams.epsilon * jnp.mean(following) + (1.0 - hparams.epsilon) * jnp.max(following)
    target = td_target(step.reward, step.terminated, expected, hparams.gamma)
    error = target - q[step.state, step.action]
    return q.at[step.state, step.action].add(hparams.learning_rate * error)


def make(env: Env, config: Config = Config(), *, update=update) -> Algorithm:
    """Returns expected SARSA on `env`. update: (q, step, hparams) -> q. Raises ValueError for what has no finite model."""
    require(config, "num_steps")
    return control(env, "expected_sarsa", method(env, config, update), config.num_steps)


def method(env: Env, config: Config, update=update) -> Method:
    """Returns how the table is begun, and learned from a step."""
    return by_update(lambda hparams: table(*env.model.reward.shape[:2], hparams), update)
