"""From what people said of texts to optimised policies: python -m experiments.rlhf"""

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

from experiments.lab.commands import signals
from experiments.lab.commands.cli import BadInput, each_once, run_command, said, typed
from experiments.lab.commands.options import Options
from experiments.lab.machine import devices

COMMAND = "rlhf"
MAY_BE_0 = ("seed", "prompt", "reward_pairs", "reward_dropout", "smollm2_layers")  # sizes


@dataclass(frozen=True)
class Args(Options):
    """Learn from human ratings or preferences: a supervised policy, a reward model of human comparisons, and policies that
    are optimised for it, held against a gold judge that training never sees and against the optimum.

    Writes DIR/stages, a folder each, and DIR/optimisation, the run folder of the optimised policies; report.html, summary.json,
    frontier.png and samples.md beside them. Ctrl-C keeps what is done; the same command with the same --out goes on.

    For example:
      python -m experiments.rlhf --quick --algos ppo dpo
    """

    algos: tuple[str, ...] = ("ppo", "rloo", "dpo", "best_of_n")
    """Methods: ppo, rloo, grpo, reinforce, dpo, ipo, best_of_n."""
    quick: bool = False
    """A small model and few updates: two minutes instead of eleven, and worse texts."""
    size: Annotated[tuple[str, ...], said("those of the pipeline")] = ()
    """Sizes of the stages, as NAME=VALUE (length=48, width=64): those of experiments/rlhf/settings.py."""
    reward: Annotated[str | None, said("the reward model", "NAME")] = None
    """A reward of your own in the reward model's place, as FILE.py:FUNCTION: of (texts), a list, or of (tokens, mask)."""
    data: Annotated[Path | None, said("human_sentiment", "FILE")] = None
    """A rating file: tab-separated, header `id ratings text`, two ratings or more a sentence."""
    preferences: Annotated[Path | None, said("none", "FILE")] = None
    """Preferences in place of ratings: JSON lines with `prompt`, `chosen` and `rejected`."""
    texts: Annotated[Path | None, said("none", "FILE")] = None
    """Sentences, one a line, that the supervised stage learns from beside those that are judged."""
    stages: Annotated[Path | None, said("DIR/stages", "DIR")] = None
    """Where the stages lie that are reused, and made where they are not there."""
    model: Annotated[str | None, said("none", "NAME")] = None
    """A pretrained model that judges fluency, and that a reward model is learned on for comparison: smollm2.
    It needs a package that the documentation names."""
    policy: Annotated[str | None, said("none", "NAME")] = None
    """A pretrained model that policies begin as, in place of a transformer trained from nothing: smollm2. It is for a GPU:
    on two cores the default takes most of a day. It needs the same package."""
    vader: bool = False
    """A second judge of sentiment, a lexicon, as one more column (needs: pip install vaderSentiment)."""


def rlhf(args: Args) -> int:
    """Runs the pipeline, or goes on with it, and returns the exit status. Raises BadInput."""
    devices.prepare()  # before jax is imported
    from experiments.lab.recording.run_folder import PIPELINE
    from experiments.rlhf import pipeline, recorded

    args = recorded.arguments(args) if args.resume else args
    sizes, out = sizes_of(args), args.out
    known(args.algos)
    if out is not None and (out / PIPELINE).is_file():
        recorded.require_same(out, args)
    texts = pipeline.checked(args, sizes, begun=out is not None and pipeline.begun(out))
    out = folder_of(out)
    with pipeline.held(out), signals.handled(signals.at_once(f"interrupted: what is finished is kept; {go_on(out)}")):
        recorded.write(out, args)
        return pipeline.run(args, out, sizes, texts, go_on(out))


def known(names: tuple[str, ...]) -> None:
    """Raises BadInput for a method that there is not, or that is named twice."""
    from envs.names import unknown
    from experiments.rlhf.settings import METHODS

    each_once("each method", names)
    for name in names:
        if name not in METHODS:
            raise BadInput(unknown("algorithm", name, list(METHODS)))


def sizes_of(args: Args) -> Any:
    """Returns the sizes that are asked for. Raises BadInput for one that there is not, or of another type."""
    from experiments.rlhf import settings

    sizes = settings.QUICK if args.quick else settings.Sizes()
    if args.policy:
        own = settings.PRETRAINED_QUICK if args.quick else settings.PRETRAINED
        sizes = dataclasses.replace(sizes, **own)
    types = {field.name: type(getattr(sizes, field.name)) for field in dataclasses.fields(sizes)}
    for given in args.size:
        name, _, text = given.partition("=")
        if name not in types:
            raise BadInput(f"--size {given}: there is no size {name!r}; choose from: {', '.join(types)}")
        if args.policy and name in settings.SHAPE:
            raise BadInput(f"--size {given}: with --policy {args.policy} the model has a {name} of its own")
        try:
            value = types[name](text)
        except ValueError:
            raise BadInput(f"--size {given}: {name} is {_kind(types[name])}, not {text!r}") from None
        least = int(types[name] is int and name not in MAY_BE_0)
        if not value >= least or value == float("inf"):
            raise BadInput(f"--size {given}: {name} is {_kind(types[name])} of {least} or more")
        if name == "reward_dropout" and value >= 1.0:
            raise BadInput(f"--size {given}: reward_dropout is the share that is dropped, below 1")
        sizes = dataclasses.replace(sizes, **{name: value})
    return sizes


def folder_of(out: Path | None) -> Path:
    """Returns the run's folder, made where it is new. Raises BadInput for one that holds something else."""
    from experiments.lab.recording.records import create_for
    from experiments.lab.recording.run_folder import PIPELINE

    return out if out is not None and (out / PIPELINE).is_file() else create_for([COMMAND], out)


def go_on(out: Path) -> str:
    """Returns how the run goes on."""
    return f"go on with {typed(COMMAND)} --resume {os.fspath(out)}"


def _kind(kind: type) -> str:
    return "a whole number" if kind is int else "a number"


def main() -> NoReturn:
    """Runs the command and exits."""
    run_command(Args, rlhf, typed(COMMAND), signals.NOTHING)
