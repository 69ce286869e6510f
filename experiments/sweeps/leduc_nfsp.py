"""Which settings bring NFSP nearest to an equilibrium of Leduc poker within a million steps?

    python -m experiments.sweeps.leduc_nfsp

Eight points, twice as many as the others get in `leduc.py`: its settings were a first guess, with which it was the farthest
away. It makes `num_updates` gradient steps after 2,048 environment steps.
"""

from experiments.lab.commands.command import main
from experiments.lab.definition.sweeps.spaces import sweep
from experiments.lab.judging.equilibrium import nash_conv

STEPS = 1_000_000
SPACES = {
    "nfsp": (
        {"num_envs": 128, "num_steps": 16, "target_interval": 300, "hidden_sizes": (64, 64)}
        | {"buffer_size": 200_000, "reservoir_size": 500_000},
        {},
        {"learning_rate": (1e-3, 3e-3), "anticipatory": (0.1, 0.3), "num_updates": (16, 64)},
    ),
}

experiment = sweep("Leduc", SPACES, STEPS, seeds=3, judge=nash_conv())

if __name__ == "__main__":
    main(experiment)
