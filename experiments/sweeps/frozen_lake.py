"""Which settings serve each of five algorithms best on FrozenLake within 300,000 steps, by the exact return?

    python -m experiments.sweeps.frozen_lake

Eight points an algorithm.
"""

from experiments.lab.commands.command import main
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.definition.settings import TRUST_REGION
from experiments.lab.definition.sweeps.spaces import points_of
from experiments.lab.judging.judges import exact_return

STEPS = 300_000
SPACES = {
    "pgql": (
        {},
        {"gae_lambda": 0.9},
        {"learning_rate": (5e-4, 1e-3, 2e-3, 4e-3), "entropy_coef": (0.01, 0.02)},
    ),
    "ppo": (
        {"num_envs": 16, "num_steps": 128, "num_epochs": 10, "num_minibatches": 8},
        {},
        {"learning_rate": (3e-4, 1e-3, 2e-3, 4e-3), "entropy_coef": (0.0, 0.01)},
    ),
    "trpo": (TRUST_REGION, {}, {"max_kl": (0.005, 0.01, 0.02, 0.04), "gae_lambda": (0.95, 0.98)}),
    "dqn": (
        {"hidden_sizes": (64, 64)},
        {"anneal": 1.0},
        {"learning_rate": (2.5e-4, 5e-4, 1e-3, 2e-3), "epsilon_end": (0.05, 0.1)},
    ),
    "q_learning": ({}, {"anneal": 1.0}, {"learning_rate": (0.05, 0.1, 0.2, 0.4), "epsilon": (0.1, 0.3)}),
}

experiment = Experiment(
    tasks=(Task("FrozenLake-4x4", points_of(SPACES, STEPS), judge=exact_return()),),
    seeds=(1000, 1001, 1002),
    steps=STEPS,
    evaluations=2,
)

if __name__ == "__main__":
    main(experiment)
