"""Which learning rate serves A2C best on Acrobot within 200,000 steps?

    python -m experiments.sweeps.acrobot

Four points. DQN, NPG, PGQL, PPO and TRPO were not swept here.
"""

from experiments.lab.commands.command import main
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.definition.settings import BOTH_NORMALIZED
from experiments.lab.definition.sweeps.spaces import points_of

STEPS = 200_000
SPACES = {
    "a2c": (
        BOTH_NORMALIZED,
        {"gae_lambda": 0.95, "entropy_coef": 0.01},
        {"learning_rate": (1e-3, 2e-3, 4e-3, 8e-3)},
    ),
}

experiment = Experiment(
    tasks=(Task("Acrobot-v1", points_of(SPACES, STEPS)),),
    seeds=(1000, 1001, 1002),
    steps=STEPS,
    evaluations=2,
    eval_episodes=64,
)

if __name__ == "__main__":
    main(experiment)
