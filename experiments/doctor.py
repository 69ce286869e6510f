"""Examines a loss, an environment, an algorithm, a network or a language task and says in plain words what it found:
python -m experiments.doctor my_losses.py:spo"""

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn

import tyro

from experiments.lab.commands.cli import BadInput, run_command, said, typed
from experiments.lab.machine import devices

COLOURS = {"ok": "green", "note": "yellow", "problem": "bold red"}


@dataclass(frozen=True)
class Args:
    """Examine a loss: its form, its gradient, what it makes of samples and mask, what it does at the limits. Or an
    environment: its form, whether it is pure, finite, within its bounds, and ends. Or a whole algorithm: its form, keys,
    hyperparameters, what it counts, whether it learns two small tasks, and its loss. Or a network: which algorithms it fits,
    and what it makes of batches. Or a language task, or the folder of a run of language policies: ratio and divergence before
    any update, temperature, padding, ends, lengths, and the reward.

    One line a finding: ok, note or problem, with the line of the file to look at. Exit status 1 when there is a problem.

    For example:
      python -m experiments.doctor my_losses.py:spo
      python -m experiments.doctor my_a2c.py
    """

    what: Annotated[str, tyro.conf.Positional]
    """A loss as FILE.py:FUNCTION or MODULE:FUNCTION, annotated with the HParams of its algorithm.
    Or so a function that makes an environment; or one that makes a network, its first argument called env.
    Their fields stand in quotes: "FILE.py:FUNCTION(size=5)".
    Or FILE.py of a whole algorithm, the id of an environment, or a run folder."""
    exact: bool = False
    """Of a loss: enumerate all that its batch can hold on three small finite models. Nothing is drawn.
    The expected gradient is held against the gradient of J, or of a loss on Q the expected update against Bellman's."""
    algorithm: str = "ppo"
    """Of a language task: the method that is examined with it, as `experiments.rlhf` names them."""
    reward_range: Annotated[tuple[float, float] | None, said("not known", "LOW HIGH")] = None
    """Of a language task: where its rewards should lie."""
    trust: bool = False
    """Run the code that a folder keeps, though another user or another machine made it."""


def doctor(args: Args) -> int:
    """Prints the findings and returns the exit status: 1 when there is a problem, else 0. Raises BadInput."""
    devices.start()
    import jax
    from rich.console import Console
    from rich.text import Text

    from experiments.lab.examination import PROBLEM

    jax.config.update("jax_disable_most_optimizations", True)  # many programs, each run a few times
    try:
        name, path, findings = examined(args)
    except ValueError as error:
        raise BadInput(error) from None
    console = Console()
    for finding in findings:
        place = f"{path}:{finding.line}: " if finding.line else ""
        line = Text.assemble((f"{finding.level:<8}", COLOURS[finding.level]), place, finding.text)
        console.print(line, soft_wrap=True)
    problems = sum(finding.level == PROBLEM for finding in findings)
    console.print(f"{name}: " + (f"{problems} to mend" if problems else "no problem found"))
    return 1 if problems else 0


def examined(args: Args):
    """Returns (what it is called, the file of its findings' lines, the findings). Raises ValueError for nothing, and for
    anything but a loss that is to be examined exactly."""
    import envs
    from experiments.lab.definition.experiment import Task
    from experiments.lab.examination import examine
    from experiments.lab.examination.exact import examine_exact
    from experiments.lab.outside.calls import parsed
    from experiments.lab.outside.user_algorithm import is_file
    from experiments.lab.outside.user_env import named, takes_nothing
    from experiments.lab.outside.user_files import load
    from experiments.lab.outside.user_loss import check_function, declared, is_reference, place
    from experiments.lab.outside.user_network import makes_network

    what = args.what
    if Path(what).is_dir():
        from experiments.lab.examination.language.run import examine_run

        refuse_exact(args.exact)
        return f"{what}, a run of language policies", None, examine_run(Path(what), args.reward_range, args.trust)
    reference, fields = parsed(what)
    if not is_reference(reference):
        envs.make(reference, **fields)
        refuse_exact(args.exact)
        return on_task(what, Task(reference, (), fields), args)
    if is_file(what):
        refuse_exact(args.exact)
        return on_algorithm(Path(what))
    function = load(reference)
    check_function(function, reference)
    if makes_network(function):
        refuse_exact(args.exact)
        return on_network(what, function, reference, fields)
    if fields or takes_nothing(function):
        refuse_exact(args.exact)
        meant = named(what)
        return on_task(meant.name, meant.task(), args)
    taken = [*inspect.signature(function).parameters]
    if len(taken) < 4 and taken[0] != "params":  # a loss takes four
        own = ", ".join(f"{name}=..." for name in taken)
        raise ValueError(
            f"{place(function)}: {function.__name__}({', '.join(taken)}) is no loss, which takes (params, apply, batch, hparams); "
            f'for an environment give its arguments, as "{what}({own})"; a network\'s first is called env'
        )
    user = declared(function, what)
    return (
        f"{function.__name__}, a loss of {user.algorithm}",
        user.path,
        (examine_exact if args.exact else examine)(user),
    )


def on_algorithm(path: Path):
    """Returns (what it is called, its file, the findings) of a whole algorithm."""
    from experiments.lab.examination.algorithm import examine_algorithm
    from experiments.lab.outside.user_files import load_module

    module = load_module(path)
    return f"{path.stem}, an algorithm", path.resolve(), examine_algorithm(module)


def on_network(what: str, function, reference: str, fields: dict):
    """Returns (what it is called, its file, the findings) of a network."""
    from experiments.lab.examination.network import examine_network
    from experiments.lab.outside.user_loss import source
    from experiments.lab.outside.user_network import check_network

    check_network(function, reference, fields)
    return f"{what.rpartition(':')[2]}, a network", source(function)[0], examine_network(function, fields)


def on_task(name: str, task, args: Args):
    """Returns (what it is called, no file, the findings) of an environment, or of the language task that it is."""
    from envs import Env
    from experiments.lab.examination.environment import examine_environment
    from experiments.lab.examination.language import examine_language
    from experiments.rlhf.settings import contender

    method = contender(args.algorithm, 1_000_000)
    try:
        env = task.make()
    except Exception:  # the examination says why, with its line
        env = None
    if isinstance(env, Env) and env.text is not None:
        return f"{name}, a language task", None, examine_language(env, method, args.reward_range)
    return f"{name}, an environment", None, examine_environment(task)


def refuse_exact(exact: bool) -> None:
    """Raises ValueError where anything but a loss is to be examined exactly."""
    if exact:
        raise ValueError("--exact is for a loss: what it enumerates are models of its own")


def main() -> NoReturn:
    """Runs the command and exits."""
    run_command(Args, doctor, typed("doctor"))


if __name__ == "__main__":
    main()
