"""Which settings serve A2C, PPO and TRPO best on Pendulum within 300,000 steps?

    python -m experiments.sweeps.pendulum
    python -m experiments.sweeps.pendulum --only a2c

Four points an algorithm.
"""

from experiments.lab.commands.command import main
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.definition.settings import BOTH_NORMALIZED, NORMALIZED, TRUST_REGION
from experiments.lab.definition.sweeps.spaces import points_of

STEPS = 300_000
SPACES = {
    "a2c": (
        {"num_steps": 8, "normalize_advantage": True} | BOTH_NORMALIZED,
        {"gamma": 0.9, "gae_lambda": 0.9},
        {"learning_rate": (7e-4, 1.5e-3, 3e-3, 6e-3)},
    ),
    "ppo": (
        {"num_steps": 1024, "num_epochs": 10, "num_minibatches": 64},
        {"gamma": 0.9, "entropy_coef": 0.0},
        {"learning_rate": (5e-4, 1e-3, 2e-3, 4e-3)},
    ),
    "trpo": (
        TRUST_REGION | {"num_envs": 2, "num_steps": 1024} | NORMALIZED,
        {"gamma": 0.9},
        {"max_kl": (0.005, 0.01, 0.02, 0.04)},
    ),
}

experiment = Experiment(
    tasks=(Task("Pendulum-v1", points_of(SPACES, STEPS)),),
    seeds=(1000, 1001, 1002),
    steps=STEPS,
    evaluations=2,
    eval_episodes=64,
)

if __name__ == "__main__":
    main(experiment)
