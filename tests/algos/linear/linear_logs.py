"""Features of the logs' states for tests, and methods of features over such logs."""

import jax.numpy as jnp
import logs
import numpy as np

from algos.linear.features import Active, Features, table
from algos.linear.online import Step, on_states
from algos.tabular.online import Method

D = 4
RANDOM = np.random.default_rng(1)
X = RANDOM.normal(size=(logs.STATES, D))  # features of five states, any numbers
RATE = np.array([1.0, 0.5, 2.0, 0.8])
RATIOS = RANDOM.choice([0.0, 0.5, 1.5, 2.0], size=(logs.STATES, logs.ACTIONS))
EVERY = np.arange(D, dtype=np.int32)
FEATURES = Features(D, lambda state: Active(jnp.asarray(EVERY), jnp.asarray(X)[state]), RATE)
ROWS = Active(np.tile(EVERY, (logs.STATES, 1)), X)

TABLE = table(logs.STATES)
TABLE_ROWS = Active(np.arange(logs.STATES, dtype=np.int32)[:, None], np.ones((logs.STATES, 1)))


def learned(method: Method, log, hparams, rows=ROWS, ratios=None):
    """Returns the weights after every step of the log, NumPy [T, ...]."""
    return logs.learned(on_states(method, rows, ratios), log, hparams)


def one_step(method: Method, memory, w, state, action, reward, next_state, terminated, ratio=1.0, hparams=None):
    """Returns (w, memory) after one step from weights and a memory that are given."""
    x, next_x = (Active(jnp.asarray(EVERY), jnp.asarray(X)[s]) for s in (state, next_state))
    step = Step(x, action, jnp.asarray(reward), next_x, 0, jnp.asarray(terminated), jnp.asarray(False), ratio)
    return method.learn(jnp.asarray(w), memory, step, hparams)
