"""Makes one report.html from one or several run folders: python -m experiments.report DIR..."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn

import tyro

from experiments.lab.commands.cli import BadInput, run_command, said, typed


@dataclass(frozen=True)
class Args:
    """Make one self-contained report.html from run folders; the contenders of several are joined.

    A contender's name that two folders use on one environment is shown as folder/name. Statistics that pair seeds are
    left out between contenders that ran under different ones.

    For example:
      python -m experiments.report my_run other_run --out both.html
    """

    folders: Annotated[
        tuple[Path, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="DIR [DIR ...]", help_behavior_hint="(one or more)"),
    ]
    """Run folders, as `experiments.compare` writes them; finished or not."""
    out: Annotated[Path | None, said("report.html in the run folder; of several folders, here", "FILE")] = None
    """The file to write."""
    margin: Annotated[tuple[str, ...], said("the runs' own", "D [ENVIRONMENT=D ...]")] = ()
    """A difference in what ranks that is too small to matter, as 20, or ENVIRONMENT=20 each.
    The report says that it was named after the runs."""
    trust: bool = False
    """Of a pipeline's folder: run the code that it keeps, though another user or another machine made it."""


def report(args: Args) -> int:
    """Writes the report, prints its path and returns the exit status. Raises BadInput."""
    from experiments.lab.recording.run_folder import PIPELINE, inside
    from experiments.lab.showing.report.page import write_joined

    if not args.folders:
        raise BadInput("name one run folder or more")
    if len({folder.resolve() for folder in args.folders}) < len(args.folders):
        raise BadInput(f"name each folder once, not: {' '.join(map(str, args.folders))}")
    alone = args.folders[0] if len(args.folders) == 1 else Path()
    if args.out is None and (alone / PIPELINE).is_file():
        from experiments.rlhf import again

        return again.concluded(alone, args.trust)
    try:
        print(write_joined([*map(inside, args.folders)], args.out or alone / "report.html", args.margin))
    except ValueError as error:
        raise BadInput(error) from None
    return 0


def main() -> NoReturn:
    """Runs the command and exits."""
    run_command(Args, report, typed("report"))


if __name__ == "__main__":
    main()
