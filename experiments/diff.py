"""Says what differs between two run folders, settings and results: python -m experiments.diff A B"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn

import tyro

from experiments.lab.commands.cli import BadInput, run_command, typed


@dataclass(frozen=True)
class Args:
    """Say what differs between two run folders: settings, versions and machine, final returns, curves, parameters.

    Times are left out. Exit status: 0 where nothing differs, 1 where something does, 2 for a folder that cannot be read.

    For example:
      python -m experiments.diff my_run other_run
    """

    first: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="A")]
    """A run folder, finished or not."""
    second: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="B")]
    """Another."""


def diff(args: Args) -> int:
    """Prints what differs and returns the exit status. Raises BadInput."""
    from rich.console import Console

    from experiments.lab.recording import difference, run_folder

    try:
        paths = run_folder.inside(args.first), run_folder.inside(args.second)
        folders = run_folder.read(paths[0]), run_folder.read(paths[1])
        manifests = [folder.manifest for folder in folders]
        rows = difference.settings(*manifests) + difference.surroundings(*manifests)
        bits = difference.bits(*paths)
        scores = difference.scores(*folders)
    except ValueError as error:
        raise BadInput(error) from None
    if not rows and all(each.same and each.only == (0, 0) for each in bits):
        print("no difference: settings, versions, machine, curves and parameters are the same")
        return 0
    show(run_folder.folder_labels(folders), rows, bits, scores, Console())
    return 1


def show(labels, rows, bits, scores, console) -> None:
    """Prints the differing settings, the results side by side with their verdicts, and where the curves part."""
    from experiments.lab.recording import difference, fingerprints

    if rows:
        console.print(side_by_side("settings and surroundings that differ", labels, rows))
    why = fingerprints.reason(rows)
    if why and not all(each.same for each in bits):
        console.print(why, highlight=False, soft_wrap=True)
    if scores:
        values = [(f"{score.environment} {score.name}", score.first, score.second) for score in scores]
        console.print(side_by_side("final return, IQM and 95% interval", labels, values))
    for score in scores:
        if score.verdict:
            console.print(f"{score.environment}: {score.verdict}", highlight=False, soft_wrap=True)
    for each in bits:
        told = difference.in_words(each, labels)
        console.print(f"{each.environment} {each.name}: {told}", highlight=False, soft_wrap=True)


def side_by_side(title, labels, rows):
    """Returns a table of (what, value in the first folder, value in the second)."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table("", *map(escape, labels), box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def main() -> NoReturn:
    """Runs the command and exits."""
    run_command(Args, diff, typed("diff"))


if __name__ == "__main__":
    main()
