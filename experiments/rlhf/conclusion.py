"""What a pipeline leaves at its end: summary.json, frontier.png, samples.md and report.html."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from experiments.lab.definition.experiment import Contender, Experiment
from experiments.lab.judging.statistics import iqm, iqm_interval
from experiments.lab.recording import run_folder
from experiments.lab.recording.files import write_json, write_whole
from experiments.lab.recording.manifest import read_experiment
from experiments.rlhf import encoding, frontier, report, samples, task
from experiments.rlhf.stages import supervised
from experiments.rlhf.stages.training import compiled, lane

SUMMARY, FRONTIER, SAMPLES, REPORT = "summary.json", "frontier.png", "samples.md", "report.html"
BLOCK = 256  # answers rewarded at a time
# what a gain may cost: the share of the reference's distinct-2 that stays, by which fluency falls, by which length changes
DISTINCT_2, FLUENCY, LENGTH = 0.7, 0.1, 0.5
METRICS = {"kl_to_reference": "kl"} | {
    name: name for name in ("proxy_reward", "gold_reward", "fluency", "distinct_2", "characters", "end_share")
}
MORE = {"vader": "vader", "smollm2": "smollm2_fluency"}  # a judge that is asked too, and its metric


class References(NamedTuple):
    """What the reference policy answers, and how that is judged."""

    proxy: np.ndarray  # [N], what policies are trained on
    gold: np.ndarray  # [N]
    told: dict[str, float]


def write(out: Path, folder: Path, made, interrupted: bool) -> None:
    """Writes what is known of the pipeline in `out`, whose policies lie in the run folder, and says where."""
    experiment = read_experiment(folder)
    (only,) = experiment.tasks
    env = only.make()
    answers = supervised.load_answers(made.supervised.folder)
    judges, reference = task.named(made.judges), task.named(made.supervised)
    more = {name: True for name in MORE if only.judge.settings.get(name)}
    who = task.load_judges(judges, reference)._replace(**more)
    asked = task.judged_prompts(reference)
    answers = answers.of(slice(task.judged_alike(len(answers.tokens), len(asked), len(answers.tokens))))
    references = judged(env, who, answers, only.judge.settings["answers"])
    curves = run_folder.read(folder).curves
    contenders = {one.name: found for one in only.contenders if (found := figures(curves, one, experiment, references))}
    left_out = {one.name: why_none(curves, one, experiment) for one in only.contenders if one.name not in contenders}
    drawn = references.proxy, references.gold, len(asked)
    stages = {name: stage.figures for name, stage in made._asdict().items() if stage is not None}
    summary = {"interrupted": interrupted, "seeds": list(experiment.seeds), **stages, "reference": references.told}
    summary |= {
        "contenders": contenders,
        "left_out": left_out,
        "optimum": frontier.optima(*drawn),
        "best_of_n": frontier.best_of(*drawn),
    }
    summary |= {"predicted_slope": frontier.slope(*drawn)}
    write_json(out / SUMMARY, summary)
    if not interrupted:
        frontier.draw(out / FRONTIER, summary, ways(curves, contenders, references))
        shown = samples.drawn(folder, only, experiment, env, who, asked)
        write_whole(out / SAMPLES, samples.in_markdown(shown).encode())
        write_whole(out / REPORT, report.render(summary, curves, shown, only).encode("utf-8", "surrogateescape"))
    tell(out, folder, summary)


def judged(env, who: task.Judges, answers: encoding.Rows, number: int) -> References:
    """Returns how the reference's answers are judged; distinct-2 of as many as an evaluation has."""
    proxy, gold = rewards(env, answers), who.gold.score(encoding.texts_of(who.pieces, answers.answers))
    ended = np.any(answers.answers == who.pieces.end, axis=1)
    few = task.of_answers(who, answers.answers[:number], ended[:number])
    told = {
        "answers": len(gold), "gold_reward": float(gold.mean()), "gold_deviation": float(gold.std()),
        "proxy_reward": round(float(proxy.mean()), 6) + 0.0,  # 0 where it was normalised, and no 1e-9
        "proxy_deviation": float(proxy.std()), "end_share": float(ended.mean()),
    }  # fmt: skip
    told |= {name: float(few[name].mean()) for name in few if name != "gold_reward"}
    return References(proxy, gold, told)


def rewards(env, answers: encoding.Rows) -> np.ndarray:
    """Returns the task's reward of answers, float64 [N]."""
    number, device = len(answers.tokens), lane()
    filled = [np.pad(x, [(0, -number % BLOCK), (0, 0)], mode="edge") for x in answers]
    program = compiled(
        lambda *block: jnp.asarray(env.text.reward(*block), jnp.float32), device, *(x[:BLOCK] for x in filled)
    )
    found = [program(*jax.device_put([x[at : at + BLOCK] for x in filled], device)) for at in range(0, number, BLOCK)]
    return np.concatenate([np.asarray(x, float) for x in found])[:number]


