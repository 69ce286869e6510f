"""How much do PPO and A2C depend on their learning rate on CartPole, and which is ahead when each has its best one?

    python -m experiments.learning_rate_sweep

The points of a sweep share one compiled program. Seeds 0 to 9 select the best point of each; the run in the folder
`best` compares the two under seeds 10 to 19, which had no part in it.
"""

from experiments.lab.commands.command import main
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.definition.settings import contender
from experiments.lab.definition.sweeps.points import grid

STEPS = 100_000
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)

points = [
    point for name in ("ppo", "a2c") for point in grid(contender(name, "CartPole-v1", STEPS), learning_rate=RATES)
]
experiment = Experiment(tasks=(Task("CartPole-v1", tuple(points)),), seeds=tuple(range(10)), steps=STEPS)

if __name__ == "__main__":
    main(experiment)
