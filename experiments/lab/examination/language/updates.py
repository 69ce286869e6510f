"""What a method does in its first updates: whether it begins at a ratio of 1 and a divergence of 0, from a reference that stays."""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np

from experiments.lab.examination.case import NOTE, OK, PROBLEM, Finding
from experiments.lab.examination.language.case import Case, divergence, reading

UPDATES = 6
FAST = 0.03  # a learning rate at which any network is elsewhere after them
SAME, ROUNDING = 1e-4, 1e-3  # nats an answer, of two passes of one form; nats a token, and of a margin
APART = 3.0  # times, of a divergence that is told and one that is measured
OF_ANSWERS = ("score", "answer_entropy", "answer_length", "reference_score")  # what an update tells of those it drew
SEEN = 0.02  # nats, of one that can be told apart from 0


def examine_updates(case: Case) -> list[Finding]:
    """Returns the findings on some updates at a high learning rate."""
    hparams = dataclasses.replace(case.contender.hparams, **moving(case.contender.hparams))
    step, state, told = jax.jit(case.algorithm.step), case.state, []
    kept = jax.tree.map(np.array, case.text.reference_params)
    for _ in range(UPDATES):
        before = state
        state, metrics = step(state, hparams)
        told.append({name: float(x) for name, x in metrics.items()})
    name = case.contender.name
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.device_get(state.params))):
        return [
            Finding(NOTE, f"{name}: parameters are not finite after {UPDATES} updates at a learning rate of {FAST:g}")
        ]
    found = (
        begins(name, told[0])
        + draws_anew(case, step)
        + stays(case, kept)
        + measured(case, before, told[-1], bool(jax.tree.leaves(case.state.opt_state)))
    )
    return found or [
        Finding(OK, f"{name}: {UPDATES} updates from a ratio of 1 and a divergence of 0; the reference stayed")
    ]


def moving(hparams) -> dict[str, float]:
    """Returns the hyperparameters that a method needs to get anywhere in a few updates, as far as it has them."""
    fields = {"learning_rate": FAST, "anneal": 0.0}
    return {name: x for name, x in fields.items() if hasattr(hparams, name)}


def begins(name: str, first: dict[str, float]) -> list[Finding]:
    """Returns the problems of the first update, which no change of the parameters came before."""
    found = []
    for metric, most, text in (
        ("first_ratio_gap_max", ROUNDING, "the ratio to the old policy is not 1 at the first minibatch, but up to {:.3g} off"),
        ("kl_exact", SAME, "the divergence from the reference is not 0 before the first update, but {:.3g} nats"),
        ("sampler_gap_max", ROUNDING, "sampler and full pass are up to {:.3g} nats a token apart"),
        ("margin", ROUNDING, "the margin of pairs is not 0 before the first update, but {:.3g}"),
    ):  # fmt: skip
        if abs(first.get(metric, 0.0)) > most:
            found.append(Finding(PROBLEM, f"{name}: {text.format(first[metric])}"))
    if first.get("fault_count"):
        found.append(Finding(PROBLEM, f"{name}: {first['fault_count']:.0f} rewards of the first update are not finite"))
    return found


def draws_anew(case: Case, step) -> list[Finding]:
    """Returns the problem of answers that are the same ones at every update, or under every seed: of the same policy, asked
    for the same prompts, what is told of two batches is the same number for number only if they are."""
    hparams = dataclasses.replace(case.contender.hparams, **{**moving(case.contender.hparams), **still(case.contender)})
    start, other = (jax.jit(case.algorithm.init)(jax.random.key(seed), hparams) for seed in (0, 1))
    later, first = step(start, hparams)
    found = []
    for state, what in (
        (later, "at every update: its key is not moved on"),
        (other, "under every seed: its key is none of the seed's"),
    ):
        _, again = step(state.replace(environment=start.environment, params=start.params), hparams)
        told = [metric for metric in OF_ANSWERS if metric in first]
        if told and all(float(first[metric]) == float(again[metric]) for metric in told):
            found.append(Finding(PROBLEM, f"{case.contender.name}: it draws the same answers {what}"))
    return found


def still(contender) -> dict[str, float]:
    """Returns what keeps a method's policy where it is."""
    return {"learning_rate": 0.0} if hasattr(contender.hparams, "learning_rate") else {}


def stays(case: Case, kept) -> list[Finding]:
    """Returns the problem of a reference whose parameters are others than before."""
    same = jax.tree.map(lambda x, y: np.array_equal(np.asarray(x), y), case.text.reference_params, kept)
    if all(jax.tree.leaves(same)):
        return []
    return [
        Finding(PROBLEM, f"{case.contender.name}: the reference's parameters moved: they are trained, or written over")
    ]


def measured(case: Case, state, told: dict[str, float], trains: bool) -> list[Finding]:
    """Returns the problem of a divergence that is told by an update and is not the one of its policy from the reference."""
    if not trains or "kl_exact" not in told:
        return []

    @jax.jit
    def answered(state):
        prompts = case.answers.tokens[:, : -case.text.length]
        answers = case.algorithm.answer(state, jax.random.key(2), prompts)
        read = reading(case, state.params, answers)
        return divergence(read.policy, read.reference, answers.answer_mask > 0)

    kl, said = float(answered(state)), told["kl_exact"]
    if max(kl, said) < SEEN or max(kl, said) < APART * min(kl, said):
        return []
    text = f"after {UPDATES - 1} updates it tells a divergence of {said:.3g} nats, and its policy is at {kl:.3g} from the task's"
    return [Finding(PROBLEM, f"{case.contender.name}: {text} reference: its own moves along, or is another")]


def warned(contender, env) -> list[Finding]:
    """Returns what the method warns of when it is made."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        contender.make(env)
    found = [Finding(NOTE, f"{contender.name}: {each.message}") for each in caught if each.category is UserWarning]
    coefficient = getattr(contender.hparams, "kl_coef", None)
    if coefficient is not None and not np.any(np.asarray(jnp.asarray(coefficient)) > 0):
        found.append(Finding(NOTE, f"{contender.name}: kl_coef = 0: nothing holds the policy near its reference"))
    return found
