"""Compares algorithms on one or more environments under the same seeds: python -m experiments.compare"""

from dataclasses import dataclass
from pathlib import Path

from experiments.lab import devices
from experiments.lab.cli import BadInput, count, run_command


@dataclass(frozen=True)
class Args:
    """Train algorithms under the same seeds and compare their final evaluation returns.

    Writes a folder with manifest.json (everything that decided the run), curves.csv, summary.json and curves.png.
    Ctrl-C keeps what is finished.
    """

    env: tuple[str, ...] = ("CartPole-v1",)
    """Environment ids, as gymnax names them."""
    algos: tuple[str, ...] = ("reinforce", "a2c", "npg", "trpo", "ppo", "dqn", "pgql")
    """Algorithms."""
    seeds: count("--seeds") = 10
    """How many seeds: 0 to N - 1."""
    steps: count("--steps") = 250_000
    """Environment steps each algorithm may take under each seed."""
    out: Path | None = None
    """The run folder; must be new or empty. Default: runs/<time>-<env>."""
    evaluations: count("--evaluations") = 50
    """How often each seed is evaluated, evenly spaced."""
    eval_episodes: count("--eval-episodes") = 32
    """Whole episodes with the greedy policy at each evaluation."""
    width: count("--width") = 1
    """Seeds vmapped into one block. Part of what decides a seed's bits."""


def compare(args: Args) -> int:
    """Runs the comparison and returns the exit status. Raises BadInput."""
    devices.prepare(blocks=-(-args.seeds // args.width))
    from experiments.lab.experiment import Experiment, Task
    from experiments.lab.launch import default_folder, launch
    from experiments.lab.settings import ALGORITHMS, contender

    for name in args.algos:
        if name not in ALGORITHMS:
            raise BadInput(f"unknown algorithm {name!r}; choose from: {', '.join(ALGORITHMS)}")
    for names in (args.env, args.algos):
        if not names or len(set(names)) < len(names):
            raise BadInput(f"name each environment and each algorithm once, not: {' '.join(names) or 'none'}")
    experiment = Experiment(
        tasks=tuple(Task(env, tuple(contender(name, env, args.steps) for name in args.algos)) for env in args.env),
        seeds=tuple(range(args.seeds)),
        steps=args.steps,
        evaluations=args.evaluations,
        eval_episodes=args.eval_episodes,
        width=args.width,
    )
    return launch(experiment, args.out or default_folder(experiment))


if __name__ == "__main__":
    run_command(Args, compare, "python -m experiments.compare")
