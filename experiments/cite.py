"""Prints the BibTeX of what a run used: python -m experiments.cite DIR"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn

import tyro

from experiments.lab.commands.cli import BadInput, run_command, typed


@dataclass(frozen=True)
class Args:
    """Print the BibTeX of what a run used: this codebase, its algorithms and losses by their papers, environments, and the
    method by which results are compared.

    Papers are those that the files of the run name; of a user's own files none is known. Nothing is run.

    For example:
      python -m experiments.cite my_run
    """

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """The run folder."""


def cite(args: Args) -> int:
    """Prints the entries and returns the exit status. Raises BadInput."""
    from experiments.lab.recording import citations, manifest

    try:
        entries, without = citations.of_run(manifest.read_manifest(args.folder))
    except ValueError as error:
        raise BadInput(error) from None
    print("\n\n".join(entries))
    if without:
        print(f"\n% no paper is known of: {', '.join(without)}")
    return 0


def main() -> NoReturn:
    """Runs the command and exits."""
    run_command(Args, cite, typed("cite"))


if __name__ == "__main__":
    main()
