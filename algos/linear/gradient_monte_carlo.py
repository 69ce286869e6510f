"""Gradient Monte Carlo prediction (Sutton and Barto 2018, section 9.3): at an episode's end, for each of its steps in turn,

    w <- w + alpha (G_t - w . x(S_t)) x(S_t)                                                                     (9.7)

What it comes to is the projection of the true values, each state weighted by how often episodes come to it. Where a time
limit cuts an episode, its last state is worth what it is held to be.
"""

import jax
import jax.numpy as jnp
from jax import lax

from algos.core.types import Algorithm
from algos.linear.features import Active, Features, moved, value
from algos.linear.online import Config, prediction, weights
from algos.tabular import episodes
from algos.tabular.online import Method
from algos.tabular.online import PredictionHParams as HParams
from envs import Env


def make(env: Env, config: Config = Config(), *, features: Features | None = None, policy=None) -> Algorithm:
    """Returns gradient Monte Carlo of a policy [S, A]; None: any action, all alike. features: of an observation, None: as
    `config` names them. Raises ValueError for what has no finite model."""

    def of(chosen, rows, ratios):
        return method(chosen, config, rows, env.max_steps)

    return prediction(env, "gradient_monte_carlo", of, config, features, policy)


def method(features: Features, config: Config, rows: Active, max_steps: int) -> Method:
    """Returns how the weights are begun, and learned from a step of states whose features are rows [S, k]."""

    def of(state):
        return jax.tree.map(lambda x: jnp.asarray(x)[state], rows)

    def start(hparams):
        w = weights(features.size, hparams, config.begin)
        return w, episodes.no_episode(len(rows.index), max_steps)

    def learn(w, record, step, hparams):
        record = episodes.noted(record, step.state, step.reward)
        ended = step.terminated | step.truncated

        def of_the_episode(w):
            beyond = jnp.where(step.terminated, 0.0, value(w, of(step.next_state)))
            found, steps = episodes.returns(record, True, beyond, hparams.gamma)

            def update(time, w):
                x = of(record.place[time])
                return moved(w, x, hparams.learning_rate * (found[time] - value(w, x)), features.rate)

            return lax.fori_loop(0, steps, update, w)

        return lax.cond(ended, of_the_episode, lambda w: w, w), episodes.over(record, ended)

    return Method(start, learn)
