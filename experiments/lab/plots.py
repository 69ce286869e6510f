"""Pictures of a run folder, drawn from its curves.csv alone."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd

from experiments.lab.statistics import iqm, iqm_interval

COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
)  # Okabe and Ito: told apart by all
BACKGROUND, INK, GRID = "white", "#222222", "#dddddd"


def draw_curves(folder: Path) -> Path:
    """Draws evaluation return against environment steps, one panel an environment: IQM over seeds with its 95% interval.

    Returns the path of the picture, curves.png.
    """
    curves = pd.read_csv(folder / "curves.csv")
    curves = curves[curves.metric == "evaluation_return"]
    environments = list(dict.fromkeys(curves.environment))
    names = list(dict.fromkeys(curves.algorithm))
    figure, panels = plt.subplots(
        1, len(environments), figsize=(1.5 + 6.5 * len(environments), 4.6), squeeze=False, layout="constrained"
    )
    for panel, environment in zip(panels[0], environments):
        of_environment = curves[curves.environment == environment]
        for name, colour in zip(names, _colours(len(names))):
            _draw_algorithm(panel, of_environment[of_environment.algorithm == name], name, colour)
        _dress(panel, environment, curves.seed.nunique())
    path = folder / "curves.png"
    figure.savefig(path, dpi=160, facecolor=BACKGROUND)
    plt.close(figure)
    return path


def _draw_algorithm(panel, curve: pd.DataFrame, name: str, colour: str) -> None:
    if curve.empty:
        return
    returns = curve.pivot(index="seed", columns="env_steps", values="value").dropna(axis=1)
    low, high = iqm_interval(returns.to_numpy())
    panel.fill_between(returns.columns, low, high, color=colour, alpha=0.18, linewidth=0)
    panel.plot(returns.columns, iqm(returns.to_numpy()), color=colour, linewidth=1.8, label=name)


def _dress(panel, environment: str, num_seeds: int) -> None:
    seeds = f"{num_seeds} seeds: IQM and 95% interval" if num_seeds > 1 else "one seed"
    panel.set_title(f"{environment}   ({seeds})", color=INK, fontsize=11, loc="left")
    panel.set_xlabel("environment steps", color=INK)
    panel.set_ylabel("evaluation return", color=INK)
    panel.xaxis.set_major_formatter(matplotlib.ticker.EngFormatter(sep=""))
    panel.grid(color=GRID, linewidth=0.6)
    panel.margins(x=0.01)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, loc="best")


def _colours(count: int) -> list[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(count)]
