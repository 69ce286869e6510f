"""Which algorithm solves which of the classic control tasks within 300,000 steps?

    python -m experiments.classic_control

Each environment meets the contenders that `lab/definition/settings.py` has settings for there; continuous actions leave out those
that need discrete ones. Others publish results for all five: rl-baselines3-zoo at 20,000 to 1,000,000 steps, CleanRL at
500,000. Give `--steps` to meet one of them.
"""

from experiments.lab.commands.command import main
from experiments.lab.definition.contenders import contenders
from experiments.lab.definition.experiment import Experiment, Task

STEPS = 300_000
ENTRANTS = {
    "CartPole-v1": ("reinforce", "a2c", "npg", "trpo", "ppo", "dqn", "pgql"),
    "Acrobot-v1": ("a2c", "npg", "trpo", "ppo", "dqn"),
    "MountainCar-v0": ("npg", "trpo", "dqn"),
    "Pendulum-v1": ("a2c", "trpo", "ppo"),
    "MountainCarContinuous-v0": ("a2c", "trpo", "ppo"),
}

experiment = Experiment(
    tasks=tuple(Task(environment, contenders(names, environment, STEPS)) for environment, names in ENTRANTS.items()),
    seeds=tuple(range(10)),
    steps=STEPS,
)

if __name__ == "__main__":
    main(experiment)
