"""Training speed beside peers: `python -m experiments.benchmarks.peers`.

Unit: environment steps per second of wall clock, all seeds together, compiling left out, and evaluation too (ours is for
one step a seed before and after). Every row has the same settings, printed under its table.

The sides take turns on the same machine, each in a process that stays alive and has made one round to warm up. rejax has
a row with XLA's own flags and one with ours, where its seeds too are spread over all devices. stable-baselines3 trains
one seed in a process: N seeds one after another make the same steps a second, so it is measured once and stands in
every table.
"""

import statistics
from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from pathlib import Path

import platformdirs
import tyro
from rich.console import Console
from rich.table import Table

from experiments.benchmarks.sides import Side, one_round, started
from experiments.lab.commands import signals
from experiments.lab.machine import hardware

STEPS_MULTIPLE = 10_240  # whole updates of every workload
GAMES = ("Breakout-MinAtar", "Freeway-MinAtar")
ONE_ENV = "dqn-one-env"
LAKE = "FrozenLake-8x8"
WORKLOADS = {"ppo": ("ppo",), "dqn": ("dqn", ONE_ENV), "trpo": ("trpo",), "minatar": GAMES, "tabular": (LAKE,)}
CARTPOLE_PPO = (
    "PPO on CartPole-v1, CleanRL's settings: 4 environments x 128 steps, 4 epochs of 4 minibatches, two towers of 64-64 "
    "tanh units, Adam at 2.5e-4, no annealing"
)
SETTINGS = {
    "ppo": CARTPOLE_PPO,
    "dqn": "DQN on CartPole-v1, CleanRL's settings: one update with 128 samples every 10 environment steps, from 10 "
    "environments, a tower of 120-84, a buffer of 10,000, the first 1,000 steps random, Adam at 2.5e-4",
    ONE_ENV: "the same with one environment, as CleanRL has it: one update every 10 of its steps",
    "trpo": "TRPO on CartPole-v1, rl-baselines3-zoo's settings: 2 environments x 512 steps, 15 iterations of conjugate "
    "gradients damped by 1e-3, KL 0.01, 20 epochs of 2 minibatches for the critic, two towers of 64-64 tanh units",
    LAKE: "tabular Q-learning on slippery FrozenLake 8x8, learning rate and epsilon 0.1, gamma 0.99, a table of float32 "
    "(ours) or float64, equal actions taken alike; the plain loops run on one core",
    **{
        name: f"PPO on {name}: 64 environments x 32 steps, 4 epochs of 4 minibatches, two towers of a 3x3 convolution "
        "with 16 features and 64-64 tanh units, Adam at 2.5e-4, no annealing"
        for name in GAMES
    },
}
# each in a virtual environment of its own; with gymnax 1.0, rejax and PureJaxRL stop at their first step
REJAX = {"file": "rejax_side.py", "folder": "rejax", "requirements": ("rejax==0.1.3", "gymnax<1")}
SB3 = {
    "file": "sb3_side.py",
    "folder": "stable-baselines3",
    "requirements": ("stable-baselines3==2.9.2", "sb3-contrib==2.9.2"),
    "one_seed": True,
}
LOOP = {
    "file": "tabular_side.py",
    "folder": "tabular",
    "requirements": ("numba>=0.61", "gymnasium>=1.1,<1.4"),
    "one_seed": True,
}
PUREJAXRL = {
    "file": "purejaxrl_side.py",
    "folder": "purejaxrl",
    "requirements": ("gymnax<1", "jax<0.12", "flax", "optax", "distrax", "flashbax"),
    "flags": "--xla_cpu_enable_concurrency_optimized_scheduler=false",  # else its initialiser hangs on few cores
}
OURS = "ours"
SIDES = (
    Side(OURS, "our_side.py", ("ppo", "dqn", ONE_ENV, "trpo", *GAMES, LAKE)),
    Side("rejax", workloads=("ppo", "dqn"), **REJAX),
    Side("rejax, our flags, sharded", workloads=("ppo", "dqn"), **REJAX, our_flags=True),
    Side("sb3, one seed", workloads=("ppo", "dqn", ONE_ENV), **SB3),
    Side("sb3-contrib, one seed", workloads=("trpo",), **SB3),
    Side("ours on gymnax's env.step", "gymnax_side.py", GAMES),
    Side("the same, flax's Conv", "gymnax_side.py", GAMES, arguments=("flax",)),
    Side("numba loop, one core", workloads=(LAKE,), **LOOP, arguments=("numba",)),
    Side("NumPy loop, one core", workloads=(LAKE,), **LOOP, arguments=("numpy",)),
    Side("Gymnasium, one core", workloads=(LAKE,), **LOOP, arguments=("gymnasium",)),
)


