"""The language task that policies are optimised on, and the judge that ranks them: what a run folder's manifest names.

An answer has at most L tokens; its prompt is the begin token, and where there are prompts, one of them. Stages are named by
path and mark, and one that is not as it was is refused: so a run goes on, is swept and run again like any other.
"""

import functools
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import envs
from algos.rlhf.reward_model import reward as reward_of
from algos.rlhf.sampling import log_probs
from algos.rlhf.tokeniser import Tokeniser
from envs import Env
from envs.text import Text, rewarded
from experiments.lab.judging.judges import Judge
from experiments.lab.recording.run_folder import MARK, STAGE
from experiments.rlhf import smollm2, text_metrics, user_reward
from experiments.rlhf import vader as second_judge
from experiments.rlhf.encoding import texts_of
from experiments.rlhf.kneser_ney import KneserNey
from experiments.rlhf.linear import Linear
from experiments.rlhf.stages import comparisons as human_comparisons
from experiments.rlhf.stages import reward_model as learned_reward
from experiments.rlhf.stages import supervised as reference_policy
from experiments.rlhf.stages.judges import FLUENCY, GOLD, read_kneser_ney, read_linear
from experiments.rlhf.stages.stage import Finished, read, required

NAME, OF_PREFERENCES = "human-sentiment", "preferences"  # of the environment: sentences, or answers to prompts


class Judges(NamedTuple):
    """Who judges texts, and how answers become texts."""

    gold: Linear
    fluency: KneserNey
    pieces: Tokeniser
    vader: bool = False  # whether there is a second judge
    smollm2: bool = False  # whether a pretrained model says how fluent texts are


def named(stage: Finished) -> dict[str, str]:
    """Returns a stage as a manifest names it: its path and its mark."""
    return {STAGE: str(stage.folder.resolve()), MARK: stage.mark}


def language_task(
    supervised: dict[str, str],
    comparisons: dict[str, str],
    reward_model: dict[str, str] | None = None,
    reward: str = "",
    name: str = NAME,
) -> Env:
    """Returns the task on the reference policy of a supervised stage: rewarded by the reward model of a stage, or by the
    user's own function where `reward` names one. Raises ValueError for a stage that is not the one of its mark."""
    begun, human = found(supervised), found(comparisons)
    policy = reference_policy.load(begun.folder, begun.mark)
    pieces, length = policy.tokeniser, read(begun.folder)["settings"]["length"]
    if reward:
        scored = user_reward.of_answers(reward, pieces, length)
    else:
        stage = found(reward_model)
        learned = learned_reward.load(stage.folder, stage.mark, policy.model)
        scored = reward_of(learned_reward.model_of(policy.model), learned)
    text = Text(
        vocabulary=pieces.vocabulary, pad=pieces.pad, end=pieces.end,
        prompts=reference_policy.load_prompts(begun.folder, begun.mark).train, length=length,
        reference=policy.model, reference_params=policy.params, reward=scored,
        preferences=human_comparisons.preferred(human_comparisons.load(human.folder)),
        decode=pieces.decode,
    )  # fmt: skip
    return envs.text.env(name, text)


def gold_judge(judged: Finished, reference: Finished, answers: int, **more: bool) -> Judge:
    """Returns the judge of a run: what the gold judge foretells that people say of so many answers. more: judges that are asked
    too, vader and smollm2."""
    settings = {"judges": named(judged), "supervised": named(reference), "answers": answers}
    return Judge("gold_reward", True, measure, settings | {name: True for name, asked in more.items() if asked}, told)


