"""Which settings serve each of seven algorithms best on CartPole within 100,000 steps?

    python -m experiments.sweeps.cartpole
    python -m experiments.sweeps.cartpole --only dqn

Four points an algorithm. What is fixed is of the kind that rl-baselines3-zoo publishes.
"""

from experiments.lab.commands.command import main
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.definition.sweeps.spaces import points_of

STEPS = 100_000
SPACES = {
    "reinforce": ({"num_envs": 1}, {}, {"learning_rate": (2.5e-3, 5e-3, 1e-2, 2e-2)}),
    "a2c": (
        {"num_steps": 8, "normalize_advantage": True},
        {"gamma": 0.98, "gae_lambda": 0.9},
        {"learning_rate": (7.5e-4, 1.5e-3, 3e-3, 6e-3)},
    ),
    "npg": ({}, {}, {"max_kl": (0.005, 0.01, 0.02, 0.04)}),
    "trpo": ({}, {}, {"max_kl": (0.005, 0.01, 0.02, 0.04)}),
    "ppo": (
        {"num_envs": 8, "num_steps": 64, "num_epochs": 5},
        {"gamma": 0.98, "gae_lambda": 0.9, "entropy_coef": 0.0},
        {"learning_rate": (5e-4, 1e-3, 2e-3, 4e-3)},
    ),
    "dqn": (
        {"num_envs": 8, "num_steps": 4, "num_updates": 8, "batch_size": 64, "buffer_size": 100_000}
        | {"target_interval": 128, "n_step": 10, "hidden_sizes": (64, 64)},
        {"anneal": 1.0, "exploration_fraction": 0.16, "epsilon_end": 0.04},
        {"learning_rate": (2.5e-4, 5e-4, 1e-3, 2e-3)},
    ),
    "pgql": (
        {"num_steps": 8},
        {"gamma": 0.98, "gae_lambda": 0.9},
        {"learning_rate": (1e-3, 2e-3, 4e-3, 8e-3)},
    ),
}

experiment = Experiment(
    tasks=(Task("CartPole-v1", points_of(SPACES, STEPS)),),
    seeds=tuple(range(1000, 1005)),
    steps=STEPS,
    evaluations=2,
    eval_episodes=64,
)

if __name__ == "__main__":
    main(experiment)
