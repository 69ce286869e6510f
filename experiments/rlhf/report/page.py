"""The page: every number is the summary's."""

from typing import Any

import pandas as pd
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from experiments.lab.definition.experiment import Task
from experiments.lab.recording.run_folder import listed
from experiments.lab.showing.report import figures as lab_figures
from experiments.lab.showing.report.page import SIGN, number, whole
from experiments.rlhf.frontier import ENOUGH
from experiments.rlhf.report import figures
from experiments.rlhf.samples import Samples

COLUMNS = (  # of the table of what policies write: name, words
    ("gold_reward", "gold reward"), ("proxy_reward", "proxy reward"), ("kl", "KL, nats"), ("characters", "characters"),
    ("distinct_2", "distinct-2"), ("fluency", "fluency, nats a character"), ("end_share", "share that ends"),
    ("vader", "VADER"), ("smollm2_fluency", "SmolLM2, nats a character"),
)  # fmt: skip


def render(summary: dict[str, Any], curves: pd.DataFrame, shown: Samples, task: Task) -> str:
    """Returns the report as HTML."""
    names = list(summary["contenders"])
    styles = lab_figures.styles(names)
    loaders = [PackageLoader("experiments.rlhf.report"), PackageLoader("experiments.lab.showing.report")]
    page = Environment(
        loader=ChoiceLoader(loaders), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page.filters |= {"number": number, "whole": whole, "percent": percent}
    return page.get_template("rlhf.html").render(
        sign=SIGN,
        title=f"Learning from human judgement: {task.environment}",
        summary=summary,
        seeds=f"{'seed' if len(summary['seeds']) == 1 else 'seeds'} {listed(summary['seeds'])}",
        unit=summary["judges"].get("unit", "ratings"),
        columns=[one for one in COLUMNS if one[0] in summary["reference"] or one[0] == "kl"],
        swatches={name: lab_figures.swatch(style) for name, style in styles.items()},
        shown=shown,
        enough=int(ENOUGH),
        drawn=drawn(summary, curves, styles),
        compared=compared(summary),
    )


def percent(share: float) -> str:
    """Returns a share as the report shows it."""
    return f"{share:.1%}" if share == share else "–"


def drawn(summary: dict[str, Any], curves: pd.DataFrame, styles) -> dict[str, Markup | None]:
    """Returns the figures by name; None for one that there is nothing to draw of."""
    told = summary["reference"]
    figured = summary.get("reward_model")
    if not styles:
        return {}
    return {
        "proxy": figures.against_steps(curves, "proxy_reward", "proxy reward", styles, told["proxy_reward"]),
        "gold": figures.against_steps(curves, "gold_reward", "gold reward", styles, told["gold_reward"]),
        "kl": figures.against_steps(curves, "kl_to_reference", "KL to the reference, nats", styles),
        "gold_frontier": figures.frontier(summary, curves, styles, "gold"),
        "proxy_frontier": figures.frontier(summary, curves, styles, "proxy"),
        "over": figures.over_optimisation(summary, curves, styles),
        "calibration": figures.calibration(figured["calibration"]) if figured and figured["calibration"] else None,
    }


def compared(summary: dict[str, Any]) -> list[tuple[str, float]]:
    """Returns who orders held-out pairs as people do, and what share, the best last."""
    found = summary.get("reward_model", {})
    words = {
        "pair_accuracy_cut": "reward model, texts cut to an answer's budget",
        "linear_bigram_cut": "linear model of words and pairs of words, the same cut texts",
        "transformer": "the reward model's transformer alone, whole texts",
        "ngrams": "the reward model's n-grams alone, whole texts",
        "linear_bigram": "linear model of words and pairs of words, whole texts",
        "pair_accuracy": "reward model, whole texts",
    }
    rows = [(told, found[name]) for name, told in words.items() if found.get(name) is not None]
    rows.append(
        ("gold judge, whole texts (it learned from opinions of other sentences)", summary["judges"]["pair_accuracy"])
    )
    read = summary.get("smollm2", {})
    if read:
        rows.append(("a head on SmolLM2 as it is, whole texts", read.get("frozen", read)["pair_accuracy"]))
    if "frozen" in read:
        rows.append(("SmolLM2 with trained layers, whole texts", read["layers"]["pair_accuracy"]))
        rows.append(("the same and a linear model of words", read["pair_accuracy"]))
    if ceiling := found.get("ceiling") or read.get("ceiling"):
        rows.append(("for comparison: whoever knows the other raters' means of both sentences", ceiling))
    return rows
