"""Which settings bring six ways of self-play nearest to an equilibrium of Kuhn poker within two million steps?

    python -m experiments.sweeps.kuhn

Six points each, judged by NashConv of the average policy.
"""

from experiments.lab.commands.command import main
from experiments.lab.definition.settings import TABLE
from experiments.lab.definition.sweeps.spaces import sweep
from experiments.lab.judging.equilibrium import nash_conv

STEPS = 2_000_000
SPACES = {
    "mmd": (
        TABLE,
        {"temperature": 0.08, "stepsize": 0.05, "max_grad_norm": 0.0},
        {"learning_rate": (0.01, 0.02, 0.04), "temperature_end": (0.02, 0.04)},
    ),
    "entropy_annealed_ppo": (
        TABLE,
        {"clip": 0.1, "entropy_coef": 0.1},
        {"learning_rate": (0.005, 0.01, 0.02), "entropy_coef_end": (0.015, 0.03)},
    ),
    "ppo": (
        TABLE,
        {"gamma": 1.0, "clip": 0.1},
        {"learning_rate": (0.005, 0.01, 0.02), "entropy_coef": (0.05, 0.1)},
    ),
    "nfsp": (
        {"num_envs": 128, "num_steps": 16, "num_updates": 8, "target_interval": 50, "hidden_sizes": (64,)},
        {},
        {"learning_rate": (1e-3, 3e-3, 1e-2), "average_learning_rate": (1e-3, 3e-3)},
    ),
    "neurd": (
        TABLE | {"num_epochs": 1},
        {"temperature": 0.08, "threshold": 2.0, "max_grad_norm": 0.0},
        {"learning_rate": (0.01, 0.02, 0.04), "temperature_end": (0.02, 0.04)},
    ),
    "fictitious_self_play": (
        TABLE | {"num_steps": 4, "num_epochs": 2, "store_interval": 4, "store_size": 256},
        {"anneal": 0.0, "clip": 0.3},
        {"learning_rate": (0.01, 0.02, 0.04), "entropy_coef": (0.08, 0.15)},
    ),
}

experiment = sweep("Kuhn", SPACES, STEPS, seeds=3, judge=nash_conv())

if __name__ == "__main__":
    main(experiment)
