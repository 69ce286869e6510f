"""Training speed of PPO beside a peer, rejax 0.1.3: `python -m experiments.benchmarks.peers`.

Unit: environment steps per second of wall clock, all seeds together, compiling left out. CleanRL's CartPole settings:
4 environments x 128 steps, 4 epochs of 4 minibatches, two towers of 64-64 tanh units, Adam at 2.5e-4.

The sides take turns on the same machine, each in a process that stays alive and has made one round to warm up. Both are
evaluated as rarely as they allow: the peer never; ours for one episode a seed before and after, which its time
includes. The peer has a row with XLA's own flags and one with ours, where its seeds too are spread over all devices.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import platformdirs
import tyro
from rich.console import Console
from rich.table import Table

from experiments.benchmarks import rejax_ppo
from experiments.lab import devices

REQUIREMENTS = ("rejax==0.1.3", "gymnax<1")  # with gymnax 1.0, rejax stops at its first step
STEPS_PER_UPDATE = rejax_ppo.NUM_ENVS * rejax_ppo.NUM_STEPS
OURS, PEER, PEER_OUR_FLAGS = "ours", "rejax", "rejax, our flags, sharded"


@dataclass(frozen=True)
class Side:
    """One process that trains on request."""

    process: subprocess.Popen
    facts: Mapping[str, str | int]  # its packages' versions and its number of devices


def main(seeds: tuple[int, ...] = (1, 10), steps: int = 100_000, rounds: int = 5, peer_env: Path | None = None) -> None:
    """Prints environment steps per second of PPO, ours and rejax's, all seeds together and compiling left out.

    Args:
        seeds: how many seeds train together, one table section each.
        steps: environment steps of each seed; whole updates of 512 steps within them are made.
        rounds: how often each side is timed, in turn, after one round to warm up.
        peer_env: the peer's virtual environment; made and filled by pip where missing. Default: in the user's cache.
    """
    steps -= steps % STEPS_PER_UPDATE
    if steps <= 0 or rounds <= 0 or not seeds or min(seeds) <= 0:
        raise SystemExit(f"give at least one seed, one round and {STEPS_PER_UPDATE} steps")
    console = Console()
    peer_python = install_peer(peer_env or Path(platformdirs.user_cache_dir("evenhand")) / "peers" / "rejax-0.1.3")
    with started_sides(peer_python) as sides:
        console.print(machine_line(sides))
        for num_seeds in seeds:
            with console.status(f"{num_seeds} seeds, {len(sides)} sides, {rounds} rounds of {steps:,} steps a seed"):
                seconds = take_turns(sides, num_seeds, steps, rounds)
            speeds = {name: [num_seeds * steps / taken for taken in times] for name, times in seconds.items()}
            console.print(speed_table(num_seeds, speeds))


def take_turns(sides: Mapping[str, Side], num_seeds: int, steps: int, rounds: int) -> dict[str, list[float]]:
    """Returns each side's seconds a round. Sides alternate, so that a slow minute of the machine meets all of them."""
    seconds = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, side in sides.items():
            taken = one_round(side, num_seeds, steps)
            if number > 0:
                seconds[name].append(taken)
    return seconds


def one_round(side: Side, num_seeds: int, steps: int) -> float:
    """Returns the seconds in which the side trained all seeds once. Raises RuntimeError when its process has ended."""
    side.process.stdin.write(json.dumps([num_seeds, steps]) + "\n")
    side.process.stdin.flush()
    return float(answer(side.process))


def answer(process: subprocess.Popen) -> str:
    """Returns the next line that the process prints."""
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{' '.join(process.args)} ended with status {process.wait()}; its error is above")
    return line


