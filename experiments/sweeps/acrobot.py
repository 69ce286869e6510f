"""Which settings serve five algorithms best on Acrobot within 200,000 steps?

    python -m experiments.sweeps.acrobot
    python -m experiments.sweeps.acrobot --only a2c

Eight points each.
"""

from experiments.lab.commands.command import main
from experiments.lab.definition.settings import BOTH_NORMALIZED, LONG_EPOCHS, NORMALIZED, TRUST_REGION
from experiments.lab.definition.sweeps.spaces import sweep

STEPS = 200_000
SPACES = {
    "a2c": (
        BOTH_NORMALIZED,
        {"gae_lambda": 0.95},
        {"learning_rate": (1e-3, 2e-3, 4e-3, 8e-3), "entropy_coef": (0.0, 0.01)},
    ),
    "ppo": (
        LONG_EPOCHS,
        {},
        {"learning_rate": (5e-4, 1e-3, 2e-3, 4e-3), "entropy_coef": (0.0, 0.01)},
    ),
    "trpo": (
        TRUST_REGION | NORMALIZED,
        {},
        {"max_kl": (0.005, 0.01, 0.02, 0.04), "gae_lambda": (0.9, 0.95)},
    ),
    "dqn": (
        {"buffer_size": 100_000},
        {"anneal": 1.0, "epsilon_end": 0.02},
        {"learning_rate": (2.5e-4, 5e-4, 1e-3, 2e-3), "exploration_fraction": (0.1, 0.2)},
    ),
    "pgql": (
        {},
        {},
        {"learning_rate": (1e-3, 2e-3), "gae_lambda": (0.9, 1.0), "entropy_coef": (0.1, 0.5)},
    ),
}

experiment = sweep("Acrobot-v1", SPACES, STEPS, seeds=3)

if __name__ == "__main__":
    main(experiment)
