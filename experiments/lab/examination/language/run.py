"""The examination of a run folder of language policies: the task and the methods as they began, and what the records say."""

from pathlib import Path

import numpy as np
import pandas as pd

from experiments.lab.examination.case import NOTE, OK, PROBLEM, Finding
from experiments.lab.examination.language import examine_language, examine_method
from experiments.lab.recording import run_folder
from experiments.lab.recording.kept_code import require_trust
from experiments.lab.recording.manifest import read_experiment, read_manifest

DRIFT, SELDOM, OFTEN = 0.5, 0.05, 0.2  # shares of a length, and of answers that end
RATIO, CACHE, BELOW_ZERO, SAME_TEXTS = 1e-3, 1e-2, -0.1, 0.5
ANSWERS = 64  # that BELOW_ZERO is the bound of: noise is as 1 / sqrt(answers)


def examine_run(folder: Path, bounds, trust: bool) -> list[Finding]:
    """Returns the findings. Raises BadInput for code of others that is not trusted, ValueError for a folder of something else."""
    folder = run_folder.inside(folder)
    require_trust(folder, read_manifest(folder), trust)
    experiment, found = read_experiment(folder), []
    for task in experiment.tasks:
        env = task.make()
        if env.text is None:
            raise ValueError(f"{folder} holds no language policies: of other runs the report tells")
        first, *others = task.contenders
        found += examine_language(env, first, bounds)
        if not any(each.level == PROBLEM for each in found):
            found += [each for contender in others for each in examine_method(env, contender)]
    curves = run_folder.read(folder).curves
    answers = {one.name: answers_of(one.config) for task in experiment.tasks for one in task.contenders}
    methods = curves.groupby("algorithm", sort=False)
    return found + [each for name, rows in methods for each in history(name, rows, answers.get(name, ANSWERS))]


def answers_of(config) -> int:
    """Returns how many answers an update of such settings draws."""
    return getattr(config, "num_prompts", ANSWERS) * getattr(config, "group", 1)


def history(name: str, curves: pd.DataFrame, answers: int = ANSWERS) -> list[Finding]:
    """Returns what the records of one method say, of means over seeds: the first, the last, and what must stay small. answers:
    of an update; a divergence that few answers estimate may be below 0 by chance."""
    means = {metric: rows.groupby("env_steps").value.mean() for metric, rows in curves.groupby("metric")}
    ends = {metric: (float(of.iloc[0]), float(of.iloc[-1])) for metric, of in means.items()}
    worst = curves.groupby("metric").value.max()
    found = [
        Finding(PROBLEM, f"{name}: {text.format(worst[metric])}")
        for metric, most, text in (
            ("first_ratio_gap_max", RATIO, "the ratio at an update's first minibatch was up to {:.3g} off 1"),
            ("sampler_gap_max", CACHE, "sampler and full pass were up to {:.3g} nats a token apart"),
        )
        if worst.get(metric, 0.0) > most
    ]
    if "kl" in ends and min(means["kl"]) < BELOW_ZERO * np.sqrt(ANSWERS / answers):
        told = f"the divergence from the reference was {min(means['kl']):.3g} nats: below 0, so the answers are not the policy's"
        found.append(Finding(PROBLEM, f"{name}: {told}"))
    found += ending(name, ends) + length(name, ends) + sameness(name, ends) + overdone(name, curves)
    return found or [
        Finding(OK, f"{name}: records of ratio, divergence, ends, length and diversity have nothing to tell")
    ]


def ending(name: str, ends: dict[str, tuple[float, float]]) -> list[Finding]:
    """Returns the problem of answers that end no more."""
    for metric in ("end_share", "end_rate"):
        if metric in ends and ends[metric][0] >= OFTEN and ends[metric][1] < SELDOM:
            first, last = ends[metric]
            return [
                Finding(
                    PROBLEM,
                    f"{name}: {first:.0%} of answers ended at first, {last:.0%} at last: texts run into the budget",
                )
            ]
    return []


def length(name: str, ends: dict[str, tuple[float, float]]) -> list[Finding]:
    """Returns a note where answers became much longer or shorter."""
    for metric, unit in (("characters", "characters"), ("answer_length", "tokens")):
        first, last = ends.get(metric, (0.0, 0.0))
        if first > 0.0 and abs(last / first - 1.0) > DRIFT:
            return [
                Finding(NOTE, f"{name}: answers of {first:.1f} {unit} became {last:.1f}: is that what is rewarded?")
            ]
    return []


def sameness(name: str, ends: dict[str, tuple[float, float]]) -> list[Finding]:
    """Returns a note where answers became alike."""
    first, last = ends.get("distinct_2", (0.0, 0.0))
    if last >= SAME_TEXTS * first:
        return []
    return [Finding(NOTE, f"{name}: distinct-2 fell from {first:.2f} to {last:.2f}: answers are alike")]


def overdone(name: str, curves: pd.DataFrame) -> list[Finding]:
    """Returns a note where, under every seed, the reward rose and a judge that was not trained on found answers worse."""
    gained = {}
    for metric in ("proxy_reward", "gold_reward"):
        of_seeds = curves[curves.metric == metric].sort_values("env_steps").groupby("seed").value
        gained[metric] = (of_seeds.last() - of_seeds.first()).to_numpy()
    proxy, gold = gained.values()
    if not (len(gold) and np.all(proxy > 0.0) and np.all(gold < 0.0)):
        return []
    told = f"the reward rose by {proxy.mean():.3g} and the gold judge's fell by {-gold.mean():.3g}, under every seed"
    return [Finding(NOTE, f"{name}: {told}: over-optimised")]
