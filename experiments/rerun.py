"""Runs a folder again from its manifest and says whether every bit is the same: python -m experiments.rerun DIR"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn

import tyro

from experiments.lab.commands.cli import BadInput, run_command, said, typed
from experiments.lab.machine import devices

LABELS = ("the first run", "this one")


@dataclass(frozen=True)
class Args:
    """Run a folder again from its manifest and say whether its curves and trained parameters are the same bit for bit.

    A run that was never finished is compared as far as it went. Nothing in the folder is changed. Exit status: 0 where
    all is the same, 1 where something differs, 2 for a folder that cannot be run again.

    For example:
      python -m experiments.rerun my_run
    """

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """The run folder."""
    out: Annotated[Path | None, said("DIR-rerun", "DIR")] = None
    """Where to run again; must be new or empty."""
    trust: bool = False
    """Run the code that the folder keeps, though another user or another machine made it."""


def rerun(args: Args) -> int:
    """Runs the experiment again, prints how it compares and returns the exit status. Raises BadInput."""
    devices.prepare()
    from experiments.lab.recording.manifest import read_manifest
    from experiments.lab.recording.run_folder import PIPELINE
    from experiments.lab.running.launch import launch, to_resume

    if (args.folder / PIPELINE).is_file():
        from experiments.rlhf import again

        return again.rerun(args.folder, args.out, args.trust)
    folder = args.folder.resolve()
    out = args.out or args.folder.parent / f"{folder.name}-rerun"
    experiment = to_resume(args.folder, args.trust)
    runs = with_curves(folder)
    for line in cautions(folder, experiment):
        print(line)
    status = launch(experiment, out, margins=read_manifest(args.folder).get("margins"))
    if status:
        print(f"the rerun was stopped; once it is resumed, compare with: {typed('diff')} {args.folder} {out}")
        return status
    same = [compared(run, out / run.relative_to(folder)) for run in runs]
    print(f"{'the same bit for bit' if all(same) else 'not the same'}: {args.folder} and {out}")
    return 0 if all(same) else 1


def with_curves(folder: Path) -> list[Path]:
    """Returns the folder, and the runs inside it that report on its sweeps, as far as they have curves. Raises BadInput."""
    from experiments.lab.recording import run_folder

    try:
        runs = [path.parent for path in (folder / "manifest.json", *sorted(folder.glob("*/manifest.json")))]
        runs = [run for run in runs if len(run_folder.read(run).curves)]
    except ValueError as error:
        raise BadInput(error) from None
    if folder not in runs:
        raise BadInput(f"{folder} has no curves yet: there is nothing to compare a rerun with")
    return runs


def cautions(folder: Path, experiment) -> list[str]:
    """Returns why the bits may differ without any fault: what is not as it was when the folder was made."""
    from experiments.lab.recording import checkpoints, difference, fingerprints, manifest

    then, now = manifest.read_manifest(folder), manifest.surroundings()
    changed = difference.deciding(difference.surroundings(then, now))
    lines = [f"{row.what}: {row.first} then, {row.second} now" for row in changed]
    lines += [why for why in [fingerprints.reason(changed)] if why]
    if now["git"]["dirty"]:
        lines.append("the code has changes that are in no commit: whether it is the code of then cannot be told")
    try:
        settings = json.loads((folder / checkpoints.PROGRESS).read_bytes())["settings"]
    except (OSError, ValueError, KeyError, TypeError):
        settings = None
    if settings != checkpoints.settings_hash(experiment):
        lines.append("manifest.json is not the one that the run began with, or progress.json is damaged")
    return lines


def compared(first: Path, second: Path) -> bool:
    """Prints how the curves and parameters of each contender compare, and returns whether all there is is the same."""
    from experiments.lab.recording import difference, run_folder

    try:
        one, other = run_folder.read(first), run_folder.read(second)
        bits = difference.bits(first, second)
    except ValueError as error:
        raise BadInput(error) from None
    unfinished = one.summary.get("interrupted", True)
    finished = {score[:2] for score in difference.scores(one, other) if score.first}
    for each in bits:
        partial = "" if (each.environment, each.name) in finished else "unfinished in the first run; "
        print(f"{each.environment} {each.name}: {partial}{difference.in_words(each, LABELS)}")
    if unfinished:
        print(f"{first} is of a run that was not finished: what it has was compared")
    return all(each.same and not each.only[0] and (unfinished or not each.only[1]) for each in bits)


def main() -> NoReturn:
    """Runs the command and exits."""
    run_command(Args, rerun, typed("rerun"))


if __name__ == "__main__":
    main()
