"""Compares algorithms on one or more environments under the same seeds: python -m experiments.compare"""

from dataclasses import dataclass, replace
from typing import NoReturn

from experiments.lab.commands import signals
from experiments.lab.commands.cli import BadInput, count, each_once, run_command, typed
from experiments.lab.commands.options import Options
from experiments.lab.machine import devices


@dataclass(frozen=True)
class Args(Options):
    """Train algorithms under the same seeds and compare their final evaluation returns.

    Writes a run folder with report.html, summary.json, curves.csv, manifest.json (everything that decided the run),
    the trained policies and, while it runs, checkpoints. Ctrl-C keeps what is done;
    a second one ends the run at once, as it was saved last.
    """

    env: tuple[str, ...] = ("CartPole-v1",)
    """Environment ids, as gymnax names them or of finite models (FrozenLake-4x4, Taxi...), and environments of your own as
    FILE.py:FUNCTION. Finite models, yours too, are judged by the exact return, games (Kuhn, Leduc...) by NashConv."""
    algos: tuple[str, ...] = ("reinforce", "a2c", "npg", "trpo", "ppo", "dqn", "pgql")
    """Algorithms by name, and losses of your own as FILE.py:FUNCTION."""
    seeds: count("--seeds", most=1_000_000) = 10
    """How many seeds: 0 to N - 1."""
    steps: count("--steps") = 100_000
    """Environment steps each algorithm may take under each seed."""


def compare(args: Args) -> int:
    """Runs the comparison and returns the exit status. Raises BadInput."""
    devices.prepare()  # before jax is imported
    from experiments.lab.commands.command import run

    return run(lambda: experiment_of(args), args, Args())


def experiment_of(args: Args):
    """Returns the experiment that the arguments describe. Raises BadInput."""
    from experiments.lab.definition.experiment import Experiment

    each_once("each environment and each algorithm", args.env, args.algos)
    try:
        tasks = tuple(task_of(env, args) for env in args.env)
    except ValueError as error:
        raise BadInput(error) from None
    return Experiment(tasks=tasks, seeds=tuple(range(args.seeds)), steps=args.steps, width=None)


def task_of(env: str, args: Args):
    """Returns the task on an environment, which is called as its function where it is a user's own. Raises ValueError."""
    from experiments.lab.definition.contenders import contenders
    from experiments.lab.definition.experiment import Task
    from experiments.lab.definition.settings import PREDICTS
    from experiments.lab.outside.user_env import named

    for algo in args.algos:
        if algo in PREDICTS:
            raise ValueError(f"{algo} predicts values and does not act: python -m experiments.tabular --methods {algo}")
    name, factory = named(env)
    task = Task(name, contenders(args.algos, name, args.steps), factory=factory)
    return replace(task, judge=judge_of(task))


def judge_of(task):
    """Returns the judge that knows the truth where there is one to know: of finite models the exact return, of known games
    NashConv, of spread the return between a random and a scripted one; else None. What is wrong with a user's own
    environment is said as it is checked."""
    from envs.games import ids
    from envs.mdp import problems
    from experiments.lab.judging import equilibrium, judges, spread

    if task.factory is None and task.environment not in (*problems.IDS, *ids.IDS):
        return None
    try:
        env = task.make()
    except Exception:
        return None
    if getattr(env, "model", None) is not None:
        return judges.exact_return()
    if getattr(env, "name", None) == "Spread":
        return spread.normalised_return(None if task.factory is None else env)
    return equilibrium.nash_conv() if getattr(env, "game", None) is not None else None


def main() -> NoReturn:
    """Runs the command and exits."""
    run_command(Args, compare, typed("compare"), signals.NOTHING)


if __name__ == "__main__":
    main()
