"""What policies write, before and after, side by side: answers to the same prompts, with the same key."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from algos.core.types import Algorithm
from algos.rlhf.sampling import sample
from experiments.lab.definition.experiment import Experiment, Task
from experiments.lab.recording import policies
from experiments.rlhf import encoding, task
from experiments.rlhf.stages.training import compiled, lane

NUMBER = 8  # of each contender


class Samples(NamedTuple):
    """Answers of each policy to the same prompts."""

    prompts: list[str]  # [NUMBER]; "" where there are none
    answers: dict[str, list[tuple[float, str]]]  # (gold reward, text), the reference's first
    missing: dict[str, str]  # why a contender has none


def drawn(folder: Path, only: Task, experiment: Experiment, env, who: task.Judges, asked: np.ndarray) -> Samples:
    """Returns answers of the reference and of each contender under its first seed."""
    prompts = asked[np.arange(NUMBER) % len(asked)]
    sampled, missing = drawer(env, prompts), {}
    tokens = {"reference": sampled(env.text.reference_params, 1.0)}
    for contender in only.contenders:
        try:
            algorithm, state, _ = policies.trained(folder, only.environment, contender.name, experiment.seeds[0])
        except ValueError as error:  # it diverged, or is not finished
            missing[contender.name] = str(error)
            continue
        chosen = algorithm.answer_kl > 0.0  # among whole answers; else it samples, as the reference does
        draw = drawer(env, prompts, algorithm, state) if chosen else sampled
        tokens[contender.name] = draw(state.params, contender.hparams.temperature)
    texts = {name: encoding.texts_of(who.pieces, own) for name, own in tokens.items()}
    answers = {name: list(zip(who.gold.score(own).tolist(), map(writable, own))) for name, own in texts.items()}
    return Samples(list(map(writable, encoding.texts_of(who.pieces, prompts))), answers, missing)


def writable(text: str) -> str:
    """Returns the text with ? for half of a surrogate pair, which a policy may write and no file can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def drawer(
    env, prompts: np.ndarray, algorithm: Algorithm | None = None, state=None
) -> Callable[[Any, float], np.ndarray]:
    """Returns (params, temperature) -> answers [N, L] to the prompts, sampled, or as the algorithm chooses them. One key
    for all."""
    text, device, key = env.text, lane(), jax.random.key(0)

    def answers(params, temperature):
        if algorithm is not None:
            found = algorithm.answer(state.replace(params=params, temperature=temperature), key, jnp.asarray(prompts))
        else:
            limits = {"length": text.length, "end": text.end, "pad": text.pad, "temperature": temperature}
            found = sample(text.reference, params, key, jnp.asarray(prompts), **limits)
        return found.tokens[:, -text.length :]

    program = compiled(answers, device, text.reference_params, np.float32(1.0))
    return lambda params, temperature: np.asarray(program(*jax.device_put((params, np.float32(temperature)), device)))


def in_markdown(found: Samples) -> str:
    """Returns the answers as a table in Markdown."""
    lines = ["# Samples", "", "Gold reward in brackets. Not chosen: the first that were drawn, with one key.", ""]
    for name, why in found.missing.items():
        lines += [f"{name}: {why}", ""]
    asked = ["prompt"] if any(found.prompts) else []
    lines += [f"| {' | '.join([*asked, *found.answers])} |", "|" + "---|" * (len(asked) + len(found.answers))]
    for place, row in enumerate(zip(*found.answers.values())):
        cells = [_cell(found.prompts[place])] if asked else []
        cells += [f"[{score:+.2f}] {_cell(text)}" for score, text in row]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    words = " ".join(text.split()).replace("\\", "\\\\")
    return "".join(f"\\{c}" if c in "|*_`<>[]" else c for c in words)
