"""Every algorithm finds value and policy of every probe environment (probes.py). A new algorithm joins `LEARNERS`."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import probes
import pytest

from algos import a2c, dqn, pgql, ppo, reinforce, trpo
from algos.core.loop import advance, no_metrics
from algos.core.networks import ActorCritic, QNetwork
from envs import Discrete

GAMMA = 0.8
LAST_SUMS = np.cumsum(GAMMA ** np.arange(probes.LIMIT))  # of 1, 2, ... LIMIT rewards of 1


class Learner(NamedTuple):
    module: Any
    config: Any
    hparams: Any
    num_updates: int
    network: Any
    value: Callable  # what the network gives for an observation -> the value of its state


def state_value(outputs):
    return outputs[1]


def best_action_value(outputs):
    return jnp.max(outputs, axis=-1)


ACTOR_CRITIC = ActorCritic((probes.STATES,), Discrete(2), (8,))
Q_NETWORK = QNetwork((probes.STATES,), 2, (8,))


def learner(module, config, num_updates, network=ACTOR_CRITIC, value=state_value, **fields) -> Learner:
    steps = module.make(probes.probe_env(probes.constant_reward()), config).steps_per_update
    hparams = module.HParams(total_steps=float(num_updates * steps), gamma=GAMMA, **fields)
    return Learner(module, config, hparams, num_updates, network, value)


def trust_region_learner(**fields) -> Learner:
    config = trpo.Config(num_envs=8, num_steps=16, value_minibatches=2, **fields)
    return learner(trpo, config, 150, max_kl=0.02, value_learning_rate=0.01)


LEARNERS = {
    "reinforce": learner(reinforce, reinforce.Config(num_envs=16), 300, learning_rate=0.02),
    "a2c": learner(a2c, a2c.Config(num_envs=16, num_steps=8), 300, learning_rate=0.02),
    "ppo": learner(ppo, ppo.Config(num_envs=8, num_steps=16, num_epochs=4, num_minibatches=2), 150, learning_rate=0.01),
    "npg": trust_region_learner(line_search=False),
    "trpo": trust_region_learner(),
    "dqn": learner(
        dqn,
        dqn.Config(num_envs=8, num_updates=4, warmup_steps=400, target_interval=10),
        300,
        network=Q_NETWORK,
        value=best_action_value,
        learning_rate=0.02,
        anneal=0.9,
    ),
    "pgql": learner(
        pgql, pgql.Config(num_envs=16, num_steps=8, warmup_steps=400), 300, learning_rate=0.02, entropy_coef=0.2
    ),
}
BOOTSTRAPPING = ["a2c", "ppo", "npg", "trpo", "dqn", "pgql"]

# name -> (values of the states met, best actions there or None)
KNOWN = {
    "constant_reward": ([1.0], None),
    "delayed_reward": ([GAMMA, 1.0], None),
    "observation_reward": ([-1.0, 1.0], None),
    "action_reward": ([1.0], [1]),
    "matching_reward": ([1.0, 1.0], [0, 1]),
    "terminated_late": (LAST_SUMS[::-1], None),
}
NAMES = [*KNOWN, "cut_for_ever", "cut_before_reward"]


@functools.cache
def learned(name: str):
    """Returns (value, greedy action), each {probe: [STATES]}, after training on every probe in one compiled program."""
    module, config, hparams, num_updates, network, value = LEARNERS[name]

    def train(probe, key):
        algorithm = module.make(probes.probe_env(probe), config, network=network)
        state = algorithm.init(key, hparams)
        state, _ = advance(algorithm, state, hparams, no_metrics(algorithm, state, hparams), num_updates)
        greedy = algorithm.act(state, key, probe.observation, False)
        value_params = getattr(state, "value_params", state.params)
        return value(network.apply(value_params, probe.observation)), greedy

    tables = jax.tree.map(lambda *rows: jnp.stack(rows), *(getattr(probes, probe)() for probe in NAMES))
    values, actions = probes.quick_jit(jax.vmap(train, (0, None)))(tables, jax.random.key(0))
    return dict(zip(NAMES, np.asarray(values))), dict(zip(NAMES, np.asarray(actions)))


every_learner = pytest.mark.parametrize("name", LEARNERS)


@every_learner
@pytest.mark.parametrize("probe", KNOWN)
def test_values_and_best_actions_of_the_probe_are_found(probe, name):
    values, actions = learned(name)
    expected, best = KNOWN[probe]
    np.testing.assert_allclose(values[probe][: len(expected)], expected, atol=0.1)
    if best is not None:
        np.testing.assert_array_equal(actions[probe][: len(best)], best)


@pytest.mark.parametrize("name", BOOTSTRAPPING)
def test_a_truncated_episode_is_worth_what_it_would_go_on_to_earn(name):
    values, _ = learned(name)
    np.testing.assert_allclose(values["cut_for_ever"][0], 1.0 / (1.0 - GAMMA), rtol=0.05)
    np.testing.assert_allclose(values["cut_before_reward"][:2], [GAMMA, 1.0], atol=0.1)


def test_reinforce_bootstraps_nothing_and_values_a_truncated_episode_at_what_it_earned():
    values, _ = learned("reinforce")
    np.testing.assert_allclose(values["cut_for_ever"][0], LAST_SUMS.mean(), rtol=0.05)
    np.testing.assert_allclose(values["cut_before_reward"][:2], [0.0, 1.0], atol=0.1)