def speed_table(num_seeds: int, speeds: Mapping[str, list[float]]) -> Table:
    """Returns medians and spread of environment steps per second, and how many times a side's median ours is."""
    table = Table(title=f"PPO on CartPole-v1, {num_seeds} seed{'s' * (num_seeds > 1)}", title_justify="left")
    table.add_column("side")
    for column in ("steps/s, median", "min to max", "ours / this"):
        table.add_column(column, justify="right")
    ours = statistics.median(speeds[OURS])
    for name, values in speeds.items():
        median = statistics.median(values)
        table.add_row(name, f"{median:,.0f}", f"{min(values):,.0f} to {max(values):,.0f}", f"{ours / median:.2f}")
    return table


@contextmanager
def started_sides(peer_python: Path) -> Iterator[dict[str, Side]]:
    """Gives the sides by name, each in its process; the processes end with the context.

    The user's XLA_FLAGS reach none of them: each row of the table says by which flags it was made.
    """
    plain = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    serve_ours = (sys.executable, "-c", "from experiments.benchmarks import peers; peers.serve_ours()")
    serve_peer = (str(peer_python), "-I", rejax_ppo.__file__)  # -I: nothing of this project's environment reaches it
    with ExitStack() as stack:
        yield {
            OURS: start(stack, serve_ours, plain),
            PEER: start(stack, serve_peer, plain),
            PEER_OUR_FLAGS: start(stack, serve_peer, {**plain, "XLA_FLAGS": our_flags()}),
        }


def start(stack: ExitStack, command: tuple[str, ...], environment: Mapping[str, str]) -> Side:
    """Returns a started side; leaving the stack closes its input, at which it ends."""
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    stack.enter_context(process)
    return Side(process, json.loads(answer(process)))


def our_flags() -> str:
    """Returns the XLA flags that our side computes with."""
    command = "import os; from experiments.lab import devices; devices.prepare(); print(os.environ['XLA_FLAGS'])"
    plain = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    asked = subprocess.run([sys.executable, "-c", command], env=plain, check=True, capture_output=True, text=True)
    return asked.stdout.strip()


def serve_ours() -> None:
    """Answers the benchmark's requests with our PPO, run as every experiment runs it."""
    devices.prepare()
    rejax_ppo.serve(make_round, ("jax",))


def make_round(num_seeds: int, steps: int) -> rejax_ppo.Round:
    """Returns a training of all seeds by the experiments' runner. Its seconds hold no compiling but two evaluations."""
    from algos import ppo
    from envs import make
    from experiments.lab import runner
    from experiments.lab.experiment import Contender, Experiment, Task

    config = ppo.Config(rejax_ppo.NUM_ENVS, rejax_ppo.NUM_STEPS, num_epochs=4, num_minibatches=4, hidden_sizes=(64, 64))
    contender = Contender("PPO", ppo, config, ppo.HParams(learning_rate=2.5e-4, total_steps=float(steps)))
    task = Task("CartPole-v1", (contender,))
    experiment = Experiment((task,), tuple(range(num_seeds)), steps, evaluations=1, eval_episodes=1)
    env = make(task.environment)

    def one_round() -> float:
        *_, finished = runner.train(experiment, task, contender, env)
        return finished.run_seconds

    return one_round


def install_peer(folder: Path) -> Path:
    """Returns the interpreter of the peer's virtual environment, which is made and filled where it is missing."""
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"making a virtual environment for {' '.join(REQUIREMENTS)} in {folder}")
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    has_peer = subprocess.run([python, "-I", "-c", "import rejax"], check=False, capture_output=True).returncode == 0
    if not has_peer:
        subprocess.run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)
    return python


def machine_line(sides: Mapping[str, Side]) -> str:
    """Returns what the numbers belong to: processor, cores, versions and date."""
    versions = [
        f"{name}: " + ", ".join(f"{fact} {value}" for fact, value in side.facts.items()) for name, side in sides.items()
    ]
    return "\n".join([f"{processor()}, {devices.cores()} cores, {date.today()}", *versions])


def processor() -> str:
    """Returns the processor's model, as Linux names it, else what Python knows."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


if __name__ == "__main__":
    tyro.cli(main)
