"""Which settings serve three algorithms best on MinAtar's Breakout within 100,000 steps?

    python -m experiments.sweeps.breakout

Six points each. 64 environments, which serve A2C and PGQL within a million steps, leave them a hundred updates within these:
16 make four times as many. PPO was not swept here.
"""

from experiments.lab.commands.command import main
from experiments.lab.definition.settings import MANY_GAMES, REPLAYED
from experiments.lab.definition.sweeps.spaces import sweep

STEPS = 100_000
SPACES = {
    "dqn": (
        REPLAYED | {"target_interval": 100, "hidden_sizes": (128, 128)},
        {},
        {"learning_rate": (1.25e-4, 2.5e-4, 5e-4), "exploration_fraction": (0.1, 0.3)},
    ),
    "pgql": (
        MANY_GAMES | REPLAYED,
        {"gae_lambda": 0.95, "entropy_coef": 0.03},
        {"learning_rate": (1e-3, 2e-3, 4e-3), "num_envs": (16, 64)},
    ),
    "a2c": (
        MANY_GAMES | {"num_steps": 16},
        {"gae_lambda": 0.95, "entropy_coef": 0.01},
        {"learning_rate": (1e-3, 2e-3, 4e-3), "num_envs": (16, 64)},
    ),
}

experiment = sweep("Breakout-MinAtar", SPACES, STEPS, seeds=3)

if __name__ == "__main__":
    main(experiment)
