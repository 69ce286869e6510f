"""What do PPO, A2C, DQN and PGQL reach on two MinAtar games within a million steps?

    python -m experiments.minatar
    python -m experiments.minatar --seeds 2 --steps 1e5      (a first look)

Hours on a few CPU cores. gymnax's games have no sticky actions and their minimal action sets, so that the tables of the
MinAtar paper (arXiv 1903.03176) are of other tasks; gymnax's own baselines are published at 10 million steps.
"""

from experiments.lab.commands.command import main
from experiments.lab.definition.contenders import contenders
from experiments.lab.definition.experiment import Experiment, Task

STEPS = 1_000_000
GAMES = ("Breakout-MinAtar", "Freeway-MinAtar")
ENTRANTS = ("ppo", "a2c", "dqn", "pgql")

experiment = Experiment(
    tasks=tuple(Task(game, contenders(ENTRANTS, game, STEPS)) for game in GAMES), seeds=tuple(range(5)), steps=STEPS
)

if __name__ == "__main__":
    main(experiment)
