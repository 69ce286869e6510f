"""Which settings serve DQN, NPG and TRPO best on MountainCar within 300,000 steps?

    python -m experiments.sweeps.mountain_car
    python -m experiments.sweeps.mountain_car --only dqn

Four points an algorithm.
"""

from experiments.lab.commands.command import main
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.definition.settings import NORMALIZED, TRUST_REGION
from experiments.lab.definition.sweeps.spaces import points_of

STEPS = 300_000
TRUST = (TRUST_REGION | NORMALIZED, {"gae_lambda": 0.98}, {"max_kl": (0.005, 0.01, 0.02, 0.04)})
SPACES = {
    "npg": TRUST,
    "trpo": TRUST,
    "dqn": (
        {"num_envs": 8, "num_steps": 2, "num_updates": 8, "buffer_size": 50_000, "hidden_sizes": (64, 64)}
        | {"target_interval": 300, "rescale_observation": True},
        {"anneal": 1.0, "epsilon_end": 0.05, "exploration_fraction": 0.05, "gamma": 0.98},
        {"learning_rate": (1e-3, 2e-3, 4e-3, 8e-3)},
    ),
}

experiment = Experiment(
    tasks=(Task("MountainCar-v0", points_of(SPACES, STEPS)),),
    seeds=(1000, 1001, 1002),
    steps=STEPS,
    evaluations=2,
    eval_episodes=64,
)

if __name__ == "__main__":
    main(experiment)
