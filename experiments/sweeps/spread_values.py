"""Which settings serve VDN and QMIX best on spread within 150,000 steps?

    python -m experiments.sweeps.spread_values

Six points each, judged between random actions and the script.
"""

from experiments.lab.commands.command import main
from experiments.lab.definition.settings import TEAM_REPLAY
from experiments.lab.definition.sweeps.spaces import sweep
from experiments.lab.judging.spread import normalised_return

TEAM = (
    TEAM_REPLAY,
    {"anneal": 1.0, "gamma": 0.9, "exploration_fraction": 0.3},
    {"learning_rate": (5e-4, 1e-3, 2e-3), "num_updates": (1, 2)},
)
STEPS = 150_000
SPACES = {
    "vdn": TEAM,
    "qmix": TEAM,
}

experiment = sweep("Spread", SPACES, STEPS, seeds=3, judge=normalised_return())

if __name__ == "__main__":
    main(experiment)
