"""Ctrl-C and SIGTERM: one line and the exit status that a shell expects, whenever they come. Imports next to nothing."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

BOTH = (signal.SIGINT, signal.SIGTERM)
NOTHING = "interrupted: nothing was run"
SHOW_CURSOR = b"\x1b[?25h"  # a live display hides it

Handler = Callable[[int, Any], None]


def handle(handler: Handler | signal.Handlers) -> dict[int, Any]:
    """Has both signals handled so from now on, and returns how each was before; {} in another thread than the main one,
    which alone may say how."""
    try:
        return {number: signal.signal(number, handler) for number in BOTH}
    except ValueError:
        return {}


def interactive() -> bool:
    """Returns whether this is a notebook's process or a console's, which outlives what is run in it."""
    return hasattr(sys, "ps1")


@contextmanager
def handled(handler: Handler) -> Iterator[dict[int, Any]]:
    """Has both signals handled so for a while, and yields how each was before."""
    before = handle(handler)
    try:
        yield before
    finally:
        for number, handler_before in before.items():
            if handler_before is not None:  # of a program around Python, which cannot be had back
                signal.signal(number, handler_before)


def at_once(line: str) -> Handler:
    """Returns a handler that ends the process with the line, and no sooner than kill -9 would: no exception can be lost
    in a callback or wait for a thread. Files that are put in place in one move are whole after it.

    A notebook or a console is not ended: what runs in it is, by KeyboardInterrupt.
    """

    def end(number, frame):
        if interactive():
            raise KeyboardInterrupt(line)
        with suppress(Exception):  # what was printed before, unless this interrupts the very printing
            sys.__stdout__.flush()
        _say(line)
        os._exit(128 + number)

    return end


def unwinding(line: str) -> Handler:
    """Returns a handler that ends the process with the line, once what is unfinished is cleaned up; as `at_once` does
    in a notebook or a console."""

    def end(number, frame):
        if interactive():
            raise KeyboardInterrupt(line)
        _say(line)
        raise SystemExit(128 + number)

    return end


def _say(line: str) -> None:
    """Writes the line to standard error, below what a live display or the terminal's ^C has left there."""
    before = SHOW_CURSOR + b"\n" if os.isatty(2) else b""
    with suppress(OSError):
        os.write(2, before + f"{line}\n".encode("utf-8", "surrogateescape"))
