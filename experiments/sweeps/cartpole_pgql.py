"""Which settings let PGQL learn CartPole within 100,000 steps?

    python -m experiments.sweeps.cartpole_pgql

24 points, three times as many as the others get in `cartpole.py`, because PGQL was the weakest there: take it for what it
reaches after a wider search. Its alpha is in units of the return, so that what 0.1 is to a return of 1, 3 is to one of 30.
"""

from experiments.lab.commands.command import main
from experiments.lab.definition.sweeps.spaces import sweep

STEPS = 100_000
SPACES = {
    "pgql": (
        {"num_steps": 8},
        {"gamma": 0.98, "gae_lambda": 0.9},
        {"learning_rate": (1e-3, 2e-3, 4e-3), "entropy_coef": (0.1, 0.3, 1.0, 3.0), "eta": (0.2, 0.5)},
    ),
}

experiment = sweep("CartPole-v1", SPACES, STEPS, seeds=5)

if __name__ == "__main__":
    main(experiment)
