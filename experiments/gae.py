"""Generalised advantages in one figure, exactly: python -m experiments.gae

A chain of three states, two actions, random rewards, and a critic that has learned nothing yet: it says 0 everywhere. All
episodes are enumerated, nothing is drawn. Left: what lambda makes of bias and variance of one sample's advantage. Right:
the error of a mean over n samples; variance goes down with n, bias does not. docs/gae.md explains.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from experiments.lab.commands.cli import run_command, said
from experiments.lab.machine import devices

GAMMA, STEPS = 0.95, 3
PROBABILITIES = np.array([[0.5, 0.5], [0.7, 0.3], [0.4, 0.6]])  # of the careful and the bold action, in each state
LAMBDAS = np.linspace(0.0, 1.0, 101)
SAMPLES = (1, 4, 16, 64)


@dataclass(frozen=True)
class Args:
    """Show the bias and the variance of generalised advantage estimation against lambda, exactly."""

    out: Annotated[Path | None, said("runs/<time>-gae", "DIR")] = None
    """The folder for gae.png and figures.json; must be new or empty."""


def main(args: Args) -> int:
    """Draws the figure, prints the table and returns the exit status."""
    devices.start()
    import jax
    from rich.console import Console

    from experiments.lab.recording import records
    from experiments.lab.recording.files import write_json

    folder = records.create_for(["gae"], args.out)
    with jax.enable_x64(True):
        figures = errors(np.zeros(STEPS))
    write_json(folder / "figures.json", figures)
    draw(figures, folder / "gae.png")
    Console().print(table(figures), highlight=False)
    print("files:", *sorted(map(str, folder.iterdir())), sep="\n  ")
    return 0


def chain():
    """Returns the model: either action leads on to the next state; the careful one earns 0 or 1, the bold one -0.5 or 2.5."""
    from envs.mdp import from_arrays

    reward = np.broadcast_to([[0.0, 1.0], [-0.5, 2.5]], (STEPS, 2, 2))
    successor = np.minimum(np.arange(STEPS) + 1, STEPS - 1)[:, None, None]
    last = (np.arange(STEPS) == STEPS - 1)[:, None, None]
    return from_arrays(np.broadcast_to(successor, reward.shape), 0.5, reward, last, start=0)


def errors(critic: np.ndarray) -> dict:
    """Returns, for every lambda, squared bias and variance of the advantage, means over the steps of an episode, and the
    mean squared error of means over n samples of a state and action: bias^2 + variance / n."""
    from algos.tabular.exact_episodes import advantage_moments

    bias, variance = advantage_moments(chain(), PROBABILITIES, critic, GAMMA, LAMBDAS, STEPS)
    weight = PROBABILITIES / STEPS  # every state is visited once
    squared_bias, variance = ((weight * x).sum((1, 2)) for x in (bias**2, variance))
    found = {"lambda": LAMBDAS.tolist(), "squared_bias": squared_bias.tolist(), "variance": variance.tolist()}
    mean_of = {str(n): (squared_bias + variance / n).tolist() for n in SAMPLES}
    best = {n: float(LAMBDAS[np.argmin(error)]) for n, error in mean_of.items()}
    return found | {"error_of_mean_of": mean_of, "best_lambda": best}


def table(figures: dict):
    """Returns some of the figures as a table for the screen."""
    from rich import box
    from rich.table import Table

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="advantage with a critic of 0", title_justify="left")
    for heading in ("lambda", "bias²", "variance", *(f"error of {n}" for n in SAMPLES)):
        shown.add_column(heading, justify="right")
    columns = [figures["squared_bias"], figures["variance"], *figures["error_of_mean_of"].values()]
    for index in range(0, len(LAMBDAS), 20):
        shown.add_row(f"{LAMBDAS[index]:.1f}", *(f"{column[index]:.4f}" for column in columns))
    return shown


def draw(figures: dict, path: Path) -> None:
    """Draws the two panels."""
    from matplotlib.figure import Figure

    from experiments.lab.showing.lines import COLOURS, GRID, INK, dress

    figure = Figure(figsize=(11, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    squared_bias, variance = np.array(figures["squared_bias"]), np.array(figures["variance"])
    left.plot(LAMBDAS, squared_bias, color=COLOURS[0], linewidth=2, label="bias²: the critic's fault")
    left.plot(LAMBDAS, variance, color=COLOURS[1], linewidth=2, label="variance: luck in the steps to come")
    left.plot(LAMBDAS, squared_bias + variance, color=INK, linewidth=1.4, linestyle="--", label="mean squared error")
    left.set_title("λ trades the critic's error for luck", loc="left", fontsize=11)
    dress(left, "λ", "error of one advantage", INK, GRID)
    left.set_ylim(0.0)
    for (n, error), colour in zip(figures["error_of_mean_of"].items(), COLOURS[2:]):
        right.semilogy(LAMBDAS, error, color=colour, linewidth=2, label=f"{n} sample{'s' * (n != '1')}")
        best = int(np.argmin(error))
        right.plot(LAMBDAS[best], error[best], "o", color=colour, markersize=8)
    right.set_title("The more samples, the higher the best λ (dots)", loc="left", fontsize=11)
    dress(right, "λ", "mean squared error of their mean", INK, GRID)
    for panel in (left, right):
        panel.legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=160)


if __name__ == "__main__":
    run_command(Args, main, "python -m experiments.gae")
