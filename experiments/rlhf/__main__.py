"""python -m experiments.rlhf: see `command.py`."""

from experiments.rlhf.command import main

if __name__ == "__main__":
    main()