def figures(curves, contender: Contender, experiment: Experiment, references: References) -> dict[str, Any]:
    """Returns what a contender reached at its last evaluation, over seeds; {} where a seed has none yet."""
    own = curves[curves.algorithm == contender.name]
    own = own[own.env_steps == own.env_steps.max()]
    found = {name: rows.set_index("seed")["value"] for name, rows in own.groupby("metric")}
    names = METRICS | {name: name for name in MORE.values() if name in references.told}
    if any(name not in found or len(found[name]) < len(experiment.seeds) for name in names):
        return {}
    values = {new: found[old].reindex(experiment.seeds).to_numpy() for old, new in names.items()}
    for name in ("gold", "proxy"):
        values[f"{name}_gain"] = values[f"{name}_reward"] - references.told[f"{name}_reward"]
    values["distinct_2_share"] = values["distinct_2"] / references.told["distinct_2"]
    if "vader" in names:
        values["vader_gain"] = values["vader"] - references.told["vader"]
    estimates = {name: estimate(of_seeds) for name, of_seeds in values.items()}
    error = references.told["gold_deviation"] / np.sqrt(references.told["answers"])
    estimates["gold_gain"]["t95"] = t_interval(values["gold_gain"], error)
    held = holds(estimates, references.told)
    return {**estimates, "holds": held, "win": wins(estimates, held), "steps": int(own.env_steps.max())}


def why_none(curves, contender: Contender, experiment: Experiment) -> str:
    """Returns which seeds keep a contender from having figures."""
    own = curves[(curves.algorithm == contender.name) & (curves.metric == "gold_reward")]
    last = set(own[own.env_steps == own.env_steps.max()].seed)
    lacking = [str(seed) for seed in experiment.seeds if seed not in last]
    seeds = f"seed{'s' if len(lacking) > 1 else ''} {', '.join(lacking)}" if lacking else "a metric"
    return f"no figures: {seeds} of its last evaluation is missing: diverged, or not finished"


def wins(found: dict[str, Any], held: dict[str, bool]) -> bool:
    """Returns whether the gold gain is above 0 as far as its t interval goes, and costs nothing else."""
    return bool(found["gold_gain"]["t95"][0] > 0.0 and all(held.values()))


def t_interval(values: np.ndarray, error: float = 0.0) -> list[float]:
    """Returns Student's 95% interval of the mean over seeds; NaN for one seed. error: the standard error of what was taken off
    all of them alike. The bootstrap of three seeds is no more than their range, above 0 in one of eight without any gain."""
    if len(values) < 2:
        return [np.nan, np.nan]
    half = stats.t.ppf(0.975, len(values) - 1) * np.hypot(np.std(values, ddof=1) / np.sqrt(len(values)), error)
    return [float(np.mean(values) - half), float(np.mean(values) + half)]


def holds(found: dict[str, Any], told: dict[str, float]) -> dict[str, bool]:
    """Returns whether fluency, length and diversity are still about the reference's: a gain that costs them is no win."""
    return {
        "fluency": bool(found["fluency"]["iqm"] >= told["fluency"] - FLUENCY * abs(told["fluency"])),
        "length": bool(abs(found["characters"]["iqm"] / told["characters"] - 1.0) <= LENGTH),
        "diversity": bool(found["distinct_2_share"]["iqm"] >= DISTINCT_2),
    }


def estimate(values: np.ndarray) -> dict[str, Any]:
    """Returns the interquartile mean over seeds, its 95% interval, and the values."""
    return {
        "iqm": float(iqm(values)),
        "ci95": [float(bound) for bound in iqm_interval(values)],
        "values": values.tolist(),
    }


def ways(curves, names: Sequence[str], references: References) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns (divergence, gold gain) of each contender at its evaluations, means over seeds."""
    found = {}
    for name in names:
        own = curves[curves.algorithm == name].groupby(["metric", "env_steps"]).value.mean()
        kl, gold = own["kl_to_reference"].to_numpy(), own["gold_reward"].to_numpy()
        if np.ptp(kl) > 1e-6:  # else it stays where it is, as what is not trained does
            found[name] = kl, gold - references.told["gold_reward"]
    return found


def tell(out: Path, folder: Path, summary: dict[str, Any]) -> None:
    """Prints what was reached."""
    for name, found in summary["contenders"].items():
        gain, kl, kept = (found[key]["iqm"] for key in ("gold_gain", "kl", "distinct_2_share"))
        told = f"gold {gain:+.3f} at {kl:.2f} nats; proxy {found['proxy_gain']['iqm']:+.3f}, distinct-2 {kept:.0%}"
        print(f"{name}: {told} of the reference's; {verdict(found)}")
    for name, why in summary["left_out"].items():
        print(f"{name}: {why}")
    files = [out / file for file in (REPORT, SUMMARY, FRONTIER, SAMPLES)] + [folder / "report.html"]
    print("files:", *(path for path in files if path.exists()), sep="\n  ", flush=True)


def verdict(found: dict[str, Any]) -> str:
    """Returns in words whether a contender's gain counts."""
    lost = [name for name, kept in found["holds"].items() if not kept]
    if found["win"]:
        return "a gain"
    if lost:
        return f"no win: it costs {' and '.join(lost)}"
    if np.isnan(found["gold_gain"]["t95"][0]):
        return "no win: one seed has no interval"
    return "no win: the gain's t interval is not above 0"