def measure(
    algorithm, env: Env, state, key, judges, supervised: dict[str, str], answers: int, **more: bool
) -> dict[str, jax.Array]:
    """Returns what programs can say of answers drawn as the algorithm answers, to held-out prompts in turn.

    tokens [N, L]; proxy_reward [N], what is trained on; end_share [N]; kl_to_reference [N], the sum over an answer's tokens
    of KL(pi || rho) at the text before it, exact at each, and what choosing among whole answers adds.
    """
    if algorithm.answer is None:
        raise ValueError("it is no language method: it gives no answers")
    text, asked = env.text, judged_prompts(supervised)
    drawn = algorithm.answer(state, key, jnp.asarray(asked)[jnp.arange(answers) % len(asked)])
    policy, _ = log_probs(text.reference, state.params, drawn.tokens, drawn.mask, text.length, state.temperature)
    rho, _ = log_probs(text.reference, text.reference_params, drawn.tokens, drawn.mask, text.length, state.temperature)
    kl = jnp.sum(jnp.where(drawn.answer_mask > 0, policy.kl(rho), 0.0), axis=1) + algorithm.answer_kl
    ended = jnp.any((drawn.tokens[:, -text.length :] == text.end) & (drawn.answer_mask > 0), axis=1)
    return {
        "tokens": drawn.tokens[:, -text.length :],
        "proxy_reward": rewarded(text, drawn.tokens, drawn.mask, drawn.answer_mask),
        "kl_to_reference": kl,
        "end_share": ended.astype(jnp.float32),
    }


def told(found: dict[str, np.ndarray], judges, supervised, answers: int, **more: bool) -> dict[str, np.ndarray]:
    """Returns every metric of what `measure` gave: beside its own, gold_reward [N], the gold judge's; fluency, nats a
    character under a model of the gold part's texts (higher is better); distinct_2; characters [N]; if asked, vader [N] and
    smollm2_fluency."""
    found = dict(found)
    who = load_judges(judges, supervised)._replace(**more)
    return {**of_answers(who, found.pop("tokens"), found["end_share"] > 0.0), **found}


def of_answers(who: Judges, tokens, ended) -> dict[str, np.ndarray]:
    """Returns what the judges say of answers [N, L], float32."""
    texts = texts_of(who.pieces, np.asarray(tokens))
    found = {
        "gold_reward": who.gold.score(texts),
        "characters": text_metrics.lengths(texts),
        "fluency": [text_metrics.fluency(who.fluency, texts, np.asarray(ended))],
        "distinct_2": [text_metrics.distinct_2(texts)],
    }
    if who.vader:
        found["vader"] = second_judge.scores(texts)
    if who.smollm2:
        found["smollm2_fluency"] = [smollm2.fluency(texts)]
    return {name: np.asarray(values, np.float32) for name, values in found.items()}


def found(named: dict[str, str]) -> Finished:
    """Returns the stage of that path and mark. Raises ValueError, in one line, where it is another, or none."""
    path, mark = named[STAGE], named[MARK]
    return _found(path, mark, _stamp(Path(path)))


@functools.lru_cache(maxsize=16)
def _found(path: str, mark: str, stamp: tuple[int, ...]) -> Finished:
    return required(Path(path), mark)


def _stamp(folder: Path) -> tuple[int, ...]:
    """Returns what changes when a file does: hashing them all at each use would take seconds."""
    files = sorted(folder.glob("*"))
    return tuple(number for file in files for number in (file.stat().st_mtime_ns, file.stat().st_size))


def judged_prompts(reference: dict[str, str]) -> np.ndarray:
    """Returns the held-out prompts of a supervised stage, [J, P]."""
    begun = found(reference)
    return reference_policy.load_prompts(begun.folder, begun.mark).judged


def judged_alike(answers: int, prompts: int, most: int) -> int:
    """Returns how many answers are judged where so many are asked for: as many to each prompt, and no more than `most`, of the
    reference."""
    return min(-(-answers // prompts), most // prompts) * prompts


def load_judges(judged: dict[str, str], reference: dict[str, str]) -> Judges:
    """Returns the judges of a finished stage, with the tokeniser of another."""
    stage, begun = found(judged), found(reference)
    return Judges(*_read_judges(stage.folder, stage.mark), reference_policy.load(begun.folder, begun.mark).tokeniser)


@functools.lru_cache(maxsize=2)
def _read_judges(folder: Path, mark: str) -> tuple[Linear, KneserNey]:
    return read_linear(folder / GOLD), read_kneser_ney(folder / FLUENCY)
