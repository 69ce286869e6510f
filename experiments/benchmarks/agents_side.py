"""Our side of `agents`: IPPO and MAPPO on spread, run as every experiment runs them."""

import json
import sys
import time
from importlib.metadata import version

from experiments.benchmarks.serve import serve
from experiments.lab.machine import devices

SHAPE = {"num_envs": 16, "num_steps": 128, "num_epochs": 4, "num_minibatches": 4}
THEIR_NUMBERS = {"learning_rate": 2.5e-4, "gamma": 0.99, "gae_lambda": 0.95, "value_clip": 0.2}


def make_round(name: str, num_seeds: int, steps: int):
    """Returns a training of all seeds, which returns seconds, processor seconds and returns per agent as JSON."""
    from algos.agents import mappo
    from experiments.lab.definition.experiment import Contender, Experiment, Task
    from experiments.lab.definition.settings import contender
    from experiments.lab.judging.spread import CONTROLLER, RANDOM, normalised_return
    from experiments.lab.running import runner

    if name.endswith("settings"):
        hparams = mappo.HParams(total_steps=float(steps), **THEIR_NUMBERS)
        chosen = Contender("ippo", mappo, mappo.Config(**SHAPE, centralised=False), hparams)
    else:
        chosen = contender(name, "Spread", steps)
    task = Task("Spread", (chosen,), judge=normalised_return(episodes=1024))
    experiment = Experiment((task,), tuple(range(num_seeds)), steps, evaluations=1, width=1)

    def one_round() -> str:
        seen = []
        for event in runner.train(experiment, task, (chosen,), task.make()):
            if isinstance(event, runner.Progress):
                seen.append((event.env_steps, time.process_time()))
        (first, begun), (last, ended) = seen[0], seen[-1]
        cpu_seconds = (ended - begun) * num_seeds * steps / (last - first)
        returns = [RANDOM + value * (CONTROLLER - RANDOM) for value in event.final_values]
        return json.dumps({"seconds": event.run_seconds, "cpu_seconds": cpu_seconds, "returns": returns})

    return one_round


def facts() -> dict[str, str | int]:
    """Returns our versions and the number of devices."""
    return {"devices": min(int(sys.argv[1]), devices.count()), "jax": version("jax")}


if __name__ == "__main__":
    devices.start()
    serve(make_round, facts)
