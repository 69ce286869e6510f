"""Which settings serve A2C, PPO and TRPO best on MountainCarContinuous within 100,000 steps?

    python -m experiments.sweeps.mountain_car_continuous

Eight points an algorithm.
"""

from experiments.lab.commands.command import main
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.definition.settings import BOTH_NORMALIZED, TRUST_REGION
from experiments.lab.definition.sweeps.spaces import points_of

STEPS = 100_000
SPACES = {
    "a2c": (
        {"num_envs": 4, "num_steps": 64} | BOTH_NORMALIZED,
        {},
        {"learning_rate": (5e-4, 1e-3, 2e-3, 4e-3), "gae_lambda": (0.9, 0.95)},
    ),
    "ppo": (
        {"num_steps": 256, "num_epochs": 10, "num_minibatches": 16} | BOTH_NORMALIZED,
        {"gamma": 0.9999, "entropy_coef": 0.0},
        {"learning_rate": (5e-4, 1e-3, 2e-3, 4e-3), "gae_lambda": (0.9, 0.95)},
    ),
    "trpo": (
        TRUST_REGION | {"num_envs": 4, "num_steps": 256} | BOTH_NORMALIZED,
        {"gamma": 0.9999},
        {"max_kl": (0.005, 0.01, 0.02, 0.04), "gae_lambda": (0.9, 0.95)},
    ),
}

experiment = Experiment(
    tasks=(Task("MountainCarContinuous-v0", points_of(SPACES, STEPS)),),
    seeds=(1000, 1001, 1002),
    steps=STEPS,
    evaluations=2,
    eval_episodes=64,
)

if __name__ == "__main__":
    main(experiment)
