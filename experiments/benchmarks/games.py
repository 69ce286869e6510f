"""Iterations a second of counterfactual regret minimisation beside OpenSpiel's: `python -m experiments.benchmarks.games`.

The same method on the same trees, players in turn: ours compiled and OpenSpiel's CFRSolver in C++, both in float64, and OpenSpiel's JaxCFR,
which computes in float32. Needs open_spiel (the extra `test`). Building the game and compiling are left out; a figure is the best of
some rounds, by the processor's seconds, which say more than the clock on a shared machine.
"""

import time
from collections.abc import Callable
from datetime import date

import tyro
from rich.console import Console
from rich.table import Table

from experiments.lab.machine import devices, hardware

GAMES = {
    "kuhn": ("kuhn_poker", 20_000, 20_000, 1_000),
    "leduc": ("leduc_poker", 1_000, 50, 50),
}  # ours, C++, JaxCFR: iterations


def main(rounds: int = 3) -> None:
    """Prints iterations a second of CFR and CFR+, ours and OpenSpiel's.

    Args:
        rounds: how often each is measured; the best counts.
    """
    devices.start()
    import jax
    import pyspiel

    table = Table(title="iterations of CFR a second", title_justify="left")
    for heading in ("game", "method", "ours", "OpenSpiel, C++", "OpenSpiel, JAX"):
        table.add_column(heading, justify="left" if heading in ("game", "method") else "right")
    for name, (theirs, many, some, few) in GAMES.items():
        game = pyspiel.load_game(theirs)
        for method, solver in (("cfr", pyspiel.CFRSolver), ("cfr_plus", pyspiel.CFRPlusSolver)):
            with jax.enable_x64(True):
                own = best(ours(name, method), many, rounds)
            other = best(cplusplus(solver(game)), some, rounds)
            third = f"{best(theirs_in_jax(game), few, rounds):,.0f}" if method == "cfr" else ""
            table.add_row(name, method, f"{own:,.0f}", f"{other:,.0f}", third)
    Console().print(table)
    print(f"{hardware.processor()}, {date.today()}, best of {rounds} rounds, one core's seconds")


def best(run: Callable[[int], None], iterations: int, rounds: int) -> float:
    """Returns the most iterations a second of some rounds, after one to warm up."""
    run(iterations)
    seconds = []
    for _ in range(rounds):
        began = time.process_time()
        run(iterations)
        seconds.append(time.process_time() - began)
    return iterations / min(seconds)


def ours(name: str, method: str) -> Callable[[int], None]:
    """Returns a function that runs so many iterations."""
    import jax

    from algos.agents import cfr
    from algos.core import sequences
    from envs.games import named

    solver = cfr.make(sequences.tables(named.make(name)), cfr.PLUS if method == "cfr_plus" else cfr.Config())
    run = jax.jit(lambda n: jax.lax.fori_loop(0, n, lambda _, state: solver.step(state), solver.init()))
    return lambda iterations: jax.block_until_ready(run(iterations))


def cplusplus(solver) -> Callable[[int], None]:
    """Returns a function that runs so many iterations of OpenSpiel's solver."""

    def run(iterations):
        for _ in range(iterations):
            solver.evaluate_and_update_policy()

    return run


def theirs_in_jax(game) -> Callable[[int], None]:
    """Returns a function that runs so many iterations of OpenSpiel's JaxCFR."""
    import jax
    from open_spiel.python.jax.cfr.jax_cfr import JaxCFR

    solver = JaxCFR(game)

    def run(iterations):
        solver.multiple_steps(iterations)
        jax.block_until_ready(solver.regrets)

    return run


if __name__ == "__main__":
    tyro.cli(main)
