"""How much reward a nat of divergence buys: what was reached, and what could have been.

From N answers of the reference policy, which all the curves share:

    optimum     pi* ~ rho exp(r / beta) for a falling beta, by importance sampling; few effective answers make it a guess
    best of n   its gain without bias, over all subsets of n; its divergence log n - (n - 1) / n, at most
    slope       E[gold] - E_rho[gold] = corr(r, gold) sd(gold) sqrt(2 KL), were the two Gaussian under rho: foretold before
                anything is optimised
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from algos.rlhf import optimum
from experiments.lab.showing.lines import BACKGROUND, COLOURS, GRID, INK, dress

BETAS = np.geomspace(20.0, 0.05, 60)  # of the proxy's deviation under the reference
ENOUGH = 50.0  # effective answers, below which the optimum is drawn as a guess
LARGEST_SHARE = 32  # of the answers, n of the best of n: each n has so many disjoint groups


def by_prompt(values: np.ndarray, prompts: int) -> np.ndarray:
    """Returns the values of answers that were given to so many prompts in turn as rows, one a prompt."""
    return values[: len(values) // prompts * prompts].reshape(-1, prompts).T


def optima(proxy: np.ndarray, gold: np.ndarray, prompts: int = 1) -> list[dict[str, float]]:
    """Returns the optimum for every beta, of each prompt by itself and averaged, as far as more than a tenth of ENOUGH
    answers a prompt carry it."""
    rows = by_prompt(proxy, prompts), by_prompt(gold, prompts)
    spread, found = max(float(np.std(rows[0])), np.finfo(np.float32).tiny), []
    for beta in BETAS * spread:
        best = [optimum.tilted(own, float(beta)) for own in rows[0]]
        carried = float(np.mean([one.effective_samples for one in best]))
        if carried < ENOUGH / 10.0:
            break
        found.append(
            {
                "beta": float(beta),
                "kl": float(np.mean([one.divergence for one in best])),
                "proxy_gain": float(np.mean([one.reward for one in best]) - np.mean(rows[0])),
                "gold_gain": float(np.mean([one.weight @ own for one, own in zip(best, rows[1])]) - np.mean(rows[1])),
                "effective_samples": carried,
            }
        )
    return found


def best_of(proxy: np.ndarray, gold: np.ndarray, prompts: int = 1) -> list[dict[str, float]]:
    """Returns the best of n for n = 1, 2, 4, ..., of answers to one prompt, averaged over prompts."""
    rows = list(zip(by_prompt(proxy, prompts), by_prompt(gold, prompts)))
    most = max(len(rows[0][0]) // LARGEST_SHARE, 1)
    return [
        {
            "n": n,
            "kl": optimum.best_of_n_bound(n),
            "proxy_gain": float(np.mean([optimum.best_of_n_mean(one, one, n) - one.mean() for one, _ in rows])),
            "gold_gain": float(np.mean([optimum.best_of_n_mean(one, own, n) - own.mean() for one, own in rows])),
        }
        for n in (2**power for power in range(most.bit_length()))
    ]


def slope(proxy: np.ndarray, gold: np.ndarray, prompts: int = 1) -> dict[str, float]:
    """Returns the correlation under the reference, among answers to one prompt, the gold gain that sqrt(2 KL) is foretold
    to be multiplied by, and that of one more in proxy reward."""
    rows = [by_prompt(x, prompts) for x in (proxy, gold)]
    proxy, gold = ((own - own.mean(axis=1, keepdims=True)).reshape(-1) for own in rows)
    if not all(np.any(np.ptp(own, axis=1)) for own in rows):
        return {"correlation": 0.0, "gold_gain_per_root_two_kl": 0.0, "gold_gain_per_proxy": 0.0}
    correlation = float(np.corrcoef(proxy, gold)[0, 1])
    gain = correlation * float(np.std(gold))
    return {
        "correlation": correlation,
        "gold_gain_per_root_two_kl": gain,
        "gold_gain_per_proxy": gain / float(np.std(proxy)),
    }


def draw(path: Path, summary: dict[str, Any], paths: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Draws gold gain against divergence: contenders with their 95% intervals over seeds, the way that each went (paths:
    divergences and gains at its evaluations), and the curves of the reference's answers."""
    figure = Figure(figsize=(8.6, 5.6), layout="constrained")
    panel = figure.subplots()
    unit = summary["judges"].get("unit", "ratings")
    dress(panel, "KL(policy || reference), nats an answer", f"gold reward above the reference's, in {unit}", INK, GRID)
    _curves(panel, summary)
    reach = [0.0]
    for index, (name, found) in enumerate(summary["contenders"].items()):
        colour = COLOURS[index % len(COLOURS)]
        if not np.isfinite(_number(found["kl"]["iqm"])):
            continue
        if name in paths:
            panel.plot(*paths[name], "-", color=colour, linewidth=1.0, alpha=0.55)
        panel.errorbar(
            found["kl"]["iqm"], found["gold_gain"]["iqm"], xerr=_reach(found["kl"]), yerr=_reach(found["gold_gain"]),
            fmt="o", color=colour, markersize=7, capsize=3, label=name, zorder=5,
        )  # fmt: skip
        reach += [found["kl"]["ci95"][1] or 0.0, found["kl"]["iqm"]]
    ends = [point["kl"] for point in summary["optimum"][-1:] + summary["best_of_n"][-1:]]
    panel.set_xlim(0.0, 1.08 * max(1.0, np.nanmax(np.array(reach, float)), *ends))
    panel.axhline(0.0, color=INK, linewidth=0.6)
    panel.legend(frameon=False, fontsize=8, loc="best")
    answers, seeds = summary["reference"]["answers"], len(summary["seeds"])
    shown = f"{seeds} seeds: IQM and 95% interval" if seeds > 1 else "one seed"
    panel.set_title(
        f"Gold gain against divergence   ({shown}; curves from {answers:,} reference answers)",
        loc="left",
        fontsize=10.5,
        color=INK,
    )
    figure.savefig(path, dpi=160, facecolor=BACKGROUND)


