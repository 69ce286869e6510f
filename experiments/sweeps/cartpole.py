"""Which settings serve six algorithms best on CartPole within 100,000 steps?

    python -m experiments.sweeps.cartpole
    python -m experiments.sweeps.cartpole --only dqn

Eight points each: four learning rates, or steps in nats, and two values of one field more. What an algorithm's points share
is of the kind that rl-baselines3-zoo publishes; DQN's returns are of ten steps, for of one step, the policy that was learned
by 67,000 steps was lost again by 100,000 under some seeds. PGQL has more points, in `cartpole_pgql.py`.
"""

from experiments.lab.commands.command import main
from experiments.lab.definition.settings import LONG_EPOCHS
from experiments.lab.definition.sweeps.spaces import sweep

TRUST = ({}, {}, {"max_kl": (0.005, 0.01, 0.02, 0.04), "gamma": (0.98, 0.99)})
STEPS = 100_000
SPACES = {
    "reinforce": (
        {"num_envs": 1},
        {},
        {"learning_rate": (2.5e-3, 5e-3, 1e-2, 2e-2), "gamma": (0.98, 0.99)},
    ),
    "a2c": (
        {"num_steps": 8},
        {"gamma": 0.98},
        {"learning_rate": (7.5e-4, 1.5e-3, 3e-3, 6e-3), "gae_lambda": (0.9, 1.0)},
    ),
    "npg": TRUST,
    "trpo": TRUST,
    "ppo": (
        LONG_EPOCHS | {"num_epochs": 5},
        {"gamma": 0.98, "entropy_coef": 0.0},
        {"learning_rate": (5e-4, 1e-3, 2e-3, 4e-3), "gae_lambda": (0.8, 0.9)},
    ),
    "dqn": (
        {"num_envs": 8, "num_steps": 4, "num_updates": 8, "batch_size": 64, "buffer_size": 100_000}
        | {"target_interval": 128, "n_step": 10, "hidden_sizes": (64, 64)},
        {"anneal": 1.0, "exploration_fraction": 0.16, "epsilon_end": 0.04},
        {"learning_rate": (2.5e-4, 5e-4, 1e-3, 2e-3), "gamma": (0.98, 0.99)},
    ),
}

experiment = sweep("CartPole-v1", SPACES, STEPS, seeds=5)

if __name__ == "__main__":
    main(experiment)
