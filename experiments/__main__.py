"""The console command: `evenhand compare ...` is `python -m experiments.compare ...` that looks in the folder it is typed
in last, so that nothing there is taken for a part of this codebase. Imports next to nothing: --help answers at once."""

import importlib
import os
import sys
from typing import NoReturn

COMMANDS = {
    "compare": "train algorithms and losses of your own under the same seeds, and say what the difference is worth",
    "doctor": "examine a loss, an environment, an algorithm, a network or a language task",
    "diff": "say what differs between two run folders",
    "rerun": "run a folder again and say whether every bit is the same",
    "report": "make one report of run folders",
    "tabular": "hold tabular and linear methods against the exact values of a finite model",
    "games": "say how near methods come to an equilibrium of a known game",
    "book": "make figures of Sutton and Barto again",
    "grid": "draw values, policy and visits of a gridworld, and where a trained agent is wrong",
    "cite": "print the BibTeX of what a run used",
    "watch": "draw trained policies as a GIF",
    "rlhf": "learn from human ratings or preferences: a reward model, and policies optimised for it",
}
PACKAGES = {
    "rlhf": "experiments.rlhf.command",
    "book": "experiments.book.__main__",
}  # commands that are a folder of their own
HELP = "usage: evenhand COMMAND ...\n\n" + "\n".join(f"  {name:<9}{told}" for name, told in COMMANDS.items())


def main() -> NoReturn:
    """Runs the command that the first argument names, with the others, and exits."""
    command = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if command in ("--help", "-h"):
        print(f"{HELP}\n\nevenhand COMMAND --help says more.")
        raise SystemExit(0)
    if command not in COMMANDS:
        print(f"error: there is no command {command}; choose from: {', '.join(COMMANDS)}", file=sys.stderr)
        raise SystemExit(2)
    sys.argv[:2] = [f"evenhand {command}"]
    # An editable installation is found after all folders, so that ours has to stand before the one it is typed in.
    sys.path += [os.path.dirname(os.path.dirname(os.path.realpath(__file__))), os.getcwd()]
    importlib.import_module(PACKAGES.get(command, f"experiments.{command}")).main()


if __name__ == "__main__":
    main()
