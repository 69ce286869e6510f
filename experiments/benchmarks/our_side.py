"""Our side of `peers`: our algorithms, run as every experiment runs them. Imports jax late: the platform comes first."""

import dataclasses
import sys
from importlib.metadata import version
from types import SimpleNamespace

from experiments.benchmarks.serve import Round, serve
from experiments.lab.machine import devices


def make_round(workload: str, num_seeds: int, steps: int, make=None) -> Round:
    """Returns a training of all seeds by the experiments' runner. Its seconds hold no compiling.

    make: (env, config) -> Algorithm, in place of the algorithm's own.
    """
    import envs
    from experiments.lab.definition.blocks import with_width
    from experiments.lab.definition.experiment import Contender, Experiment, Task
    from experiments.lab.running import runner

    module, config, hparams = settings(workload, steps)
    name = workload if workload in envs.ids() else "CartPole-v1"
    contender = Contender(workload, module, config, hparams)
    planned = with_width(Experiment((Task(name, (contender,)),), tuple(range(num_seeds)), steps))
    env, make = envs.make(name), make or module.make
    algorithm = SimpleNamespace(make=lambda _, config: make(env, config))
    contender = dataclasses.replace(planned.tasks[0].contenders[0], algorithm=algorithm)
    task = Task(name, (contender,))
    experiment = dataclasses.replace(planned, tasks=(task,), evaluations=1, eval_episodes=1)

    def one_round() -> float:
        *_, finished = runner.train(experiment, task, (contender,), over_at_once(env))
        return finished.run_seconds

    return one_round


def settings(workload: str, steps: int):
    """Returns (algorithm, configuration, hyperparameters). Without annealing, which not every peer does."""
    from algos import dqn, ppo, trpo
    from algos.tabular import q_learning

    total = float(steps)
    if workload.startswith("FrozenLake"):
        return q_learning, q_learning.Config(num_steps=2048), q_learning.HParams(total_steps=total)
    if workload == "trpo":
        config = trpo.Config(num_envs=2, num_steps=512, cg_iterations=15, value_epochs=20, value_minibatches=2)
        return trpo, config, trpo.HParams(total_steps=total, damping=1e-3, gae_lambda=0.98)
    if workload.startswith("dqn"):  # the defaults are CleanRL's but for the double target
        shape = {"num_envs": 1, "num_steps": 10} if workload == "dqn-one-env" else {}
        return dqn, dqn.Config(double=False, **shape), dqn.HParams(total_steps=total)
    config = ppo.Config() if workload == "ppo" else ppo.Config(num_envs=64, num_steps=32)
    return ppo, config, ppo.HParams(total_steps=total, anneal=0.0)


def over_at_once(env):
    """Returns the environment with episodes of one step, to be evaluated on: peers are timed without evaluation."""

    def step(key, state, action):
        state, reached = env.step(key, state, action)
        return state, reached.replace(terminated=reached.terminated | True)

    return env._replace(step=step)


def facts() -> dict[str, str | int]:
    """Returns our versions and the number of devices."""
    return {"devices": min(int(sys.argv[1]), devices.count()), "jax": version("jax"), "gymnax": version("gymnax")}


if __name__ == "__main__":
    devices.start()
    serve(make_round, facts)
