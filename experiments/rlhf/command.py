"""From human ratings to optimised policies: python -m experiments.rlhf"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from experiments.lab.commands import signals
from experiments.lab.commands.cli import BadInput, each_once, run_command, typed
from experiments.lab.commands.options import Options
from experiments.lab.machine import devices

COMMAND, OPTIMISATION, STAGES = "rlhf", "optimisation", "stages"
ANEW = ("out", "resume", "trust")  # options that decide no bit


@dataclass(frozen=True)
class Args(Options):
    """Learn from human ratings of sentences: a supervised policy, a reward model of human comparisons, and policies that are
    optimised for it, held against a gold judge that training never sees and against the optimum.

    Writes DIR/stages, a folder each, and DIR/optimisation, the run folder of the optimised policies; summary.json,
    frontier.png and samples.md beside them. Ctrl-C keeps what is done; the same command with the same --out goes on.
    """

    algos: tuple[str, ...] = ("ppo", "rloo", "dpo", "best_of_n")
    """Methods: ppo, rloo, grpo, reinforce, dpo, ipo, best_of_n."""
    quick: bool = False
    """A small model and few updates: three minutes instead of fifteen, and worse texts."""
    reward: str | None = None
    """A reward of your own in the reward model's place, as FILE.py:FUNCTION: of (texts), a list, or of (tokens, mask)."""
    data: Path | None = None
    """A rating file: tab-separated, header `id ratings text`, two ratings or more a sentence. Default: human_sentiment."""
    texts: Path | None = None
    """Sentences, one a line, that the supervised stage learns from beside those that are rated."""
    stages: Path | None = None
    """Where the stages lie that are reused, and made where they are not there. Default: DIR/stages."""


def rlhf(args: Args) -> int:
    """Runs the pipeline, or goes on with it, and returns the exit status. Raises BadInput."""
    devices.prepare()  # before jax is imported
    from experiments.rlhf import pipeline
    from experiments.rlhf.settings import QUICK, Sizes

    args = recorded(args) if args.resume else args
    out = begun(args)
    with pipeline.held(out), signals.handled(signals.at_once(f"interrupted: what is finished is kept; {go_on(out)}")):
        record(out, args)
        return pipeline.run(args, out, QUICK if args.quick else Sizes(), go_on(out))


def begun(args: Args) -> Path:
    """Returns the run's folder, made where it is new. Raises BadInput for one that holds something else, and for names that
    cannot be."""
    from experiments.lab.recording.records import create
    from experiments.rlhf.settings import METHODS

    each_once("each method", args.algos)
    for name in args.algos:
        if name not in METHODS:
            raise BadInput(f"unknown algorithm {name!r}; choose from: {', '.join(METHODS)}")
    out = args.out
    if out is not None and (out / pipeline_file()).is_file():
        return out
    try:
        return create(out, [COMMAND])
    except ValueError as error:
        raise BadInput(error) from None


def record(out: Path, args: Args) -> None:
    """Writes what the run was asked for. Raises BadInput where the folder was asked for something else."""
    from experiments.lab.recording.files import write_json

    path, asked = out / pipeline_file(), plain(args)
    if not path.is_file():
        write_json(path, {"command": COMMAND, "arguments": asked})
        return
    before = _read(out)
    for name, value in asked.items():
        if before.get(name) != value:
            raise BadInput(
                f"{out} was begun with --{name}={before.get(name)}, not {value}: name another folder with --out"
            )


def recorded(args: Args) -> Args:
    """Returns the arguments of the run that is to go on. Raises BadInput for other options beside --resume and --trust."""
    if dataclasses.replace(args, resume=None, trust=False) != Args():
        raise BadInput("--resume takes no other option but --trust: the settings of a run are in its folder")
    found = _read(args.resume)
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
    for name in ("data", "texts", "stages"):
        values[name] = None if values[name] is None else Path(values[name])
    return Args(**values, out=args.resume, trust=args.trust)


def plain(args: Args) -> dict[str, Any]:
    """Returns the arguments that decide what is computed, as JSON has them; files by their whole path."""
    values = {name: value for name, value in vars(args).items() if name not in ANEW}
    values |= {name: str(value.resolve()) for name, value in values.items() if isinstance(value, Path)}
    if args.reward and args.reward.partition(":")[0].endswith(".py"):
        where, _, function = args.reward.rpartition(":")
        values["reward"] = f"{Path(where).resolve()}:{function}"
    return json.loads(json.dumps(values))


def pipeline_file() -> str:
    """Returns the name of the file that makes a folder this command's."""
    from experiments.lab.running.launch import PIPELINE

    return PIPELINE


def go_on(out: Path) -> str:
    """Returns how the run goes on."""
    return f"go on with {typed(COMMAND)} --resume {out}"


def _read(folder: Path) -> dict[str, Any]:
    path = folder / pipeline_file()
    try:
        found = json.loads(path.read_bytes())
        if found["command"] != COMMAND:
            raise ValueError
        return dict(found["arguments"])
    except FileNotFoundError:
        raise BadInput(f"{folder} is no folder of {typed(COMMAND)}: it has no {path.name}") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise BadInput(f"{path} cannot be read: run the pipeline anew in another folder") from None


def main() -> NoReturn:
    """Runs the command and exits."""
    run_command(Args, rlhf, typed(COMMAND), signals.NOTHING)
