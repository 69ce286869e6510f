"""Which learning rate serves DQN best on CartPole within 100,000 steps?

    python -m experiments.sweeps.cartpole

Four points. What they share is of the kind that rl-baselines3-zoo publishes, but for returns of ten steps: of one step, the
policy that was learned by 67,000 steps was lost again by 100,000 under some seeds. The other six were not swept here.
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
