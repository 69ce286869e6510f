"""Which algorithms there are, and what differs from their defaults on each environment."""

from types import ModuleType
from typing import Any

from algos import a2c, dqn, ppo, reinforce
from experiments.lab.experiment import Contender

ALGORITHMS: dict[str, ModuleType] = {"reinforce": reinforce, "a2c": a2c, "ppo": ppo, "dqn": dqn}

# (algorithm, environment): (Config fields, HParams fields)
TUNED: dict[tuple[str, str], tuple[dict[str, Any], dict[str, float]]] = {
    ("reinforce", "CartPole-v1"): ({"num_envs": 1}, {"learning_rate": 5e-3}),
    ("a2c", "CartPole-v1"): ({"num_steps": 8}, {"learning_rate": 1.5e-3, "gae_lambda": 0.95}),
    ("ppo", "CartPole-v1"): (
        {"num_envs": 8, "num_steps": 64, "num_epochs": 10},
        {"learning_rate": 1e-3, "gamma": 0.98, "gae_lambda": 0.9, "entropy_coef": 0.0},
    ),
    ("dqn", "CartPole-v1"): (
        {"buffer_size": 100_000},
        {"learning_rate": 1e-3, "anneal": 1.0, "exploration_fraction": 0.2, "epsilon_end": 0.02},
    ),
}


def contender(name: str, environment: str, steps: int) -> Contender:
    """Returns the algorithm with the settings for the environment and schedules that end with the budget."""
    algorithm = ALGORITHMS[name]
    config, hparams = TUNED.get((name, environment), ({}, {}))
    return Contender(
        name, algorithm, algorithm.Config(**config), algorithm.HParams(total_steps=float(steps), **hparams)
    )
