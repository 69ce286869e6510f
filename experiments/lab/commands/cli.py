"""What the commands share: numbers as people write them, and one clear line for bad input."""

import inspect
import operator
import shutil
import signal
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import tyro

from experiments.lab.commands import signals
from experiments.lab.machine import folders

BAD_INPUT = 2  # exit status
SWITCH_SECONDS = 5e-4  # that Python traces the next program for while a lane's thread waits to give its core work
MOST_SEEDS = 1_000_000  # of one run
CONSOLE = "evenhand"  # the command that pip installs


class BadInput(Exception):
    """What a user gave cannot be. No ValueError: tyro would print its own as a page, and a fault of ours is one too."""

    def _render_traceback_(self) -> list[str]:
        """Returns what a notebook shows in place of a traceback: the line alone."""
        return [f"error: {self}"]


def count(option: str, most: int = 2**53 - 1) -> Any:
    """Returns the type of a command-line option that takes a positive whole number; 5e5 and 500_000 are numbers."""

    def parse(words: list[str]) -> int:
        try:
            number = float(words[0])
        except ValueError:
            number = 0.0
        if not number >= 1 or number % 1:  # of infinity it is NaN, which is true
            raise BadInput(f"{option} must be a positive whole number, not {words[0]}")
        if number > most:
            raise BadInput(f"{option} can be {most:,} at most, not {words[0]}")
        return int(number)

    return Annotated[
        int,
        tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="N",
            instance_from_str=parse,
            is_instance=lambda instance: isinstance(instance, int),
            str_from_instance=lambda instance: [str(instance)],
        ),
    ]


def said(default: str, metavar: str | None = None) -> Any:
    """Returns what an option's help says of its default, where the value itself says nothing: None, or no words at all."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=f"(default: {default})")


def wrapped(text: str) -> str:
    """Returns paragraphs as lines that fit the terminal; one with a line that is indented, as of a command, as it is. All but
    the first line are moved in, or tyro would join them again."""
    width, form = shutil.get_terminal_size().columns, {"subsequent_indent": "  ", "break_long_words": False}
    parts = text.split("\n\n")
    return "\n\n".join(one if "\n " in one else textwrap.fill(one.replace("\n", " "), width, **form) for one in parts)


def documentation() -> str:
    """Returns where the documentation is: the index of this checkout, or its name where the package came without it."""
    index = Path(__file__).resolve().parents[3] / "docs" / "index.md"
    return str(index) if index.is_file() else "docs/index.md of the source"


def span(option: str) -> Any:
    """Returns the type of a command-line option that takes seeds: N for 0 to N - 1, A..B for A to B."""

    def parse(words: list[str]) -> int | range:
        ends = words[0].split("..")
        try:
            low, high = (0, number(words[0]) - 1) if len(ends) == 1 else map(number, ends)
        except ValueError:
            low, high = 1, 0
        if not 0 <= low <= high:
            raise BadInput(f"{option} must be a positive whole number or a span as 10..19, not {words[0]}")
        if high - low >= MOST_SEEDS:
            raise BadInput(f"{option} can be {MOST_SEEDS:,} at most, not {words[0]}")
        return high + 1 if len(ends) == 1 else range(low, high + 1)

    def number(text: str) -> int:
        value = float(text)
        if value % 1 or value != value:
            raise ValueError
        return int(value)

    return Annotated[
        int | range | tuple[int, ...],
        tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="N|A..B",
            instance_from_str=parse,
            is_instance=lambda instance: isinstance(instance, int | range | tuple),
            str_from_instance=lambda seeds: [str(seeds) if isinstance(seeds, int) else f"{seeds[0]}..{seeds[-1]}"],
        ),
    ]


def seeds_of(given: int | range | tuple[int, ...]) -> tuple[int, ...]:
    """Returns the seeds that such an option means. Raises BadInput where they are none, or no numbers from 0 on: Python asks
    for any."""
    try:
        seeds = tuple(map(operator.index, given if isinstance(given, Iterable) else range(operator.index(given))))
    except TypeError:
        seeds = ()
    if not seeds or min(seeds) < 0 or isinstance(given, bool):
        raise BadInput(f"seeds must be a positive whole number or a range of numbers from 0 on, not {given}")
    return seeds


def each_once(told: str, *lists: Sequence[str]) -> None:
    """Raises BadInput for a list without names, or with one twice. told: what is to be named."""
    for names in lists:
        if not names or len(set(names)) < len(names):
            raise BadInput(f"name {told} once, not: {' '.join(names) or 'none'}")


def typed(command: str) -> str:
    """Returns how one of the commands is typed: as this process was, by name or as a module."""
    return f"{CONSOLE} {command}" if sys.argv[0].startswith(f"{CONSOLE} ") else f"python -m experiments.{command}"


def spell_out() -> None:
    """Has what the console's encoding lacks printed as \\xe9 and the like from now on: names may be in any script."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a notebook's has none, and takes everything
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def warned_once() -> Iterator[None]:
    """Has each warning told once: an environment is made several times, and Python forgets which it told whenever a
    library changes its filters."""
    show, told = warnings.showwarning, set()

    def once(message, category, filename, lineno, file=None, line=None):
        if (str(message), filename, lineno) not in told:
            told.add((str(message), filename, lineno))
            show(message, category, filename, lineno, file, line)

    warnings.showwarning = once
    try:
        yield
    finally:
        warnings.showwarning = show


def run_command(
    arguments: type, command: Callable[[Any], int], name: str, interrupted: str = "interrupted"
) -> NoReturn:
    """Exits with what the command returns for the arguments given; bad input becomes one line and status 2.

    interrupted: what Ctrl-C and SIGTERM say wherever the command has nothing better to say.
    """
    signals.handle(signals.at_once(interrupted))
    spell_out()
    folders.give_matplotlib_one()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        with warned_once():
            description = wrapped(f"{inspect.cleandoc(arguments.__doc__)}\n\nDocumentation: {documentation()}")
            raise SystemExit(command(tyro.cli(arguments, prog=name, description=description)))
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(BAD_INPUT) from None
    finally:
        signals.handle(signal.SIG_DFL)  # nothing is left that a signal could cut short
