"""How do seven algorithms compare on CartPole, at the same settings for every seed, within 100,000 steps?

    python -m experiments.cartpole
    python -m experiments.cartpole --seeds 30 --only ppo trpo --set ppo.learning_rate=5e-4

Every contender has its settings for CartPole from `lab/definition/settings.py`.
"""

from experiments.lab.commands.command import main
from experiments.lab.definition.contenders import contenders
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.definition.settings import ALGORITHMS

STEPS = 100_000

experiment = Experiment(
    tasks=(Task("CartPole-v1", contenders(list(ALGORITHMS), "CartPole-v1", STEPS)),),
    seeds=tuple(range(10)),
    steps=STEPS,
)

if __name__ == "__main__":
    main(experiment)
