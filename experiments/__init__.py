"""Experiments as commands and as data. Run as a command, they answer Ctrl-C in one line from their first import on."""

import os
import sys
from importlib.util import find_spec

from experiments.lab.commands import signals

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))

# While `python -m` looks for its module, "-m" stands before the arguments.
is_module = sys.argv[:1] == ["-m"] and sys.orig_argv[-len(sys.argv)].partition(".")[0] == "experiments"
is_command = is_module or os.path.basename("".join(sys.argv[:1])).partition(".")[0] == "evenhand"
if is_command:
    signals.handle(signals.at_once(signals.NOTHING))


def hidden() -> str:
    """Returns in one line what hides another of this codebase's packages, or nothing: no import says it better."""
    for name in ("algos", "envs"):
        try:
            spec = find_spec(name)
        except ValueError:  # it was imported, and from no file
            spec = None
        place = os.path.realpath(spec.origin) if spec and spec.origin else f"something called {name}"
        if place != os.path.join(ROOT, name, "__init__.py"):
            return f"{place} hides {name} of evenhand: type `evenhand COMMAND`, which does not look there, or start elsewhere"
    return ""


if clash := hidden():
    if not is_command:
        raise ImportError(clash)
    print(f"error: {clash}", file=sys.stderr)
    raise SystemExit(2)
