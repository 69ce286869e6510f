"""Which settings bring five ways of self-play nearest to an equilibrium of Leduc poker within two million steps?

    python -m experiments.sweeps.leduc

Four points each, judged by NashConv of the average policy. NFSP has more, in `leduc_nfsp.py`.
"""

from experiments.lab.commands.command import main
from experiments.lab.definition.settings import SPELLED
from experiments.lab.definition.sweeps.spaces import sweep
from experiments.lab.judging.equilibrium import nash_conv

STEPS = 2_000_000
SPACES = {
    "mmd": (
        SPELLED,
        {"temperature": 0.5, "stepsize": 0.05, "value_coef": 0.1, "max_grad_norm": 0.0},
        {"learning_rate": (0.005, 0.01), "temperature_end": (0.05, 0.1)},
    ),
    "entropy_annealed_ppo": (
        SPELLED,
        {"clip": 0.1, "entropy_coef": 0.3, "max_grad_norm": 0.0},
        {"learning_rate": (2.5e-3, 5e-3), "entropy_coef_end": (0.05, 0.1)},
    ),
    "ppo": (
        SPELLED,
        {"gamma": 1.0, "clip": 0.1, "max_grad_norm": 0.0},
        {"learning_rate": (2.5e-3, 5e-3), "entropy_coef": (0.1, 0.15)},
    ),
    "neurd": (
        SPELLED | {"num_epochs": 1, "num_minibatches": 1},
        {"temperature": 0.4, "value_coef": 0.1, "max_grad_norm": 0.0},
        {"learning_rate": (0.01, 0.02), "temperature_end": (0.05, 0.1)},
    ),
    "fictitious_self_play": (
        SPELLED | {"num_steps": 8, "store_size": 256, "store_interval": 4},
        {"anneal": 0.0, "clip": 0.2, "max_grad_norm": 0.0},
        {"learning_rate": (0.005, 0.01), "entropy_coef": (0.4, 0.7)},
    ),
}

experiment = sweep("Leduc", SPACES, STEPS, seeds=3, judge=nash_conv())

if __name__ == "__main__":
    main(experiment)
