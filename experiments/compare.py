"""Compares algorithms on one or more environments under the same seeds: python -m experiments.compare"""

from dataclasses import dataclass, replace
from typing import Annotated, NoReturn

from experiments.lab.commands import signals
from experiments.lab.commands.cli import BadInput, count, each_once, run_command, said, seeds_of, span, typed
from experiments.lab.commands.options import Options
from experiments.lab.machine import devices


@dataclass(frozen=True)
class What:
    """What meets on what: the options that --help tells first."""

    env: tuple[str, ...] = ("CartPole-v1",)
    """Environment ids, as gymnax names them or of finite models (FrozenLake-4x4, Taxi...); your own as FILE.py:FUNCTION.
    Either with fields, as "Acrobot-v1(max_steps_in_episode=200)" or "FILE.py:FUNCTION(size=5)".
    Finite models, yours too, are judged by the exact return, games (Kuhn, Leduc...) by NashConv."""
    algos: tuple[str, ...] = ("reinforce", "a2c", "npg", "trpo", "ppo", "dqn", "pgql")
    """Algorithms by name, losses of your own as FILE.py:FUNCTION, and algorithms of your own as FILE.py."""


@dataclass(frozen=True)
class Args(Options, What):
    """Train algorithms under the same seeds and compare their final evaluation returns.

    Writes a run folder with report.html, summary.json, curves.csv, manifest.json (everything that decided the run),
    the trained policies and, while it runs, checkpoints. Ctrl-C keeps what is done;
    a second one ends the run at once, as it was saved last.

    For example:
      python -m experiments.compare --env Acrobot-v1 --algos ppo dqn --steps 2e5
    """

    seeds: span("--seeds") = tuple(range(10))  # no value that is given equals it: --resume tells whether one was
    """Seeds: N for 0 to N - 1, 10..19 for a part of them, as for another machine.
    With --resume: runs those of them that the folder lacks."""
    steps: count("--steps") = 100_000
    """Environment steps each algorithm may take under each seed."""
    list: Annotated[tuple[str, ...], said("none")] = ()
    """Run nothing, and list what there is: `envs`, `algos`, or `fields` and a name, as in --list fields ppo."""
    evaluations: count("--evaluations") = 12
    """How often each seed is evaluated, evenly spaced."""
    eval_episodes: Annotated[count("--eval-episodes") | None, said("32, on Spread 128", "N")] = None
    """Whole episodes with the greedy policy at each evaluation."""
    judge: Annotated[
        str | None, said("exact_return on finite models, nash_conv on games, else evaluation_return", "NAME")
    ] = None
    """What ranks the contenders, or FILE.py:FUNCTION of your own that returns a Judge.
    evaluation_return: of whole episodes with the greedy policy. exact_return: computed, for finite models; gamma 0.99."""


def compare(args: Args) -> int:
    """Runs the comparison and returns the exit status. Raises BadInput."""
    devices.prepare()  # before jax is imported
    if args.list:
        return listed(args.list)
    from experiments.lab.commands.command import run

    return run(lambda: experiment_of(args), args, Args())


def listed(words: tuple[str, ...]) -> int:
    """Prints what there is and returns the exit status. Raises BadInput."""
    from experiments.lab.showing import lists

    try:
        print("\n".join(lists.lines(words[0], words[1:])))
    except ValueError as error:
        raise BadInput(error) from None
    return 0


def experiment_of(args: Args):
    """Returns the experiment that the arguments describe. Raises BadInput."""
    from experiments.lab.definition.experiment import Experiment

    each_once("each environment and each algorithm", args.env, args.algos)
    try:
        tasks = tuple(task_of(env, args) for env in args.env)
    except ValueError as error:
        raise BadInput(error) from None
    return Experiment(tasks=tasks, seeds=seeds_of(args.seeds), steps=args.steps, width=None)


def task_of(env: str, args: Args):
    """Returns the task on an environment, which is called as its function where it is a user's own. Raises ValueError."""
    from experiments.lab.definition.contenders import contenders
    from experiments.lab.definition.settings import PREDICTS
    from experiments.lab.outside.user_env import named

    for algo in args.algos:
        if algo in PREDICTS:
            raise ValueError(f"{algo} predicts values and does not act: python -m experiments.tabular --methods {algo}")
    meant = named(env)
    task = meant.task(contenders(args.algos, meant.name, args.steps))
    return task if args.judge else replace(task, judge=judge_of(task, args.eval_episodes))


def judge_of(task, episodes=None):
    """Returns the judge that knows the truth where there is one to know: of finite models the exact return, of known games
    NashConv, of spread the return between a random and a scripted one, over so many episodes; else None. What is wrong with
    an environment is said as it is checked. Raises ValueError for a game whose return ranks nobody."""
    from envs.games import ids
    from envs.mdp import problems
    from experiments.lab.judging import equilibrium, judges, spread

    if task.environment.startswith("pgx/"):
        raise ValueError(no_return_ranks(task.environment))
    if task.factory is None and task.environment not in (*problems.IDS, *ids.IDS):
        return None
    try:
        env = task.make()
        if env.name == "Spread":
            alike = task.factory is None and set(task.fields) <= spread.SAME_RETURN
            return spread.normalised_return(None if alike else env, episodes or spread.JUDGED)
    except Exception:
        return None
    if task.factory is None and env.game is None and task.environment in ids.ZERO_SUM:
        raise ValueError(no_return_ranks(task.environment))
    if getattr(env, "model", None) is not None:
        return judges.exact_return()
    return equilibrium.nash_conv() if getattr(env, "game", None) is not None else None


def no_return_ranks(name: str) -> str:
    """Returns, in one line, why no comparison ranks on a game in which one gains what another loses, and what to do."""
    return (
        f"{name}: what one gains the other loses, so the return is 0 whoever learns and ranks nobody; --judge FILE.py:FUNCTION "
        "ranks by a judge of your own, --judge evaluation_return runs it all the same"
    )


def main() -> NoReturn:
    """Runs the command and exits."""
    run_command(Args, compare, typed("compare"), signals.NOTHING)


if __name__ == "__main__":
    main()
