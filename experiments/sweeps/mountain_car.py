"""Which settings let DQN and TRPO find the goal of MountainCar under every seed within 300,000 steps?

    python -m experiments.sweeps.mountain_car

Four points each. Random actions do not reach the goal within the 200 steps of an episode, and a policy that changes at every
step hardly does; what does now and then is a greedy policy that is kept for a while. So DQN's rollouts are long, 32 steps,
and the updates come together. NPG was not swept here.
"""

from experiments.lab.commands.command import main
from experiments.lab.definition.settings import NORMALIZED, TRUST_REGION
from experiments.lab.definition.sweeps.spaces import sweep

STEPS = 300_000
SPACES = {
    "dqn": (
        {"num_envs": 8, "num_steps": 32, "num_updates": 64, "buffer_size": 50_000, "hidden_sizes": (64, 64)}
        | {"target_interval": 128, "n_step": 10, "rescale_observation": True},
        {"anneal": 1.0, "epsilon_end": 0.05, "exploration_fraction": 0.05},
        {"learning_rate": (5e-4, 1e-3, 2e-3, 4e-3)},
    ),
    "trpo": (
        TRUST_REGION | NORMALIZED,
        {"gae_lambda": 0.98},
        {"max_kl": (0.005, 0.01, 0.02, 0.04)},
    ),
}

experiment = sweep("MountainCar-v0", SPACES, STEPS, seeds=3, evaluations=4)

if __name__ == "__main__":
    main(experiment)
