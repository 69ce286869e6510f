"""Training speed of PPO and DQN beside a peer, rejax 0.1.3: `python -m experiments.benchmarks.peers`.

Unit: environment steps per second of wall clock, all seeds together, compiling left out. CleanRL's CartPole settings.
PPO: 4 environments x 128 steps, 4 epochs of 4 minibatches, two towers of 64-64 tanh units, Adam at 2.5e-4.
DQN: 10 environments, one update with 128 samples every 10 environment steps, a tower of 120-84, buffer of 10,000.

The sides take turns on the same machine, each in a process that stays alive and has made one round to warm up. Both are
evaluated as rarely as they allow: the peer never; ours for one episode a seed before and after, which its time
includes. The peer has a row with XLA's own flags and one with ours, where its seeds too are spread over all devices.
"""

import json
import os
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

from experiments.benchmarks import rejax_side
from experiments.lab import devices

REQUIREMENTS = ("rejax==0.1.3", "gymnax<1")  # with gymnax 1.0, rejax stops at its first step
STEPS_MULTIPLE = 2_560  # whole updates of PPO and of DQN
SETTINGS = ("XLA_FLAGS", "NPROC")  # what `devices.prepare` decides by the number of seeds
OURS, PEER, PEER_OUR_FLAGS = "ours", "rejax", "rejax, our flags, sharded"


@dataclass(frozen=True)
class Side:
    """One process that trains on request."""

    process: subprocess.Popen
    facts: Mapping[str, str | int]  # its packages' versions and its number of devices


def main(
    algos: tuple[str, ...] = ("ppo", "dqn"),
    seeds: tuple[int, ...] = (1, 10),
    steps: int = 100_000,
    rounds: int = 5,
    peer_env: Path | None = None,
) -> None:
    """Prints environment steps per second, ours and rejax's, all seeds together and compiling left out.

    Args:
        algos: ppo, dqn or both.
        seeds: how many seeds train together, one table section each.
        steps: environment steps of each seed; cut to a multiple of 2,560.
        rounds: how often each side is timed, in turn, after one round to warm up.
        peer_env: the peer's virtual environment; made and filled by pip where missing. Default: in the user's cache.
    """
    steps -= steps % STEPS_MULTIPLE
    if steps <= 0 or rounds <= 0 or not seeds or min(seeds) <= 0 or not set(algos) <= {"ppo", "dqn"}:
        raise SystemExit(f"give ppo or dqn, at least one seed, one round and {STEPS_MULTIPLE} steps")
    console = Console()
    peer_python = install_peer(peer_env or Path(platformdirs.user_cache_dir("evenhand")) / "peers" / "rejax-0.1.3")
    for num_seeds in seeds:
        with started_sides(peer_python, num_seeds) as sides:
            console.print(machine_line(sides))
            for algorithm in algos:
                seconds = take_turns(sides, (algorithm, num_seeds, steps), rounds)
                speeds = {name: [num_seeds * steps / taken for taken in times] for name, times in seconds.items()}
                console.print(speed_table(f"{algorithm} on CartPole-v1, seeds: {num_seeds}", speeds))


def take_turns(sides: Mapping[str, Side], job: tuple[str, int, int], rounds: int) -> dict[str, list[float]]:
    """Returns each side's seconds a round. Sides alternate, so that a slow minute of the machine meets all of them."""
    seconds = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, side in sides.items():
            taken = one_round(side, job)
            if number > 0:
                seconds[name].append(taken)
    return seconds


def one_round(side: Side, job: tuple[str, int, int]) -> float:
    """Returns the seconds in which the side trained all seeds once. Raises RuntimeError when its process has ended."""
    side.process.stdin.write(json.dumps(job) + "\n")
    side.process.stdin.flush()
    return float(answer(side.process))


def answer(process: subprocess.Popen) -> str:
    """Returns the next line that the process prints."""
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{' '.join(process.args)} ended with status {process.wait()}; its error is above")
    return line


def speed_table(title: str, speeds: Mapping[str, list[float]]) -> Table:
    """Returns medians and spread of environment steps per second, and how many times a side's median ours is."""
    table = Table(title=title, title_justify="left")
    table.add_column("side")
    for column in ("steps/s, median", "min to max", "ours / this"):
        table.add_column(column, justify="right")
    ours = statistics.median(speeds[OURS])
    for name, values in speeds.items():
        median = statistics.median(values)
        table.add_row(name, f"{median:,.0f}", f"{min(values):,.0f} to {max(values):,.0f}", f"{ours / median:.2f}")
    return table


@contextmanager
def started_sides(peer_python: Path, num_seeds: int) -> Iterator[dict[str, Side]]:
    """Gives the sides by name, each in its process; the processes end with the context.

    The user's XLA_FLAGS reach none of them: each row of the table says by which flags it was made.
    """
    plain = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    serve_ours = (sys.executable, "-c", f"from experiments.benchmarks import peers; peers.serve_ours({num_seeds})")
    serve_peer = (str(peer_python), "-I", rejax_side.__file__)  # -I: nothing of this project's environment reaches it
    with ExitStack() as stack:
        yield {
            OURS: start(stack, serve_ours, plain),
            PEER: start(stack, serve_peer, plain),
            PEER_OUR_FLAGS: start(stack, serve_peer, plain | our_settings(num_seeds, plain)),
        }


def start(stack: ExitStack, command: tuple[str, ...], environment: Mapping[str, str]) -> Side:
    """Returns a started side; leaving the stack closes its input, at which it ends."""
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    stack.enter_context(process)
    return Side(process, json.loads(answer(process)))


def our_settings(num_seeds: int, plain: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment variables that our side computes with."""
    command = (
        "import json, os; from experiments.lab import devices; "
        f"devices.prepare({num_seeds}); print(json.dumps({{name: os.environ[name] for name in {SETTINGS}}}))"
    )
    asked = subprocess.run([sys.executable, "-c", command], env=plain, check=True, capture_output=True, text=True)
    return json.loads(asked.stdout)


def serve_ours(num_seeds: int) -> None:
    """Answers the benchmark's requests with our algorithms, run as every experiment runs them."""
    devices.prepare(num_seeds)
    rejax_side.serve(make_round, ("jax",))


def make_round(algorithm: str, num_seeds: int, steps: int) -> rejax_side.Round:
    """Returns a training of all seeds by the experiments' runner. Its seconds hold no compiling but two evaluations."""
    from algos import dqn, ppo
    from envs import make
    from experiments.lab import runner
    from experiments.lab.experiment import Contender, Experiment, Task

    module = {"ppo": ppo, "dqn": dqn}[algorithm]
    # the defaults are CleanRL's, but for the annealing that the peer does not do either
    contender = Contender(algorithm, module, module.Config(), module.HParams(total_steps=float(steps), anneal=0.0))
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
    return "\n".join([f"{devices.processor()}, {devices.cores()} cores, {date.today()}", *versions])


if __name__ == "__main__":
    tyro.cli(main)
