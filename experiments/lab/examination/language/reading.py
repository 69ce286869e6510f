"""Whether what is sampled, read and referred to is one policy: the cache, the temperature, padding, the end of a text."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize_scalar

from algos.core.distributions import Categorical
from algos.rlhf.sampling import log_probs
from experiments.lab.examination.case import NOTE, OK, PROBLEM, Finding
from experiments.lab.examination.language.case import Case, divergence

ROUNDING = 1e-3  # nats a token, of a cached against a full pass
SAME = 1e-4  # nats an answer, of two passes of one form: what rounding may leave
FAR = 5.0  # deviations of a mean from what it should be
MOST = 8.0  # a temperature's factor, or one over it
SHIFT = 3  # columns of padding more
SELDOM = 0.05  # share of answers that end


def examine_reading(case: Case) -> list[Finding]:
    """Returns the findings on policy, sampler and reference before anything is learned."""
    told = jax.jit(lambda *given: measures(case, *given))(case.state.params, case.answers, case.read)
    told = {name: float(x) for name, x in told.items()}
    found = sampler(case, told["sampler"]) or alike(case) or draws(case, told["surplus"], told["spread"])
    found += reference(case, told["divergence"]) + other_rows(told) + pads(case, told["pad"])
    return (found or [Finding(OK, agreed(case))]) + ends(case, told)


def measures(case: Case, params, answers, read) -> dict[str, jax.Array]:
    """Returns all that is measured, in one program."""
    text, real = case.text, answers.answer_mask > 0
    log_p = read.policy.log_probs()
    mass, action = jnp.exp(log_p), answers.tokens[:, -text.length :]
    mean = jnp.sum(mass * log_p, axis=-1)
    variance = jnp.sum(mass * (log_p - mean[..., None]) ** 2, axis=-1)
    ended = jnp.any((action == text.end) & real, axis=1)
    left, half = ((0, 0), (SHIFT, 0)), len(action) // 2

    def off(tokens, mask):
        policy, _ = log_probs(case.model, params, tokens, mask, text.length, case.contender.hparams.temperature)
        again = jnp.where(real[: len(tokens)], policy.log_prob(action[: len(tokens)]), 0.0)
        return jnp.max(jnp.abs(again - read.log_prob[: len(tokens)]))

    return {
        "sampler": jnp.max(jnp.abs(answers.log_prob - read.log_prob)),
        "surplus": jnp.sum(jnp.where(real, read.log_prob - mean, 0.0)),
        "spread": jnp.sqrt(jnp.sum(jnp.where(real, variance, 0.0))),
        "divergence": divergence(read.policy, read.reference, real),
        "left": off(jnp.pad(answers.tokens, left, constant_values=text.pad), jnp.pad(answers.mask, left)),
        "held": off(jnp.where(answers.mask > 0, answers.tokens, text.end), answers.mask),
        "alone": off(answers.tokens[:half], answers.mask[:half]),
        "pad": jnp.max(jnp.where(real, mass[..., text.pad], 0.0)) if 0 <= text.pad < text.vocabulary else 0.0,
        "end": jnp.max(jnp.where(real, mass[..., text.end], 0.0)),
        "ended": jnp.mean(ended),
        "length": jnp.mean(jnp.sum(real, axis=1)),
    }


def agreed(case: Case) -> str:
    """Returns in words that nothing was found amiss."""
    told = f"{len(case.action)} answers at temperature {case.temperature:g}: sampler and full pass agree"
    return f"{told}, the ratio is 1 and the divergence from the reference 0, padding changes nothing"


def sampler(case: Case, gap: float) -> list[Finding]:
    """Returns the problem of a sampler whose log-probabilities are not those that losses see."""
    if gap <= ROUNDING:
        return []

    def off(factor):
        again = jnp.where(case.real, tempered(case.read.policy, factor).log_prob(case.action), 0.0)
        return jnp.mean((case.answers.log_prob - again) ** 2)

    factor = fitted(off)
    told = f"the sampler's log-probabilities are up to {gap:.3g} nats off those of a full pass: the ratio to the old policy is not 1"
    if off(factor) < 0.01 * off(1.0):
        return [mismatch(case, f"{told}; the sampler's are", factor)]
    return [Finding(PROBLEM, f"{told}; look at positions and masks of the cache (`start`, `step`)")]


def alike(case: Case) -> list[Finding]:
    """Returns the problem of rows that share their randomness: one answer to all that ask the same."""
    texts = np.unique(np.asarray(case.answers.tokens), axis=0)
    asked = len(np.unique(texts[:, : -case.text.length], axis=0))
    likely = float(np.mean(np.exp(np.sum(case.read.log_prob, axis=1))))
    if len(texts) > asked or likely > 0.5 or len(case.action) < 4 * asked:
        return []
    told = f"all {len(case.action)} answers to {asked} different prompts are {asked}, whose probability is {likely:.2g}"
    return [Finding(PROBLEM, f"{told}: each row needs a key of its own, or nothing is drawn at all")]


def draws(case: Case, surplus: float, spread: float) -> list[Finding]:
    """Returns the problem of tokens that are more or less probable than chance has it. Under the policy the sum of
    log pi(a) + H has mean 0 and the sum of the variances, whatever came before."""
    if case.algorithm.answer_kl or abs(surplus) <= FAR * max(spread, 1e-3):
        return []  # the best of several are no draws

    def unlikely(factor):
        return -jnp.sum(jnp.where(case.real, tempered(case.read.policy, factor).log_prob(case.action), 0.0))

    each, side = surplus / float(np.sum(case.real)), "more" if surplus > 0 else "less"
    told = f"answers are {side} probable than chance has it, by {abs(each):.3g} nats a token"
    return [mismatch(case, f"{told}: top-p, top-k, or another temperature; they are drawn as by", fitted(unlikely))]


def reference(case: Case, kl: float) -> list[Finding]:
    """Returns the problem of a policy that does not begin as its reference."""
    if kl <= SAME:
        return []

    def apart(factor):
        return divergence(tempered(case.read.policy, factor), case.read.reference, case.real)

    factor = fitted(apart)
    told = f"before any update the policy is {kl:.3g} nats an answer from its reference"
    if apart(factor) < 0.01 * kl:
        return [mismatch(case, f"{told}; the reference's log-probabilities are", factor)]
    return [Finding(PROBLEM, f"{told}: it begins with other parameters, or is another network")]


def other_rows(told: dict[str, float]) -> list[Finding]:
    """Returns the problems of a model that reads a text otherwise behind more padding, by what padding holds, or by the
    other texts of the batch."""
    what = {
        "left": f"{SHIFT} more columns of padding before a text change what the model says of it: positions count padding",
        "held": "the model reads tokens where the mask is 0: what padding holds changes what it says of a text",
        "alone": "what the model says of an answer depends on the others in the batch: in a minibatch the ratio is not 1",
    }
    wrong = [(text, told[name]) for name, text in what.items() if told[name] > ROUNDING]
    return [Finding(PROBLEM, f"{text} (by {gap:.3g} nats a token)") for text, gap in wrong]


def pads(case: Case, most: float) -> list[Finding]:
    """Returns the problem of a policy that may answer with padding."""
    if most < 1e-6:
        return []
    told = f"pad is token {case.text.pad}, and the policy gives it a probability of up to {most:.2g}"
    return [Finding(PROBLEM, f"{told}: a token of an answer then looks like none; take one outside the vocabulary")]


def ends(case: Case, told: dict[str, float]) -> list[Finding]:
    """Returns how many answers end, and how long they are."""
    number, budget, share = len(case.action), case.text.length, told["ended"]
    if share == 0.0:
        text = f"none of {number} answers ends within its {budget} tokens; the end, token {case.text.end}, has a"
        return [Finding(PROBLEM, f"{text} probability of at most {told['end']:.2g}: is it what the reference learned?")]
    text = (
        f"{share:.0%} of answers end within their {budget} tokens; they are {told['length']:.1f} tokens long on average"
    )
    return [Finding(NOTE if share < SELDOM else OK, text)]


def mismatch(case: Case, told: str, factor: float) -> Finding:
    """Returns the problem with the temperature that is so many times the method's."""
    return Finding(PROBLEM, f"{told} those of temperature {case.temperature * factor:.2f}, not {case.temperature:.2f}")


def tempered(policy: Categorical, factor) -> Categorical:
    """Returns the policy at a temperature so many times as high."""
    return Categorical(policy.logits / factor)


def fitted(loss) -> float:
    """Returns the temperature's factor at which the loss is least."""
    program, bound = jax.jit(lambda log_factor: loss(jnp.exp(log_factor))), float(np.log(MOST))
    return float(np.exp(minimize_scalar(lambda x: float(program(x)), bounds=(-bound, bound), method="bounded").x))
