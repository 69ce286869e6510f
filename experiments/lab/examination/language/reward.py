"""What a reward function makes of answers: its form, whether it is finite, and what it must not depend on."""

import jax
import jax.numpy as jnp
import numpy as np

from algos.rlhf.optimum import tilted
from algos.rlhf.sampling import Answers
from envs.text import Text
from experiments.lab.examination.case import NOTE, OK, PROBLEM, Finding
from experiments.lab.examination.jaxprs import CALLS, needed
from experiments.lab.outside.loss_errors import reason

REPEATED = 4  # tokens of which answers without an end are made
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
DRIFT = 0.25  # share of its length that an answer gains or loses on the way


def examine_reward(text: Text, answers: Answers, bounds: tuple[float, float] | None = None) -> list[Finding]:
    """Returns the findings on the task's reward, of answers as the reference gives them. bounds: where it should lie."""
    rows = answers.tokens, answers.mask, answers.answer_mask
    number = len(answers.tokens)
    try:
        given = jax.eval_shape(text.reward, *rows)
        if jnp.shape(given) != (number,):
            told = f"the reward gives {list(jnp.shape(given))} for {number} answers, not one number each, [{number}]"
            return [Finding(PROBLEM, told)]
        ask = jax.jit(lambda *rows: jnp.asarray(text.reward(*rows), jnp.float32))
        reward = np.asarray(ask(*rows), np.float64)
        edges = np.asarray(ask(*extremes(text, *rows)), np.float64)
    except Exception as error:  # a user's function raises what it likes
        told = f"the reward fails: {reason(error)}"
        return [Finding(PROBLEM, f"{told}; one that needs NumPy or Python is wrapped in envs.text.on_host")]
    found = whole_numbers(text, rows, given.dtype, reward) + finite(reward, edges, rows) + within(reward, bounds)
    if found and found[-1].level == PROBLEM:
        return found
    if not np.array_equal(np.asarray(ask(*rows), np.float64), reward):
        return [*found, Finding(PROBLEM, "the reward of the same answers is another when it is asked for again")]
    found += [each for each in (alone(ask, rows, reward), padded(text, ask, rows, reward)) if each]
    if float(np.ptp(reward)) == 0.0:
        return [
            *found,
            Finding(PROBLEM, f"all {number} answers are rewarded with {reward[0]:.6g}: nothing can be learned"),
        ]
    if not any(each.level == PROBLEM for each in found):
        spread = f"mean {reward.mean():.3g}, deviation {reward.std():.3g}, {reward.min():.3g} to {reward.max():.3g}"
        found.append(
            Finding(OK, f"{number} rewards: finite, one an answer, the same again, alone and padded; {spread}")
        )
    return found + drift(reward, np.sum(np.asarray(answers.answer_mask), axis=1))


