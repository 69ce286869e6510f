"""How far policies went on the way that the optimum goes: python -m experiments.rlhf.reach RUN

For each policy of a run, pi* ~ rho exp(r / beta) of the same divergence from rho, and what it would have gained in gold reward. pi*
is importance-sampled from answers of rho and of the policy itself in equal numbers: from rho alone, answers that carry it
are e^(2 KL) times rarer than those drawn, were rewards normal.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

import tyro

from experiments.lab.commands import signals
from experiments.lab.commands.cli import BadInput, run_command, typed
from experiments.lab.machine import devices

REACH, ENOUGH = "reach.json", 50.0


@dataclass(frozen=True)
class Args:
    """Hold each policy of a run against the optimum of the same divergence. Writes RUN/reach.json."""

    run: Annotated[Path, tyro.conf.Positional]
    """The folder of `python -m experiments.rlhf`."""
    answers: int = 2_048
    """Answers drawn from each policy, and as many from the reference."""


def reach(args: Args) -> int:
    """Measures, writes and prints, and returns the exit status. Raises BadInput."""
    devices.prepare()  # before jax is imported
    from experiments.lab.recording.files import write_json
    from experiments.rlhf import reached

    if args.answers < 2:
        raise BadInput(f"--answers {args.answers}: two or more")
    devices.start()
    try:
        rows, missing = reached.of_run(args.run, args.answers)
    except (OSError, ValueError) as error:
        raise BadInput(error) from None
    write_json(args.run / REACH, {"answers": args.answers, "policies": rows, "missing": missing})
    print(
        *told(rows), *(f"{name}: {why}" for name, why in missing.items()), str(args.run / REACH), sep="\n", flush=True
    )
    return 0


def told(rows: list[dict[str, Any]]) -> list[str]:
    """Returns a line for each contender: means over seeds, and the share of the optimum's gain with its interval."""
    import numpy as np

    from experiments.lab.judging.statistics import iqm, iqm_interval

    lines = []
    for name in dict.fromkeys(row["contender"] for row in rows):
        own = [row for row in rows if row["contender"] == name]
        kl, gain, best, kept, fewest = (
            [row[key] for row in own] for key in ("kl", "gold_gain", "optimum_gold_gain", "distinct_2_share", "effective_samples")
        )  # fmt: skip
        share = np.array(gain) / np.array(best)
        low, high = iqm_interval(share)
        line = f"{name}: {np.mean(kl):.2f} nats, gold {np.mean(gain):+.3f} where the optimum has {np.mean(best):+.3f}"
        line += f": {iqm(share):.0%} [{low:.0%}, {high:.0%}] of {len(own)} seeds; distinct-2 {np.mean(kept):.0%}"
        line += "" if min(fewest) >= ENOUGH else f"; no more than {min(fewest):.0f} effective answers"
        short = [row["optimum_kl"] for row in own if row["optimum_kl"] < 0.99 * row["kl"]]
        lines.append(line + (f"; the optimum's answers show only {min(short):.2f} nats" if short else ""))
    return lines


def main() -> NoReturn:
    """Runs the command and exits."""
    run_command(Args, reach, typed("rlhf.reach"), signals.NOTHING)


if __name__ == "__main__":
    main()
