"""Which learning rates serve DQN and PGQL best on Catch within 100,000 steps?

    python -m experiments.sweeps.catch

Four points each.
"""

from experiments.lab.commands.command import main
from experiments.lab.definition.sweeps.spaces import sweep

STEPS = 100_000
SPACES = {
    "dqn": (
        {},
        {"anneal": 1.0, "exploration_fraction": 0.2, "epsilon_end": 0.02},
        {"learning_rate": (2.5e-4, 5e-4, 1e-3, 2e-3)},
    ),
    "pgql": (
        {"num_steps": 8},
        {"gae_lambda": 0.9, "entropy_coef": 0.05},
        {"learning_rate": (5e-4, 1e-3, 2e-3, 4e-3)},
    ),
}

experiment = sweep("Catch-bsuite", SPACES, STEPS, seeds=5)

if __name__ == "__main__":
    main(experiment)
