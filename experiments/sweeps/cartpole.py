"""Which learning rates serve DQN and PGQL best on CartPole within 100,000 steps?

    python -m experiments.sweeps.cartpole
    python -m experiments.sweeps.cartpole --only dqn

Four points an algorithm. The other five were not swept here.
"""

from experiments.lab.commands.command import main
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.definition.sweeps.spaces import points_of

STEPS = 100_000
SPACES = {
    "dqn": (
        {"num_envs": 8, "num_steps": 4, "num_updates": 8, "batch_size": 64, "buffer_size": 100_000}
        | {"target_interval": 128, "n_step": 10, "hidden_sizes": (64, 64)},
        {"anneal": 1.0, "exploration_fraction": 0.16, "epsilon_end": 0.04},
        {"learning_rate": (2.5e-4, 5e-4, 1e-3, 2e-3)},
    ),
    "pgql": ({"num_steps": 8}, {"gamma": 0.98, "gae_lambda": 0.9}, {"learning_rate": (1e-3, 2e-3, 4e-3, 8e-3)}),
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