def main(
    algos: tuple[str, ...] = ("ppo", "dqn", "trpo", "minatar"),
    seeds: tuple[int, ...] = (1, 10),
    steps: int = 100_000,
    rounds: int = 5,
    peers_folder: Path | None = None,
    purejaxrl: Path | None = None,
) -> None:
    """Prints environment steps per second, ours and each peer's, all seeds together and compiling left out.

    Args:
        algos: ppo, dqn, trpo (all on CartPole), minatar (PPO on Breakout and Freeway), tabular (Q-learning on FrozenLake, which wants --steps
            2_000_000), or several.
        seeds: how many seeds train together, a table each.
        steps: environment steps of each seed; cut to a multiple of 10,240.
        rounds: how often each side is timed, in turn, after one round to warm up.
        peers_folder: has the peers' virtual environments; pip makes and fills what is missing. Default: in the cache.
        purejaxrl: a checkout of PureJaxRL, which is not on the package index. Without it, its rows are absent.
    """
    steps -= steps % STEPS_MULTIPLE
    if steps <= 0 or rounds <= 0 or not seeds or min(seeds) <= 0 or not algos or not set(algos) <= set(WORKLOADS):
        raise SystemExit(
            f"give {', '.join(WORKLOADS)} or several, at least one seed, one round, {STEPS_MULTIPLE} steps"
        )
    sides = (*SIDES, *purejaxrl_side(purejaxrl))
    peers_folder = peers_folder or Path(platformdirs.user_cache_dir("evenhand")) / "peers"
    workloads = [workload for algorithm in algos for workload in WORKLOADS[algorithm]]
    once = {workload: {} for workload in workloads}  # speeds of sides that train one seed
    facts = {workload: {} for workload in workloads}
    for num_seeds in seeds:
        for workload in workloads:
            due = tuple(side for side in sides if workload in side.workloads and side.name not in once[workload])
            speeds, facts_now = measure(due, workload, num_seeds, steps, rounds, peers_folder)
            facts[workload] |= facts_now
            Console().print(speed_table(f"{workload}, seeds: {num_seeds}", speeds | once[workload]))
            print(caption(workload, steps, rounds, facts[workload]), end="\n\n", flush=True)
            once[workload] |= {side.name: speeds[side.name] for side in due if side.one_seed}


def purejaxrl_side(checkout: Path | None) -> tuple[Side, ...]:
    """Returns PureJaxRL's row, none without a checkout. Raises SystemExit where the path holds no PureJaxRL."""
    if checkout is None:
        print("no rows of PureJaxRL: give the path of a checkout, --purejaxrl DIR")
        return ()
    if not (checkout / "purejaxrl" / "ppo.py").exists():
        raise SystemExit(f"--purejaxrl {checkout} is no checkout of PureJaxRL: it has no purejaxrl/ppo.py")
    return (Side("PureJaxRL", workloads=("ppo", "dqn", ONE_ENV), arguments=(str(checkout.resolve()),), **PUREJAXRL),)


def measure(sides: tuple[Side, ...], workload: str, num_seeds: int, steps: int, rounds: int, peers_folder: Path):
    """Returns (environment steps per second, all seeds together, a round; what each side's process says of itself)."""
    counts = {side.name: 1 if side.one_seed else num_seeds for side in sides}
    with started(sides, num_seeds, peers_folder) as processes:
        trainers = {
            name: partial(one_round, process, (workload, counts[name], steps)) for name, process in processes.items()
        }
        seconds = take_turns(trainers, rounds)
    speeds = {name: [counts[name] * steps / taken for taken in times] for name, times in seconds.items()}
    return speeds, {name: process.facts for name, process in processes.items()}


def take_turns(trainers: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Returns each trainer's seconds a round. They alternate, so that a slow minute of the machine meets all of them."""
    seconds = {name: [] for name in trainers}
    for number in range(rounds + 1):
        for name, train in trainers.items():
            taken = train()
            if number > 0:
                seconds[name].append(taken)
    return seconds


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


def caption(workload: str, steps: int, rounds: int, facts: Mapping[str, Mapping[str, str | int]]) -> str:
    """Returns what the numbers belong to: unit, settings, processor, cores, versions and date."""
    versions = [
        f"{name}: " + ", ".join(f"{fact} {value}" for fact, value in side.items()) for name, side in facts.items()
    ]
    return "\n".join(
        [
            f"environment steps per second, all seeds together; {rounds} rounds in turn, {steps:,} steps a seed",
            SETTINGS[workload],
            f"{hardware.processor()}, {hardware.cores()} cores, {date.today()}",
            *versions,
        ]
    )


if __name__ == "__main__":
    signals.handle(signals.at_once("interrupted"))
    tyro.cli(main)
