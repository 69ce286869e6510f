"""Which settings serve DQN and PGQL best on Catch within 100,000 steps?

    python -m experiments.sweeps.catch

Eight points an algorithm.
"""

from experiments.lab.commands.command import main
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.definition.sweeps.spaces import points_of

STEPS = 100_000
SPACES = {
    "dqn": (
        {},
        {"anneal": 1.0, "epsilon_end": 0.02},
        {"learning_rate": (5e-4, 1e-3, 2e-3, 4e-3), "exploration_fraction": (0.1, 0.2)},
    ),
    "pgql": (
        {"num_steps": 8},
        {"gae_lambda": 0.9},
        {"learning_rate": (5e-4, 1e-3, 2e-3, 4e-3), "entropy_coef": (0.02, 0.05)},
    ),
}

experiment = Experiment(
    tasks=(Task("Catch-bsuite", points_of(SPACES, STEPS)),),
    seeds=(1000, 1001, 1002),
    steps=STEPS,
    evaluations=2,
    eval_episodes=64,
)

if __name__ == "__main__":
    main(experiment)
