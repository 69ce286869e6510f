"""Draws values, policy and visits on the grid, of the exact solution and of a trained agent, and where the agent is wrong:

python -m experiments.grid FrozenLake-4x4
python -m experiments.grid my_models.py:pond
python -m experiments.grid my_run --algorithm ppo --seed 0
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

import tyro

from experiments.lab.commands.cli import BadInput, run_command, said, typed
from experiments.lab.machine import devices


@dataclass(frozen=True)
class Args:
    """Draw the values, the policy and the visits of a gridworld: the best ones, and beside them what an agent of a run folder
    learned and where it is wrong. Nothing is trained and nothing is written over.

    For example:
      python -m experiments.grid my_run --algorithm ppo
      python -m experiments.grid FrozenLake-8x8
    """

    what: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DIR|MODEL")]
    """A run folder; or for the exact solution alone a gridworld.
    That is named by its id (FrozenLake-8x8, CliffWalking, DynaMaze...) or, of your own, as FILE.py:FUNCTION."""
    algorithm: Annotated[str | None, said("the best one in summary.json", "NAME")] = None
    """The contender."""
    environment: Annotated[
        str | None, tyro.conf.arg(aliases=("--env",)), said("the first of the run that is a gridworld", "NAME")
    ] = None
    """The environment."""
    seed: Annotated[int | None, said("the first of the run", "N")] = None
    """The seed."""
    gamma: Annotated[float | None, said("the agent's own; 0.99 for an exact solution alone", "X")] = None
    """The discount."""
    out: Annotated[
        Path | None, said("DIR/grid-<environment>-<algorithm>-seed<seed>.png, or <MODEL>.png here", "FILE")
    ] = None
    """The picture, a PNG; must be new."""
    trust: bool = False
    """Run the code that the folder keeps, though another user or another machine made it."""


def grid(args: Args) -> int:
    """Draws the picture, says in words what is wrong and returns the exit status. Raises BadInput."""
    devices.start()
    from experiments.lab.showing.drawing import model_grid
    from experiments.lab.showing.drawing.model_truth import truth_of

    try:
        name, env, agent, gamma = agent_of(args) if Path(args.what).is_dir() else model_of(args)
        if not is_gridworld(env):
            other = "; name another of the run with --environment, if it has one" if agent else ""
            raise ValueError(f"{env.name} is no gridworld: its states have no cells to be drawn in{other}")
        truth = truth_of(env, gamma, agent)
    except ValueError as error:
        raise BadInput(error) from None
    path = args.out or (Path(args.what) / f"grid-{name}.png" if agent else Path(f"{name}.png"))
    if path.exists():
        raise BadInput(f"{path} exists; name another file with --out, nothing is ever written over")
    try:
        model_grid.draw(env.model, truth, name, path)
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror or error}") from None
    print(*truth.words, path, sep="\n")
    return 0


def is_gridworld(env) -> bool:
    """Returns whether the environment is a finite model whose states have cells to be drawn in."""
    return env.model is not None and env.model.cell is not None


def model_of(args: Args) -> tuple[str, Any, None, float]:
    """Returns (name, environment, no agent, gamma) of a model by its id, or as FILE.py:FUNCTION. Raises ValueError, listing
    the ids, for another."""
    from envs.mdp import problems
    from envs.names import unknown
    from experiments.lab.outside import env_trace
    from experiments.lab.outside.user_env import named

    meant = named(args.what)
    name = meant.name
    if meant.factory is None and name not in problems.IDS:
        raise ValueError(unknown("run folder or model", name, problems.IDS))
    if args.algorithm or args.environment or args.seed is not None:
        raise ValueError("an exact solution has no algorithm, environment or seed to choose")
    env = env_trace.checked(meant.task())
    return name, env, None, 0.99 if args.gamma is None else args.gamma


def agent_of(args: Args) -> tuple[str, Any, Any, float]:
    """Returns (name, environment, (algorithm, state), gamma) of a trained agent. Raises ValueError and BadInput."""
    from experiments import watch
    from experiments.lab.recording import policies
    from experiments.lab.recording.files import file_name

    seeds = () if args.seed is None else (str(args.seed),)
    wanted = watch.Args(Path(args.what), args.algorithm, (), args.environment, seeds, trust=args.trust)
    choice = watch.chosen(wanted, lambda task: is_gridworld(task.make()))
    ((name, seed),) = choice.panels
    algorithm, state, contender = policies.trained(Path(args.what), choice.environment, name, seed)
    gamma = float(contender.hparams.gamma) if args.gamma is None else args.gamma
    return (
        file_name(f"{choice.environment}-{name}-seed{seed}", "=, "),
        choice.task.make(),
        (algorithm, state),
        gamma,
    )


def main() -> NoReturn:
    """Runs the command and exits."""
    run_command(Args, grid, typed("grid"))


if __name__ == "__main__":
    main()
