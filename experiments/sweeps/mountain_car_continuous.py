"""Which settings serve three algorithms best on MountainCarContinuous within 100,000 steps?

    python -m experiments.sweeps.mountain_car_continuous

Eight points each.
"""

from experiments.lab.commands.command import main
from experiments.lab.definition.settings import BOTH_NORMALIZED, TRUST_REGION
from experiments.lab.definition.sweeps.spaces import sweep

STEPS = 100_000
SPACES = {
    "trpo": (
        TRUST_REGION | {"num_envs": 4, "num_steps": 256} | BOTH_NORMALIZED,
        {"gamma": 0.9999},
        {"max_kl": (0.005, 0.01, 0.02, 0.04), "gae_lambda": (0.9, 0.95)},
    ),
    "ppo": (
        {"num_steps": 256, "num_epochs": 10, "num_minibatches": 16} | BOTH_NORMALIZED,
        {"gamma": 0.9999, "entropy_coef": 0.0},
        {"learning_rate": (5e-4, 1e-3, 2e-3, 4e-3), "gae_lambda": (0.9, 0.95)},
    ),
    "a2c": (
        {"num_envs": 4, "num_steps": 64} | BOTH_NORMALIZED,
        {"gae_lambda": 0.9},
        {"learning_rate": (5e-4, 1e-3, 2e-3, 4e-3), "gamma": (0.99, 0.9999)},
    ),
}

experiment = sweep("MountainCarContinuous-v0", SPACES, STEPS, seeds=5)

if __name__ == "__main__":
    main(experiment)
