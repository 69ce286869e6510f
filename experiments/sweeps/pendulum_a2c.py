"""Which learning rate does A2C need on Pendulum within a million steps, so that no seed is left behind?

    python -m experiments.sweeps.pendulum_a2c

Eight points. A2C makes one gradient step a rollout: with rollouts of 64 or 128 steps it made too few of them to learn, so
that these are short. An earlier sweep, of 0.0007, 0.0015, 0.003 and 0.006 under three seeds, took 0.0015, which left two of ten
other seeds behind: judge a point by its mean as well as by its IQM.
"""

from experiments.lab.commands.command import main
from experiments.lab.definition.settings import BOTH_NORMALIZED
from experiments.lab.definition.sweeps.spaces import sweep

STEPS = 1_000_000
SPACES = {
    "a2c": (
        {"num_steps": 4} | BOTH_NORMALIZED,
        {"gamma": 0.9, "gae_lambda": 0.9},
        {"learning_rate": (5e-4, 7e-4, 1e-3, 1.5e-3), "num_envs": (8, 16)},
    ),
}

experiment = sweep("Pendulum-v1", SPACES, STEPS, seeds=5)

if __name__ == "__main__":
    main(experiment)
