"""Maximum likelihood in one figure and one table: python -m experiments.score_function

Left: three ways up the likelihood of a normal model, from the same start. Middle: the mean score of a sample is zero
on average at the parameters that the sample was drawn from, and nowhere else. Right: how near estimates come to the
Cramer-Rao bound. The table holds every formula, by autodiff, against its closed form. docs/score_function.md explains.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from experiments.lab.commands.cli import run_command, said
from experiments.lab.machine import devices

SEED = 0
TRUE_MEAN, TRUE_LOG_STD = 1.0, -0.5
TRUE_PROBABILITIES = (0.5, 0.3, 0.15, 0.05)
START = (2.1, 0.1)  # so far off in the mean that the observed information is indefinite
PATH_SAMPLES, PATH_STEPS, RATE = 200, 12, 0.1
REPEATS, SAMPLES, WRONG_MEAN = 20_000, 50, 1.1
SIZES = (2, 3, 5, 10, 20, 50, 100, 200)
WAYS = ("gradient", "Newton", "natural gradient")


@dataclass(frozen=True)
class Args:
    """Show maximum likelihood, the score function and the Cramer-Rao bound on a normal and a categorical model."""

    out: Annotated[Path | None, said("runs/<time>-score-function", "DIR")] = None
    """The folder for score_function.png and figures.json; must be new or empty."""


def main(args: Args) -> int:
    """Draws the figure, prints the table and returns the exit status."""
    devices.start()
    import jax
    from rich.console import Console

    from experiments.lab.recording import records
    from experiments.lab.recording.files import write_json

    folder = records.create_for(["score-function"], args.out)
    with jax.enable_x64(True):
        rows = formulas()
        figures = {"formulas": rows, "paths": paths(), "mean_scores": mean_scores(), "variances": variances()}
    write_json(folder / "figures.json", figures)
    draw(figures, folder / "score_function.png")
    Console().print(table(rows), highlight=False)
    print("files:", *sorted(map(str, folder.iterdir())), sep="\n  ")
    return 0


def normal(params):
    """Returns the normal model of parameters (mean, log of the standard deviation)."""
    from algos.core.distributions import DiagonalGaussian

    return DiagonalGaussian(params[:1], params[1:])


def categorical(params):
    """Returns the categorical model of A - 1 free logits; the last is 0, else their information would be singular."""
    import jax.numpy as jnp

    from algos.core.distributions import Categorical

    return Categorical(jnp.append(params, 0.0))


def formulas() -> list[dict]:
    """Returns, for both models, each quantity by autodiff beside its closed form: name, formula, largest difference."""
    import jax
    import jax.numpy as jnp

    from algos.core import likelihood

    x = draws(jax.random.key(SEED), PATH_SAMPLES)
    at = jnp.array([0.7, -0.2])
    error, precision = x[:, 0] - at[0], jnp.exp(-2.0 * at[1])
    ones = jnp.ones_like(error)
    cross, square = jnp.mean(2.0 * error * precision), jnp.mean(2.0 * error**2 * precision)
    named = [
        ("normal", "L", "log σ + ½ log 2π + mean (x − μ)² / 2σ²", likelihood.negative_log_likelihood(normal, at, x),
         at[1] + 0.5 * jnp.log(2.0 * jnp.pi) + 0.5 * jnp.mean(error**2) * precision),
        ("normal", "s(x)", "((x − μ) / σ², (x − μ)² / σ² − 1)", likelihood.scores(normal, at, x),
         jnp.stack([error * precision, error**2 * precision - ones], axis=1)),
        ("normal", "I", "diag(1 / σ², 2)", likelihood.expected_information(normal, at), jnp.diag(jnp.array([precision, 2.0]))),
        ("normal", "J", "mean ((1/σ², 2(x−μ)/σ²), (2(x−μ)/σ², 2(x−μ)²/σ²))", likelihood.observed_information(normal, at, x),
         jnp.array([[precision, cross], [cross, square]])),
    ]  # fmt: skip
    logits = jnp.array([0.4, -0.3, 0.2])
    drawn = categorical(jnp.log(jnp.array(TRUE_PROBABILITIES[:-1]) / TRUE_PROBABILITIES[-1]))
    choice = jax.random.categorical(jax.random.key(SEED + 1), drawn.logits, shape=(PATH_SAMPLES,))
    p = jax.nn.softmax(jnp.append(logits, 0.0))
    count = jnp.bincount(choice, length=p.size) / choice.size
    information = (jnp.diag(p) - jnp.outer(p, p))[:-1, :-1]
    named += [
        ("categorical", "L", "−Σ (n_a / N) log p_a", likelihood.negative_log_likelihood(categorical, logits, choice),
         -jnp.sum(count * jnp.log(p))),
        ("categorical", "s(x)", "e_x − p", likelihood.scores(categorical, logits, choice),
         (jax.nn.one_hot(choice, p.size, dtype=p.dtype) - p)[:, :-1]),
        ("categorical", "I", "diag(p) − p pᵀ", likelihood.expected_information(categorical, logits), information),
        ("categorical", "J", "diag(p) − p pᵀ, whatever the sample",
         likelihood.observed_information(categorical, logits, choice), information),
    ]  # fmt: skip
    return [
        {"model": model, "quantity": quantity, "closed form": form, "difference": float(jnp.max(jnp.abs(ours - exact)))}
        for model, quantity, form, ours, exact in named
    ]


def draws(key, *shape: int):
    """Returns samples [..., 1] of the true normal."""
    import jax
    import jax.numpy as jnp

    return TRUE_MEAN + jnp.exp(TRUE_LOG_STD) * jax.random.normal(key, (*shape, 1))


def paths() -> dict:
    """Returns the parameters along each way up the likelihood of one sample, the best ones, and L around them."""
    import jax
    import jax.numpy as jnp

    from algos.core import likelihood

    x = draws(jax.random.key(SEED), PATH_SAMPLES)
    directions = (likelihood.gradient_ascent, likelihood.newton_ascent, likelihood.natural_ascent)
    found: dict = {"best": [float(x.mean()), float(jnp.log(x.std()))]}
    for name, direction in zip(WAYS, directions):
        at, rate = jnp.array(START), RATE if name == "gradient" else 1.0
        found[name] = [at.tolist()]
        for _ in range(PATH_STEPS):
            at = at + rate * jax.jit(direction, static_argnums=0)(normal, at, x)
            found[name].append(at.tolist())
    means, log_stds = jnp.linspace(0.3, 3.1, 90), jnp.linspace(-1.0, 1.2, 90)
    nll = jax.vmap(
        jax.vmap(lambda *at: likelihood.negative_log_likelihood(normal, jnp.stack(at), x), (0, None)), (None, 0)
    )
    return found | {"means": means.tolist(), "log_stds": log_stds.tolist(), "nll": nll(means, log_stds).tolist()}


def mean_scores() -> dict:
    """Returns the mean score of many samples in the direction of the mean, at the true mean and at a wrong one."""
    import jax
    import jax.numpy as jnp

    from algos.core import likelihood

    x = draws(jax.random.key(SEED + 2), REPEATS, SAMPLES)

    def along_mean(mean):
        at = jnp.array([mean, TRUE_LOG_STD])
        return jax.vmap(lambda sample: likelihood.gradient_ascent(normal, at, sample)[0])(x)

    information = likelihood.expected_information(normal, jnp.array([TRUE_MEAN, TRUE_LOG_STD]))
    return {
        "true": along_mean(TRUE_MEAN).tolist(),
        "wrong": along_mean(WRONG_MEAN).tolist(),
        "predicted_deviation": float(jnp.sqrt(information[0, 0] / SAMPLES)),
    }


def variances() -> dict:
    """Returns N Var / bound of three estimates at several sample sizes: the bound of Cramer and Rao is 1."""
    import jax
    import numpy as np

    found: dict = {"sizes": list(SIZES)}
    estimates = {
        "mean": lambda x: x.mean(-1),
        "unbiased variance": lambda x: x.var(-1, ddof=1),
        "median": lambda x: np.median(x, -1),
    }
    variance = float(np.exp(2.0 * TRUE_LOG_STD))
    bounds = {"mean": variance, "unbiased variance": 2.0 * variance**2, "median": variance}  # of one sample
    for name, estimate in estimates.items():
        found[name] = [
            float(
                estimate(np.asarray(draws(jax.random.key(SEED + size), REPEATS, size))[..., 0]).var()
                * size
                / bounds[name]
            )
            for size in SIZES
        ]
    return found


def table(rows: list[dict]):
    """Returns the formulas as a table for the screen."""
    from rich import box
    from rich.table import Table

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="autodiff against the closed form", title_justify="left")
    for heading in rows[0]:
        shown.add_column(heading)
    for row in rows:
        shown.add_row(row["model"], row["quantity"], row["closed form"], f"{row['difference']:.1e}")
    return shown


def draw(figures: dict, path: Path) -> None:
    """Draws the three panels."""
    from matplotlib.figure import Figure

    from experiments.lab.showing.lines import COLOURS, GRID, INK, dress

    figure = Figure(figsize=(14, 4.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    draw_paths(left, figures["paths"], COLOURS)
    dress(left, "mean μ", "log σ", INK, GRID)
    left.set_title("Three ways up the likelihood", loc="left", fontsize=11)
    draw_scores(middle, figures["mean_scores"], COLOURS, INK)
    dress(middle, f"mean score of {SAMPLES} samples, along μ", "density", INK, GRID)
    middle.set_title("The score is 0 on average only at the truth", loc="left", fontsize=11)
    for name, colour, mark in zip(("mean", "unbiased variance", "median"), COLOURS, "os^"):
        right.semilogx(figures["variances"]["sizes"], figures["variances"][name], f"{mark}-", color=colour, label=name)
    right.axhline(1.0, color=INK, linewidth=1.2, linestyle="--", label="Cramér-Rao bound")
    right.set_ylim(0.0, 2.2)
    dress(right, "samples N", "variance of the estimate / bound", INK, GRID)
    right.set_title("No unbiased estimate is below the bound", loc="left", fontsize=11)
    for panel in (left, middle, right):
        panel.legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=160)


def draw_paths(panel, found: dict, colours) -> None:
    """Draws the contours of L and the path of each way."""
    import numpy as np

    nll = np.array(found["nll"])
    panel.contour(found["means"], found["log_stds"], nll, levels=nll.min() + np.geomspace(0.02, 6.0, 12),
                  colors="#bbbbbb", linewidths=0.7)  # fmt: skip
    for name, colour in zip(WAYS, colours):
        path = np.array(found[name])
        panel.plot(*path.T, "o-", color=colour, markersize=4, linewidth=1.5, label=name)
    panel.plot(*found["best"], "*", color="#222222", markersize=13, label="maximum likelihood")
    panel.set(xlim=(0.3, 3.1), ylim=(-1.0, 1.2))


def draw_scores(panel, found: dict, colours, ink) -> None:
    """Draws the two histograms and the normal that the information predicts."""
    import numpy as np
    from scipy.stats import norm

    labels = {"true": "at the true μ", "wrong": f"at μ + {WRONG_MEAN - TRUE_MEAN:.1f}"}
    for (name, label), colour in zip(labels.items(), colours):
        panel.hist(found[name], bins=60, density=True, color=colour, alpha=0.45, label=label)
    deviation = found["predicted_deviation"]
    grid = np.linspace(-4.0 * deviation, 4.0 * deviation, 200)
    panel.plot(grid, norm.pdf(grid, scale=deviation), color=ink, linewidth=1.4, label="normal(0, I / N)")


if __name__ == "__main__":
    run_command(Args, main, "python -m experiments.score_function")
