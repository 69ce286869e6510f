"""Cooperative spread beside JaxMARL's own IPPO: `python -m experiments.benchmarks.agents --jaxmarl CHECKOUT`.

Both train on MPE's simple_spread for as many environment steps, all seeds together, in turn on the same machine, each in a
process that stays alive; what the greedy agents earn is measured by one and the same evaluation, on our environment. Speed is
environment steps (of a team, not of its members) per second of wall clock and per second of processor time, compiling left out;
ours is also evaluated within its time. JaxMARL's IPPO is baselines/IPPO/ippo_ff_mpe.py of the checkout, with its own settings
(16 environments x 128 steps, 4 epochs of 4 minibatches, two towers of 64-64 tanh units, Adam at 2.5e-4, annealed) and the rows
"at JaxMARL's settings" have the same. It needs `pip install 'jaxmarl>=0.2,<0.3' distrax` here.
"""

import json
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import tyro

from experiments.benchmarks.sides import Side as Process
from experiments.benchmarks.sides import answer, environment, start

OURS = ("ippo", "mappo", "ippo at JaxMARL's settings")
THEIRS = "JaxMARL ippo_ff_mpe"
NO_HANG = "--xla_cpu_enable_concurrency_optimized_scheduler=false"  # else its initialiser hangs on few cores


def main(jaxmarl: Path, steps: int = 1_000_000, seeds: int = 3, rounds: int = 1) -> None:
    """Prints score and speed of each side.

    Args:
        jaxmarl: a checkout of FLAIROx/JaxMARL, whose baselines are not in its wheel.
        steps: environment steps of each seed; cut to whole updates of 2,048 steps.
        seeds: how many train together.
        rounds: how often each side trains, in turn, after it has compiled.
    """
    if not (jaxmarl / "baselines" / "IPPO" / "ippo_ff_mpe.py").is_file():
        raise SystemExit(f"{jaxmarl} is no checkout of JaxMARL: it has no baselines/IPPO/ippo_ff_mpe.py")
    if steps < 2048 or seeds < 1 or rounds < 1:
        raise SystemExit("give 2,048 steps or more, at least one seed and one round")
    steps -= steps % 2048
    found = measured(jaxmarl, steps, seeds, rounds)
    print(f"spread with 3 agents, {seeds} seeds, {steps:,} steps each, {rounds} rounds")
    print(f"{'side':30}{'normalised':>12}{'per agent':>11}{'x 3':>8}{'steps/s':>10}{'per CPU s':>11}")
    for name, answers in found.items():
        scores = np.concatenate([each["returns"] for each in answers])
        score, speed, cpu = normalised(scores.mean()), *(
            statistics.median(steps * seeds / each[unit] for each in answers) for unit in ("seconds", "cpu_seconds")
        )  # fmt: skip
        print(f"{name:30}{score:12.3f}{scores.mean():11.2f}{3 * scores.mean():8.1f}{speed:10,.0f}{cpu:11,.0f}")
        print(f"{'':30}seeds: {' '.join(f'{normalised(one):.3f}' for one in scores)}")


def normalised(value: float) -> float:
    """Returns where a return per agent lies between the random policy, 0, and the controller, 1."""
    from experiments.lab.judging.spread import CONTROLLER, RANDOM

    return float((value - RANDOM) / (CONTROLLER - RANDOM))


def measured(jaxmarl: Path, steps: int, seeds: int, rounds: int) -> dict[str, list[dict]]:
    """Returns each side's answers: seconds, processor seconds and the returns per agent of its seeds."""
    module = [sys.executable, "-m"]
    commands = {
        "ours": ([*module, "experiments.benchmarks.agents_side", str(seeds)], Process("ours", "", ())),
        "theirs": ([*module, "experiments.benchmarks.jaxmarl_side", str(jaxmarl)], Process("", "", (), flags=NO_HANG)),
    }
    found: dict[str, list[dict]] = {name: [] for name in (*OURS, THEIRS)}
    with ExitStack() as stack:
        sides = {name: start(stack, tuple(words), environment(side, 2)) for name, (words, side) in commands.items()}
        for _ in range(rounds):
            for name in found:
                process = sides["theirs" if name == THEIRS else "ours"].process
                process.stdin.write(json.dumps([name, seeds, steps]) + "\n")
                process.stdin.flush()
                found[name].append(json.loads(answered(process)))
    return found


def answered(process) -> str:
    """Returns the next line that is an answer: JaxMARL prints some of its own."""
    line = answer(process)
    return line if line.startswith("{") else answered(process)


if __name__ == "__main__":
    tyro.cli(main)
