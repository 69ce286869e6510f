"""Which learning rates serve A2C and PGQL best on Acrobot within 200,000 steps?

    python -m experiments.sweeps.acrobot
    python -m experiments.sweeps.acrobot --only a2c

Four points an algorithm. DQN, NPG, PPO and TRPO were not swept here.
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
    "pgql": ({"num_steps": 8}, {"gae_lambda": 0.95}, {"learning_rate": (1e-3, 2e-3, 4e-3, 8e-3)}),
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