def _curves(panel, summary: dict[str, Any]) -> None:
    sure = [point for point in summary["optimum"] if point["effective_samples"] >= ENOUGH]
    guessed = summary["optimum"][max(len(sure) - 1, 0) :]
    label = r"optimum $\rho\,e^{r/\beta}$ of the proxy, importance-sampled"
    panel.plot(*_columns(sure), "-", color=INK, linewidth=1.8, label=label)
    if len(guessed) > 1:
        fewest = f"{guessed[-1]['effective_samples']:.0f}"
        panel.plot(
            *_columns(guessed),
            ":",
            color=INK,
            linewidth=1.8,
            label=f"the same, {ENOUGH:.0f} to {fewest} effective answers",
        )
    best = summary["best_of_n"]
    panel.plot(*_columns(best), "--", color="#777777", linewidth=1.5, marker=".", label="best of n, n = 1, 2, 4, ...")
    for point in best[1:]:
        panel.annotate(
            f"{point['n']}",
            (point["kl"], point["gold_gain"]),
            textcoords="offset points",
            xytext=(3, -10),
            fontsize=7,
            color="#777777",
        )
    kl = np.linspace(0.0, max([1.0] + [point["kl"] for point in summary["optimum"]]), 60)
    foretold = summary["predicted_slope"]["gold_gain_per_root_two_kl"] * np.sqrt(2.0 * kl)
    panel.plot(
        kl,
        foretold,
        "-",
        color="#bbbbbb",
        linewidth=1.2,
        label=r"foretold from correlation: $\propto\sqrt{2\,KL}$",
        zorder=1,
    )


def _columns(points: Sequence[dict[str, float]]) -> tuple[list[float], list[float]]:
    return [point["kl"] for point in points], [point["gold_gain"] for point in points]


def _reach(estimate: dict[str, Any]) -> np.ndarray:
    bounds = np.array([[_number(bound)] for bound in estimate["ci95"]])
    return np.nan_to_num(np.abs(bounds - estimate["iqm"]))


def _number(value: float | None) -> float:
    return np.nan if value is None else value
