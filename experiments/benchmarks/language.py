"""Speed of language policies beside a plain PyTorch loop and TRL's PPO: `python -m experiments.benchmarks.language`.

The pipeline's default size. One core, by the processor's seconds, which say more than the clock on a shared machine; the sides
take turns, each in a process of its own, and compiling is left out. The bound is what the arithmetic alone would take at the
rate of a large product on the same core in the same round.
"""

import math
import os
import statistics
from collections.abc import Sequence
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import platformdirs
import tyro
from rich.console import Console
from rich.table import Table
from scipy import stats

from experiments.benchmarks.language_side import PIPELINE, Shape
from experiments.benchmarks.peers import take_turns
from experiments.benchmarks.sides import Side, one_round, started
from experiments.lab.commands import signals
from experiments.lab.machine import hardware

OURS, PYTORCH, TRL, PEAK = "ours", "PyTorch", "TRL", "peak"
REQUIREMENTS = ("trl==1.12.0", "transformers==5.24.0", "torch==2.14.1")  # TRL 1.13 and later have no PPO
SIDES = (
    Side(OURS, "language_side.py", ("sampling", "sampling without a cache", "supervised step", "PPO update")),
    Side(PYTORCH, "language_torch.py", ("sampling", "sampling without a cache", "supervised step", "PPO update"),
         "language", REQUIREMENTS),
    Side(TRL, "language_trl.py", ("PPO update",), "language", REQUIREMENTS),
)  # fmt: skip
TIMES = {"sampling": 8, "sampling without a cache": 2, "supervised step": 4, "PPO update": 2, PEAK: 40}  # in a round
FORWARD, TRAINING = 1.0, 3.0  # passes: a gradient takes two more products for each of the forward pass


def main(workloads: tuple[str, ...] = SIDES[0].workloads, rounds: int = 7, peers_folder: Path | None = None) -> None:
    """Prints tokens per second of processor time, ours and the peers', and the arithmetic bound.

    Args:
        workloads: what is measured.
        rounds: how often each side runs each; they take turns.
        peers_folder: has the peers' virtual environment; pip makes and fills what is missing. Default: in the cache.
    """
    unknown = set(workloads) - set(SIDES[0].workloads)
    if unknown or not workloads or rounds < 2:
        raise SystemExit(f"give workloads of {', '.join(SIDES[0].workloads)}, and two rounds or more")
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # of the processes that are started, too
    folder = peers_folder or Path(platformdirs.user_cache_dir("evenhand")) / "peers"
    with started(SIDES, 1, folder) as processes:
        for workload in workloads:
            due = {side.name: workload for side in SIDES if workload in side.workloads} | {PEAK: PEAK}
            runs = {
                name: partial(one_round, processes[OURS if name == PEAK else name], (asked, TIMES[asked], 0))
                for name, asked in due.items()
            }
            Console(width=110).print(table(workload, take_turns(runs, rounds)))
        facts = [f"{name}: {', '.join(f'{k} {v}' for k, v in one.facts.items())}" for name, one in processes.items()]
    print(f"tokens per second of one core, medians of {rounds} rounds in turn; {hardware.processor()}, {date.today()}")
    print("\n".join(facts))


def table(workload: str, seconds: dict[str, list[float]], shape: Shape = PIPELINE) -> Table:
    """Returns tokens/s of the sides and of the bound, and how many times as fast ours is, with a 95% interval.

    seconds: of each side's rounds, and of a large product's, `peak`.
    """
    tokens, rate = tokens_of(workload, shape), 2.0 * shape.side**3 / statistics.median(seconds[PEAK])
    shown = Table(title=f"{workload}: {tokens:,} tokens", title_justify="left")
    shown.add_column("side")
    for column in ("tokens/s", "GFLOP/s", "ours / this, 95% interval"):
        shown.add_column(column, justify="right")
    for name, times in seconds.items():
        if name != PEAK:
            taken, ratio = statistics.median(times), ratio_of(times, seconds[OURS])
            shown.add_row(name, f"{tokens / taken:,.0f}", f"{flop(workload, shape) / taken / 1e9:.1f}", ratio)
    bound = flop(workload, shape) / rate
    shown.add_row("arithmetic bound", f"{tokens / bound:,.0f}", f"{rate / 1e9:.1f}", ratio_of([bound], seconds[OURS]))
    return shown


def ratio_of(theirs: Sequence[float], ours: Sequence[float]) -> str:
    """Returns how many times as fast ours is, the geometric mean of rounds, with the interval of Student's t."""
    logs = np.log(theirs) - np.log(ours)
    mean, half = float(np.mean(logs)), 0.0
    if len(logs) > 1 and np.ptp(logs) > 0.0:
        half = float(stats.sem(logs) * stats.t.ppf(0.975, len(logs) - 1))
    return f"{math.exp(mean):.2f} [{math.exp(mean - half):.2f}, {math.exp(mean + half):.2f}]"


def tokens_of(workload: str, shape: Shape) -> int:
    """Returns how many tokens are counted in one run: those that are drawn, or those of the rows."""
    return shape.rows * shape.row if workload == "supervised step" else shape.answers * shape.length


def flop(workload: str, shape: Shape) -> float:
    """Returns the floating point operations of one run's products, attention among them; half of it is what sees the past.

    An update of PPO draws, then policy and reference read, the reward model scores, and each epoch takes a gradient.
    """
    if workload == "supervised step":
        return TRAINING * shape.rows * passes(shape, shape.row, of_text=shape.row // 4)
    if workload == "sampling without a cache":
        texts = range(1, shape.length + 1)
        return shape.answers * sum(passes(shape, length, logits=1) for length in texts)
    whole = shape.answers * passes(shape, shape.length)
    if workload == "sampling":
        return FORWARD * whole
    reward = shape.answers * passes(shape, shape.length, logits=0)
    return (3 * FORWARD + TRAINING * shape.epochs) * whole + FORWARD * reward


def passes(shape: Shape, length: int, logits: int | None = None, of_text: int | None = None) -> float:
    """Returns the operations of reading a row of `length` tokens forward, with logits of so many (None: all).

    of_text: the tokens of one text of the row, which see no other; None: the row is one text.
    """
    hidden = -(-shape.width // 3) * 8
    weights = shape.layers * shape.width * (4 * shape.width + 3 * hidden)
    seen = ((of_text or length) + 1) / 2.0
    attention = 2 * shape.layers * shape.width * seen
    heads = shape.vocabulary * shape.width * (length if logits is None else logits)
    return 2.0 * (length * (weights + attention) + heads)


if __name__ == "__main__":
    signals.handle(signals.at_once("interrupted"))
    tyro.cli(main)
