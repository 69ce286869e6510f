"""Experiments as commands and as data. Run as a command, they answer Ctrl-C in one line from their first import on."""

import sys

from experiments.lab import signals

# While `python -m` looks for its module, "-m" stands before the arguments.
if sys.argv[:1] == ["-m"] and "experiments." in sys.orig_argv[-len(sys.argv)]:
    signals.handle(signals.at_once(signals.NOTHING))
