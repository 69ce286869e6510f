"""The language task that policies are optimised on, and the judge that ranks them: what a run folder's manifest names.

An answer is a sentence of at most L tokens, its prompt the begin token alone. Stages are named by path and mark, and one
that is not as it was is refused: so a run goes on, is swept and run again like any other.
"""

import functools
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import envs
from algos.rlhf import reward_model
from algos.rlhf.sampling import log_probs
from algos.rlhf.tokeniser import Tokeniser
from envs import Env
from envs.text import Text, rewarded
from experiments.lab.judging.judges import Judge
from experiments.rlhf import text_metrics, user_reward
from experiments.rlhf.encoding import texts_of
from experiments.rlhf.kneser_ney import KneserNey
from experiments.rlhf.linear import Linear
from experiments.rlhf.stages import comparisons, judges, supervised
from experiments.rlhf.stages import reward_model as learned_reward
from experiments.rlhf.stages.stage import Finished, read, required

NAME = "human-sentiment"


class Judges(NamedTuple):
    """Who judges texts, and how answers become texts."""

    gold: Linear
    fluency: KneserNey
    pieces: Tokeniser


def named(stage: Finished) -> list[str]:
    """Returns a stage as a manifest names it: its path and its mark."""
    return [str(stage.folder.resolve()), stage.mark]


def language_task(
    supervised: list[str], comparisons: list[str], reward_model: list[str] | None = None, reward: str = ""
) -> Env:
    """Returns the task on the reference policy of a supervised stage: rewarded by the reward model of a stage, or by the
    user's own function where `reward` names one. Raises ValueError for a stage that is not the one of its mark."""
    return _task(tuple(supervised), tuple(comparisons), tuple(reward_model or ()), reward)


def _task(reference: tuple[str, str], compared: tuple[str, str], judged: tuple[str, str], reward: str) -> Env:
    begun, human = found(reference), found(compared)
    policy = supervised.load(begun.folder, begun.mark)
    pieces, length = policy.tokeniser, read(begun.folder)["settings"]["length"]
    if reward:
        scored = user_reward.of_answers(reward, pieces, length)
    else:
        stage = found(judged)
        learned = learned_reward.load(stage.folder, stage.mark, policy.model)
        scored = reward_model.reward(learned_reward.model_of(policy.model), learned)
    text = Text(
        vocabulary=pieces.vocabulary, pad=pieces.pad, end=pieces.end,
        prompts=np.full((1, 1), pieces.begin, np.int32), length=length,
        reference=policy.model, reference_params=policy.params, reward=scored,
        preferences=comparisons.preferred(comparisons.load(human.folder)),
    )  # fmt: skip
    return envs.text.env(NAME, text)


def gold_judge(judged: Finished, reference: Finished, answers: int) -> Judge:
    """Returns the judge of a run: the mean human rating that the gold judge foretells of so many answers."""
    settings = {"judges": named(judged), "supervised": named(reference), "answers": answers}
    return Judge("gold_reward", True, measure, settings)


def measure(
    algorithm, env: Env, state, key, judges: list[str], supervised: list[str], answers: int
) -> dict[str, jax.Array]:
    """Returns what is judged of answers drawn as the algorithm answers.

    gold_reward [N], the gold judge's; proxy_reward [N], what is trained on; fluency, nats a character under a model of the
    gold part's texts (higher is better); distinct_2; characters [N]; end_share [N]; kl_to_reference [N], the sum over
    an answer's tokens of KL(pi || rho) at the text before it, exact at each, and what choosing among whole answers adds.
    """
    if algorithm.answer is None:
        raise ValueError("it is no language method: it gives no answers")
    text, who = env.text, load_judges(tuple(judges), tuple(supervised))
    prompts = jnp.asarray(text.prompts)[jnp.arange(answers) % len(text.prompts)]
    drawn = algorithm.answer(state, key, prompts)
    policy, _ = log_probs(text.reference, state.params, drawn.tokens, drawn.mask, text.length, state.temperature)
    rho, _ = log_probs(text.reference, text.reference_params, drawn.tokens, drawn.mask, text.length, state.temperature)
    kl = jnp.sum(jnp.where(drawn.answer_mask > 0, policy.kl(rho), 0.0), axis=1) + algorithm.answer_kl
    ended = jnp.any((drawn.tokens[:, -text.length :] == text.end) & (drawn.answer_mask > 0), axis=1)
    shapes = {
        name: jax.ShapeDtypeStruct(shape, jnp.float32)
        for name, shape in (
            ("gold_reward", (answers,)),
            ("characters", (answers,)),
            ("fluency", (1,)),
            ("distinct_2", (1,)),
        )
    }
    on_host = functools.partial(of_answers, who)
    told = jax.pure_callback(on_host, shapes, drawn.tokens[:, -text.length :], ended, vmap_method="sequential")
    return {
        **told,
        "proxy_reward": rewarded(text, drawn.tokens, drawn.mask, drawn.answer_mask),
        "kl_to_reference": kl,
        "end_share": ended.astype(jnp.float32),
    }


def of_answers(who: Judges, tokens, ended) -> dict[str, np.ndarray]:
    """Returns what the judges say of answers [N, L], float32."""
    texts = texts_of(who.pieces, np.asarray(tokens))
    found = {
        "gold_reward": who.gold.score(texts),
        "characters": text_metrics.lengths(texts),
        "fluency": [text_metrics.fluency(who.fluency, texts, np.asarray(ended))],
        "distinct_2": [text_metrics.distinct_2(texts)],
    }
    return {name: np.asarray(values, np.float32) for name, values in found.items()}


def found(named: tuple[str, str]) -> Finished:
    """Returns the stage of that path and mark. Raises ValueError, in one line, where it is another, or none."""
    path, mark = named
    return _found(path, mark, _stamp(Path(path)))


@functools.lru_cache(maxsize=16)
def _found(path: str, mark: str, stamp: tuple[int, ...]) -> Finished:
    return required(Path(path), mark)


def _stamp(folder: Path) -> tuple[int, ...]:
    """Returns what changes when a file does: hashing them all at each use would take seconds."""
    files = sorted(folder.glob("*"))
    return tuple(number for file in files for number in (file.stat().st_mtime_ns, file.stat().st_size))


def load_judges(judged: tuple[str, str], reference: tuple[str, str]) -> Judges:
    """Returns the judges of a finished stage, with the tokeniser of another."""
    stage, begun = found(judged), found(reference)
    return Judges(*_read_judges(stage.folder, stage.mark), supervised.load(begun.folder, begun.mark).tokeniser)


@functools.lru_cache(maxsize=2)
def _read_judges(folder: Path, mark: str) -> tuple[Linear, KneserNey]:
    return judges.read_linear(folder / judges.GOLD), judges.read_kneser_ney(folder / judges.FLUENCY)
