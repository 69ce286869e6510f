"""Which learning rates serve IPPO and MAPPO best on spread within a million steps?

    python -m experiments.sweeps.spread

Four points each, judged between random actions and the script. VDN and QMIX are in `spread_values.py`.
"""

from experiments.lab.commands.command import main
from experiments.lab.definition.settings import TEAM_STEPS
from experiments.lab.definition.sweeps.spaces import sweep
from experiments.lab.judging.spread import normalised_return

TEAM = (
    TEAM_STEPS,
    {"gamma": 0.9, "gae_lambda": 0.9},
    {"learning_rate": (5e-4, 1e-3, 2e-3, 4e-3)},
)
STEPS = 1_000_000
SPACES = {
    "ippo": TEAM,
    "mappo": TEAM,
}

experiment = sweep("Spread", SPACES, STEPS, seeds=3, judge=normalised_return())

if __name__ == "__main__":
    main(experiment)
