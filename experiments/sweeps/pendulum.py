"""Which learning rate does A2C need on Pendulum within a million steps?

    python -m experiments.sweeps.pendulum

Four points. A2C makes one gradient step a rollout: with rollouts of 64 or 128 steps it made too few of them to learn,
so that these are short. PPO and TRPO were not swept here.
"""

from experiments.lab.commands.command import main
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.definition.settings import BOTH_NORMALIZED
from experiments.lab.definition.sweeps.spaces import points_of

STEPS = 1_000_000
SPACES = {
    "a2c": (
        {"num_steps": 4} | BOTH_NORMALIZED,
        {"gamma": 0.9, "gae_lambda": 0.9},
        {"learning_rate": (7e-4, 1.5e-3, 3e-3, 6e-3)},
    ),
}

experiment = Experiment(
    tasks=(Task("Pendulum-v1", points_of(SPACES, STEPS)),),
    seeds=(1000, 1001, 1002),
    steps=STEPS,
    evaluations=2,
    eval_episodes=64,
)

if __name__ == "__main__":
    main(experiment)
