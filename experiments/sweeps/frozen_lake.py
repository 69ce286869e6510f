"""Which settings bring five algorithms nearest to the best policy of FrozenLake within 300,000 steps?

    python -m experiments.sweeps.frozen_lake

Six points each, judged by the exact return of the greedy policy.
"""

from experiments.lab.commands.command import main
from experiments.lab.definition.settings import TRUST_REGION
from experiments.lab.definition.sweeps.spaces import sweep
from experiments.lab.judging.judges import exact_return

STEPS = 300_000
SPACES = {
    "pgql": (
        {},
        {"gae_lambda": 0.9},
        {"learning_rate": (1e-3, 2e-3, 4e-3), "entropy_coef": (0.02, 0.05)},
    ),
    "ppo": (
        {"num_envs": 16, "num_steps": 128, "num_epochs": 10, "num_minibatches": 8},
        {},
        {"learning_rate": (5e-4, 1e-3, 2e-3), "entropy_coef": (0.01, 0.03)},
    ),
    "trpo": (
        TRUST_REGION,
        {},
        {"max_kl": (0.005, 0.01, 0.02), "gae_lambda": (0.9, 0.95)},
    ),
    "dqn": (
        {"hidden_sizes": (64, 64)},
        {"anneal": 1.0},
        {"learning_rate": (2.5e-4, 5e-4, 1e-3), "epsilon_end": (0.1, 0.3)},
    ),
    "q_learning": (
        {},
        {"anneal": 1.0},
        {"learning_rate": (0.1, 0.2, 0.4), "epsilon": (0.3, 0.6)},
    ),
}

experiment = sweep("FrozenLake-4x4", SPACES, STEPS, seeds=3, judge=exact_return())

if __name__ == "__main__":
    main(experiment)