def extremes(text: Text, tokens, mask, answer_mask):
    """Returns the rows with answers that are seldom drawn among the first: the end alone, and one token to the budget."""
    tokens, mask, answer_mask = (np.array(x) for x in (tokens, mask, answer_mask))
    width = tokens.shape[1] - text.length
    others = [token for token in range(text.vocabulary) if token not in (text.end, text.pad)]
    for row, token in enumerate([text.end, *others[:: max(1, len(others) // REPEATED)]][: len(tokens)]):
        real = 1 if token == text.end else text.length
        tokens[row, width:] = np.where(np.arange(text.length) < real, token, text.pad)
        answer_mask[row] = mask[row, width:] = np.arange(text.length) < real
    return jnp.asarray(tokens), jnp.asarray(mask), jnp.asarray(answer_mask)


def whole_numbers(text: Text, rows, dtype, reward) -> list[Finding]:
    """Returns what is said of rewards that are whole numbers: a problem where fractions became so on the way."""
    casts = casts_to_integers(jax.make_jaxpr(text.reward)(*rows))
    if not jnp.issubdtype(dtype, jnp.floating):
        if casts:
            told = f"rewards are {dtype}, made of floats: 0.3 becomes 0 and -1.6 becomes -1; return float32"
            return [Finding(PROBLEM, told)]
        return [Finding(NOTE, f"rewards are {dtype}: counts stay as they are, a fraction would be lost")]
    if casts and np.all(reward == np.round(reward)) and np.ptp(reward) > 0:
        told = "all rewards are whole numbers, and floats are cast to integers on the way: is a fraction lost?"
        return [Finding(NOTE, told)]
    return []


def casts_to_integers(closed) -> bool:
    """Returns whether what the program gives depends on a float that was cast to an integer."""
    return _casts(closed.jaxpr, [True] * len(closed.jaxpr.outvars))


def _casts(jaxpr, wanted) -> bool:
    for equation in needed(jaxpr, wanted)[0]:
        if equation.primitive.name in CALLS and _casts(equation.params["jaxpr"].jaxpr, [True] * len(equation.outvars)):
            return True
        if equation.primitive.name == "convert_element_type":
            before, after = equation.invars[0].aval.dtype, equation.outvars[0].aval.dtype
            if jnp.issubdtype(before, jnp.floating) and jnp.issubdtype(after, jnp.integer):
                return True
    return False


def finite(reward, edges, rows) -> list[Finding]:
    """Returns the problem of rewards that are no numbers, of what was drawn or of extremes."""
    wrong = ~np.isfinite(reward)
    if wrong.any():
        row = int(np.argmax(wrong))
        told = f"{wrong.sum()} of {len(reward)} rewards are not finite, first {reward[row]}"
        return [Finding(PROBLEM, f"{told} for an answer of {int(np.sum(rows[2][row]))} tokens")]
    wrong = ~np.isfinite(edges)
    if wrong.any():
        which = "the end token alone" if np.argmax(wrong) == 0 else "one token repeated to the end of the budget"
        return [Finding(PROBLEM, f"the reward of an answer that is {which} is {edges[np.argmax(wrong)]}")]
    return []


def within(reward, bounds) -> list[Finding]:
    """Returns the problem of rewards beyond the bounds that were told."""
    if bounds is None or not np.isfinite(reward).all():
        return []
    beyond = (reward < bounds[0]) | (reward > bounds[1])
    if not beyond.any():
        return []
    told = f"{beyond.sum()} of {len(reward)} rewards lie outside {bounds[0]:g} to {bounds[1]:g}: they go from"
    return [Finding(PROBLEM, f"{told} {reward.min():.4g} to {reward.max():.4g}")]


def alone(ask, rows, reward) -> Finding | None:
    """Returns the problem of a reward that depends on the other answers of the batch."""
    half = len(reward) // 2
    if np.allclose(np.asarray(ask(*(x[:half] for x in rows)), np.float64), reward[:half], **CLOSE):
        return None
    return Finding(PROBLEM, "the reward of an answer depends on the others in the batch")


def padded(text: Text, ask, rows, reward) -> Finding | None:
    """Returns the problem of a reward that reads tokens where the mask is 0. They are the end token: it says nothing."""
    tokens, mask, answer_mask = rows
    other = np.asarray(ask(jnp.where(mask > 0, tokens, text.end), mask, answer_mask), np.float64)
    wrong = ~np.isclose(other, reward, **CLOSE)
    if not wrong.any():
        return None
    told = f"the reward depends on padding: of {wrong.sum()} of {len(reward)} answers it is another where padding holds"
    return Finding(PROBLEM, f"{told} other tokens; multiply by the mask, or read at the last token that is real")


def drift(reward, length) -> list[Finding]:
    """Returns a note where more reward means longer or shorter answers: by how much at rho exp(r / sd r)."""
    if np.ptp(length) == 0.0:
        return []
    foretold = float(tilted(reward, float(reward.std())).weight @ length)
    share = foretold / float(length.mean()) - 1.0
    if abs(share) < DRIFT:
        return []
    told = f"the reward is about length: its correlation with it is {np.corrcoef(reward, length)[0, 1]:.2f}, and answers of"
    return [Finding(NOTE, f"{told} {length.mean():.1f} tokens become {foretold:.1f} at beta = its deviation")]
