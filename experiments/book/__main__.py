"""Makes a figure of Sutton and Barto (2018) again: python -m experiments.book 7.2"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import tyro

from experiments.lab.commands.cli import BadInput, count, run_command, said, typed
from experiments.lab.machine import devices

# name: (module of experiments.book, its function)
FIGURES = {
    "example-6.2": ("random_walk", "online"),
    "6.2": ("random_walk", "batches"),
    "6.3": ("cliff", "interim"),
    "example-6.5": ("windy", "sarsa_online"),
    "6.5": ("maximisation_bias", "lefts"),
    "6.6": ("cliff", "online"),
    "7.2": ("random_walk", "n_step"),
    "8.2": ("mazes", "planning"),
    "8.4": ("mazes", "blocking"),
    "8.5": ("mazes", "shortcut"),
    "example-8.4": ("sweeping", "mazes"),
    "9.1": ("long_walk", "monte_carlo"),
    "9.2-left": ("long_walk", "temporal_difference"),
    "9.2-right": ("long_walk", "n_step"),
    "9.5": ("long_walk", "bases"),
    "10.4": ("mountain_car", "n_step"),
    "11.2": ("counterexample", "divergence"),
    "11.5": ("counterexample", "correction"),
    "12.6": ("random_walk", "traces"),
}


@dataclass(frozen=True)
class Args:
    """Make figures of Sutton and Barto (2018) again, with intervals over runs and the book's numbers beside ours.

    For example:
      python -m experiments.book 7.2 12.6
    """

    figure: Annotated[
        tuple[Literal[tuple(FIGURES)], ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="FIGURE [FIGURE ...]", help_behavior_hint="(one or more)"),
    ]
    """6.2 batch TD and MC; 6.3 and 6.6 (the figure of example 6.6) the cliff; 6.5 maximisation bias; 7.2 n-step TD;
    8.2 Dyna-Q; 8.4 and 8.5 mazes that change; 9.1, 9.2-left, 9.2-right and 9.5 a walk of 1000 states by few features;
    10.4 mountain car by tiles; 11.2 Baird's counterexample; 11.5 TDC on it; 12.6 TD(lambda).
    Figures that have no number: example-6.2 TD and MC; example-6.5 windy gridworld; example-8.4 prioritised sweeping."""
    runs: Annotated[
        count("--runs", most=1_000_000) | None, said("as many as give a clear picture in about a minute", "N")
    ] = None
    """How many runs are averaged."""
    out: Annotated[Path | None, said("runs/<time>-book-<figures>", "DIR")] = None
    """The folder for figure-X.png and figures.json; must be new or empty."""


def book(args: Args) -> int:
    """Makes the figures, prints their numbers beside the book's and returns the exit status. Raises BadInput."""
    if not args.figure or len(set(args.figure)) < len(args.figure):
        raise BadInput(f"name one or more figures, each once, of: {', '.join(FIGURES)}")
    devices.prepare()
    from rich.console import Console

    from experiments.book import drawing
    from experiments.book.figure import described
    from experiments.lab.recording import records
    from experiments.lab.recording.files import write_json
    from experiments.lab.recording.manifest import command_line, surroundings

    folder = records.create_for(["book", *args.figure], args.out)
    made = {"command": command_line(), **surroundings(), "figures": {}}
    for name in args.figure:
        started = time.perf_counter()
        figure = made_again(name, args.runs)
        runs, seconds = len(figure.curves[0].values), round(time.perf_counter() - started, 1)
        made["figures"][name] = {"runs": runs, "seconds": seconds, **described(figure)}
        write_json(folder / "figures.json", made)
        drawing.draw(figure, folder / f"figure-{name}.png")
        Console().print(drawing.table(figure), f"{runs:,} runs, {seconds:.0f} s\n", highlight=False)
    print("files:", *sorted(map(str, folder.iterdir())), sep="\n  ")
    return 0


def made_again(name: str, runs: int | None = None):
    """Returns the figure of that name, of so many runs or of as many as it asks for."""
    from importlib import import_module

    module, function = FIGURES[name]
    make = getattr(import_module(f"experiments.book.{module}"), function)
    return make() if runs is None else make(runs)


def main() -> NoReturn:
    """Runs the command and exits."""
    run_command(Args, book, typed("book"))


if __name__ == "__main__":
    main()
