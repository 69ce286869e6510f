"""Compares algorithms on one or more environments under the same seeds: python -m experiments.compare"""

from dataclasses import dataclass

from experiments.lab import devices, signals
from experiments.lab.cli import BadInput, count, run_command
from experiments.lab.options import Options


@dataclass(frozen=True)
class Args(Options):
    """Train algorithms under the same seeds and compare their final evaluation returns.

    Writes a run folder with report.html, summary.json, curves.csv, manifest.json (everything that decided the run),
    the trained policies and, while it runs, checkpoints. Ctrl-C keeps what is done;
    a second one ends the run at once, as it was saved last.
    """

    env: tuple[str, ...] = ("CartPole-v1",)
    """Environment ids, as gymnax names them."""
    algos: tuple[str, ...] = ("reinforce", "a2c", "npg", "trpo", "ppo", "dqn", "pgql")
    """Algorithms by name, and losses of your own as FILE.py:FUNCTION."""
    seeds: count("--seeds") = 10
    """How many seeds: 0 to N - 1."""
    steps: count("--steps") = 100_000
    """Environment steps each algorithm may take under each seed."""


def compare(args: Args) -> int:
    """Runs the comparison and returns the exit status. Raises BadInput."""
    devices.prepare()  # before jax is imported
    from experiments.lab.command import run

    return run(lambda: experiment_of(args), args, Args())


def experiment_of(args: Args):
    """Returns the experiment that the arguments describe. Raises BadInput."""
    from experiments.lab.contenders import contenders
    from experiments.lab.experiment import Experiment, Task

    for names in (args.env, args.algos):
        if not names or len(set(names)) < len(names):
            raise BadInput(f"name each environment and each algorithm once, not: {' '.join(names) or 'none'}")
    try:
        tasks = tuple(Task(env, contenders(args.algos, env, args.steps)) for env in args.env)
    except ValueError as error:
        raise BadInput(error) from None
    return Experiment(tasks=tasks, seeds=tuple(range(args.seeds)), steps=args.steps, width=None)


if __name__ == "__main__":
    run_command(Args, compare, "python -m experiments.compare", signals.NOTHING)
