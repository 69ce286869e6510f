"""Which tabular or linear method comes nearest to the truth on a finite model, by prediction or by control?

    python -m experiments.tabular
    python -m experiments.tabular --env RandomWalk-19 --methods td n_step_td --sweep "all.learning_rate=0.05..0.8*8"
    python -m experiments.tabular --env CliffWalking --methods q_learning sarsa
    python -m experiments.tabular --env RandomWalk-1000 --methods gradient_monte_carlo semi_gradient_td lstd

Methods that predict learn the values of the policy that takes any action alike, and rank by their error; methods that
control rank by the exact return of their greedy policy, as in `experiments.compare`.
"""

from dataclasses import dataclass
from typing import Annotated, Literal, NoReturn

from experiments.lab.commands import signals
from experiments.lab.commands.cli import BadInput, count, each_once, run_command, said, typed
from experiments.lab.commands.options import Options


@dataclass(frozen=True)
class Args(Options):
    """Learn the values of a finite model, or how to act in it, by tabular or linear methods, and hold them against the exact ones.

    For example:
      python -m experiments.tabular --env CliffWalking --methods q_learning sarsa
    """

    env: tuple[str, ...] = ("RandomWalk-19",)
    """Finite models by id: RandomWalk-5, RandomWalk-19, FrozenLake-4x4, CliffWalking, Taxi...
    Of your own as FILE.py:FUNCTION."""
    methods: tuple[str, ...] = ("td", "n_step_td", "td_lambda", "monte_carlo_prediction")
    """Methods that all predict, as these and semi_gradient_td, lstd, tdc..., or all control: q_learning, sarsa, dyna_q..."""
    seeds: count("--seeds", most=1_000_000) = 10
    """How many seeds: 0 to N - 1."""
    steps: count("--steps") = 100_000
    """Environment steps each method may take under each seed."""
    gamma: Annotated[float | None, said("1 in prediction, 0.99 in control", "X")] = None
    """The discount, of what is learned and of what it is held against."""
    weighting: Literal["states", "visits"] = "states"
    """How prediction averages the squared error: over states, all alike, or by how often episodes come to them."""


def tabular(args: Args) -> int:
    """Runs the experiment and returns the exit status. Raises BadInput."""
    from experiments.lab.commands.command import run

    return run(lambda: experiment_of(args), args, Args())


def experiment_of(args: Args):
    """Returns the experiment that the arguments describe. Raises BadInput."""
    import envs
    from envs.mdp import problems
    from envs.names import unknown
    from experiments.lab.definition.experiment import Experiment
    from experiments.lab.outside.user_env import named

    each_once("each model and each method", args.env, args.methods)
    try:
        judge = judge_of(args)
        named_models = tuple(map(named, args.env))
        for meant in named_models:
            if meant.factory is None and meant.name not in envs.ids():
                raise ValueError(unknown("model", meant.name, problems.IDS))
        tasks = tuple(meant.task(methods(args, meant.name, judge), judge) for meant in named_models)
    except ValueError as error:
        raise BadInput(error) from None
    return Experiment(tasks, tuple(range(args.seeds)), args.steps)


def judge_of(args: Args):
    """Returns the judge of the methods. Raises ValueError where some predict and others control, or one is neither."""
    from experiments.lab.definition.settings import CONTROLS, PREDICTS
    from experiments.lab.judging import judges

    for name in args.methods:
        if name not in PREDICTS | CONTROLS:
            raise ValueError(f"no tabular or linear method {name!r}; choose from: {', '.join(PREDICTS | CONTROLS)}")
    predicts = [name for name in args.methods if name in PREDICTS]
    if len(predicts) == len(args.methods):
        return judges.value_rms(1.0 if args.gamma is None else args.gamma, args.weighting)
    if predicts:
        control = next(name for name in args.methods if name not in predicts)
        raise ValueError(f"{predicts[0]} predicts and {control} controls: no one number ranks both, run them apart")
    return judges.exact_return(0.99 if args.gamma is None else args.gamma)


def methods(args: Args, env: str, judge):
    """Returns the contenders, which learn at the discount that they are judged at."""
    from dataclasses import replace

    from experiments.lab.definition.contenders import contenders

    chosen = contenders(args.methods, env, args.steps)
    return tuple(replace(one, hparams=one.hparams.replace(gamma=judge.settings["gamma"])) for one in chosen)


def main() -> NoReturn:
    """Runs the command and exits."""
    run_command(Args, tabular, typed("tabular"), signals.NOTHING)


if __name__ == "__main__":
    main()
