"""What a pipeline leaves at its end: summary.json, frontier.png, and samples before and after side by side."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from algos.core.types import Algorithm
from algos.rlhf.sampling import sample
from experiments.lab.definition.experiment import Contender, Experiment, Task
from experiments.lab.judging.statistics import iqm, iqm_interval
from experiments.lab.recording import policies, run_folder
from experiments.lab.recording.files import write_json, write_whole
from experiments.lab.recording.manifest import read_experiment
from experiments.rlhf import encoding, frontier, task
from experiments.rlhf.stages import supervised
from experiments.rlhf.stages.training import compiled, lane

SUMMARY, FRONTIER, SAMPLES = "summary.json", "frontier.png", "samples.md"
SHOWN = 8  # answers of each contender
BLOCK = 256  # answers rewarded at a time


class References(NamedTuple):
    """What the reference policy answers, and how that is judged."""

    texts: list[str]
    proxy: np.ndarray  # [N], what policies are trained on
    gold: np.ndarray  # [N]
    told: dict[str, float]


def write(out: Path, folder: Path, made, interrupted: bool) -> None:
    """Writes what is known of the pipeline in `out`, whose policies lie in the run folder, and says where."""
    experiment = read_experiment(folder)
    (only,) = experiment.tasks
    env = only.make()
    answers = supervised.load_answers(made.supervised.folder)
    who = task.load_judges(tuple(task.named(made.judges)), tuple(task.named(made.supervised)))
    references = judged(env, who, answers, experiment, only)
    curves = run_folder.read(folder).curves
    contenders = {one.name: found for one in only.contenders if (found := figures(curves, one, experiment, references))}
    optima = {"optimum": frontier.optima(references.proxy, references.gold)}
    optima |= {"best_of_n": frontier.best_of(references.proxy, references.gold)}
    optima |= {"predicted_slope": frontier.slope(references.proxy, references.gold)}
    stages = {name: stage.figures for name, stage in made._asdict().items() if stage is not None}
    summary = {"interrupted": interrupted, "seeds": list(experiment.seeds), **stages, "reference": references.told}
    summary |= {"contenders": contenders, **optima}
    write_json(out / SUMMARY, summary)
    if not interrupted:
        frontier.draw(out / FRONTIER, summary, ways(curves, contenders, references))
        write_whole(out / SAMPLES, samples(folder, only, experiment, env, who).encode())
    tell(out, folder, summary)


def judged(env, who: task.Judges, answers: encoding.Rows, experiment: Experiment, only: Task) -> References:
    """Returns how the reference's answers are judged; distinct-2 of as many as an evaluation has."""
    texts, proxy = encoding.texts_of(who.pieces, answers.tokens[:, 1:]), rewards(env, answers)
    gold = who.gold.score(texts)
    number = only.judge.settings.get("answers", len(texts)) if only.judge else len(texts)
    ended = np.any(answers.tokens[:, 1:] == who.pieces.end, axis=1)
    few = task.of_answers(who, answers.tokens[:number, 1:], ended[:number])
    told = {
        "answers": len(texts), "gold_reward": float(gold.mean()), "gold_deviation": float(gold.std()),
        "proxy_reward": float(proxy.mean()), "proxy_deviation": float(proxy.std()), "fluency": float(few["fluency"][0]),
        "distinct_2": float(few["distinct_2"][0]), "characters": float(few["characters"].mean()),
        "end_share": float(ended.mean()),
    }  # fmt: skip
    return References(texts, proxy, gold, told)


def rewards(env, answers: encoding.Rows) -> np.ndarray:
    """Returns the task's reward of answers, float64 [N]."""
    number, device = len(answers.tokens), lane()
    filled = [np.pad(x, [(0, -number % BLOCK), (0, 0)], mode="edge") for x in (*answers, answers.answer_mask)]
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
    names = {"kl_to_reference": "kl", "proxy_reward": "proxy_reward", "gold_reward": "gold_reward"}
    names |= {name: name for name in ("fluency", "distinct_2", "characters", "end_share")}
    if any(name not in found or len(found[name]) < len(experiment.seeds) for name in names):
        return {}
    values = {new: found[old].reindex(experiment.seeds).to_numpy() for old, new in names.items()}
    values["gold_gain"] = values["gold_reward"] - references.told["gold_reward"]
    values["proxy_gain"] = values["proxy_reward"] - references.told["proxy_reward"]
    values["distinct_2_share"] = values["distinct_2"] / references.told["distinct_2"]
    return {name: estimate(of_seeds) for name, of_seeds in values.items()} | {"steps": int(own.env_steps.max())}


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


def samples(folder: Path, only: Task, experiment: Experiment, env, who: task.Judges) -> str:
    """Returns answers of the reference and of each contender under its first seed, side by side, in Markdown."""
    lines = ["# Samples", "", "Gold reward in brackets. Not chosen: the first that were drawn, with one key.", ""]
    drawn = drawer(env)
    shown = [("reference", drawn(env.text.reference_params, 1.0))]
    for contender in only.contenders:
        try:
            algorithm, state, _ = policies.trained(folder, only.environment, contender.name, experiment.seeds[0])
        except ValueError as error:  # it diverged, or is not finished
            lines += [f"{contender.name}: {error}", ""]
            continue
        draw = drawer(env, algorithm, state) if algorithm.answer_kl else drawn  # else it samples, as the reference does
        shown.append((contender.name, draw(state.params, contender.hparams.temperature)))
    texts = [encoding.texts_of(who.pieces, tokens) for _, tokens in shown]
    lines += [f"| {' | '.join(name for name, _ in shown)} |", "|" + "---|" * len(shown)]
    for row in zip(*texts):
        cells = (f"[{score:+.2f}] {_cell(text)}" for score, text in zip(who.gold.score(row), row))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def drawer(env, algorithm: Algorithm | None = None, state=None) -> Callable[[Any, float], np.ndarray]:
    """Returns (params, temperature) -> answers [SHOWN, L], sampled, or as the algorithm chooses them. One key for all."""
    text, device, key = env.text, lane(), jax.random.key(0)
    prompts = np.repeat(np.asarray(text.prompts[:1]), SHOWN, axis=0)

    def answers(params, temperature):
        if algorithm is not None:
            found = algorithm.answer(state.replace(params=params, temperature=temperature), key, jnp.asarray(prompts))
        else:
            limits = {"length": text.length, "end": text.end, "pad": text.pad, "temperature": temperature}
            found = sample(text.reference, params, key, jnp.asarray(prompts), **limits)
        return found.tokens[:, -text.length :]

    program = compiled(answers, device, text.reference_params, np.float32(1.0))
    return lambda params, temperature: np.asarray(program(*jax.device_put((params, np.float32(temperature)), device)))


def _cell(text: str) -> str:
    words = " ".join(text.split()).replace("\\", "\\\\")
    return "".join(f"\\{c}" if c in "|*_`<>[]" else c for c in words)


def tell(out: Path, folder: Path, summary: dict[str, Any]) -> None:
    """Prints what was reached."""
    for name, found in summary["contenders"].items():
        gain, kl, kept = (found[key]["iqm"] for key in ("gold_gain", "kl", "distinct_2_share"))
        told = f"gold {gain:+.3f} at {kl:.2f} nats; proxy {found['proxy_gain']['iqm']:+.3f}, distinct-2 {kept:.0%}"
        print(f"{name}: {told} of the reference's")
    files = [path for path in (out / SUMMARY, out / FRONTIER, out / SAMPLES, folder / "report.html") if path.exists()]
    print("files:", *files, sep="\n  ", flush=True)
