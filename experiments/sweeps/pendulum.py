"""Which settings serve PPO and TRPO best on Pendulum within 300,000 steps?

    python -m experiments.sweeps.pendulum

Eight points each. A2C, which needs a million steps, is in `pendulum_a2c.py`.
"""

from experiments.lab.commands.command import main
from experiments.lab.definition.settings import NORMALIZED, TRUST_REGION
from experiments.lab.definition.sweeps.spaces import sweep

STEPS = 300_000
SPACES = {
    "ppo": (
        {"num_steps": 1024, "num_epochs": 10, "num_minibatches": 64},
        {"gamma": 0.9, "entropy_coef": 0.0},
        {"learning_rate": (5e-4, 1e-3, 2e-3, 4e-3), "gae_lambda": (0.9, 0.95)},
    ),
    "trpo": (
        TRUST_REGION | {"num_envs": 2, "num_steps": 1024} | NORMALIZED,
        {"gamma": 0.9},
        {"max_kl": (0.005, 0.01, 0.02, 0.04), "gae_lambda": (0.9, 0.95)},
    ),
}

experiment = sweep("Pendulum-v1", SPACES, STEPS, seeds=3)

if __name__ == "__main__":
    main(experiment)
