"""Which learning rate lets DQN find the goal of MountainCar under every seed within 300,000 steps?

    python -m experiments.sweeps.mountain_car

Four points. Random actions do not reach the goal within the 200 steps of an episode, and a policy that changes at every
step hardly does; what does now and then is a greedy policy that is kept for a while. So the rollouts are long, 32 steps,
and the updates come together. NPG and TRPO were not swept here.
"""

from experiments.lab.commands.command import main
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.definition.sweeps.spaces import points_of

STEPS = 300_000
SPACES = {
    "dqn": (
        {"num_envs": 8, "num_steps": 32, "num_updates": 64, "buffer_size": 50_000, "hidden_sizes": (64, 64)}
        | {"target_interval": 128, "n_step": 10, "rescale_observation": True},
        {"anneal": 1.0, "epsilon_end": 0.05, "exploration_fraction": 0.05},
        {"learning_rate": (5e-4, 1e-3, 2e-3, 4e-3)},
    ),
}

experiment = Experiment(
    tasks=(Task("MountainCar-v0", points_of(SPACES, STEPS)),),
    seeds=(1000, 1001, 1002),
    steps=STEPS,
    evaluations=4,
    eval_episodes=64,
)

if __name__ == "__main__":
    main(experiment)
