"""What a loss makes of the samples of its batch: the mask, their order and their number."""

import jax
import numpy as np

from algos.core.types import Batch
from experiments.lab.examination.case import (
    NOTE,
    OK,
    PROBLEM,
    SAMPLES,
    Case,
    Finding,
    edited,
    on_samples,
    parts,
)
from experiments.lab.examination.jaxprs import line_of, needed, parting

SAME = 1e-8  # relative, in float64
GOES_ON, TERMINATED, TRUNCATED = 0, 1, 2  # every fourth step


def examine_samples(case: Case) -> list[Finding]:
    """Returns the findings; float64."""
    case = case._replace(batch=edited(case.batch, partly_masked))
    respects = mask(case)
    findings = respects + order(case) + pairs(case) + ends(case)
    if all(finding.level != PROBLEM for finding in findings):
        findings += reduction(case)
    return findings


def partly_masked(part):
    """Returns the part with about a third of its samples masked: of the environments, where it is [T, B]."""
    kept = (np.arange(part.mask.shape[-1]) % 3 != 1).astype(part.mask.dtype)
    return part.replace(mask=part.mask * kept)


def mask(case: Case) -> list[Finding]:
    """Returns whether samples with mask 0 count, by what they hold or by their number."""
    other = case._replace(batch=edited(case.batch, spoilt))
    if not same(case, other):
        text = "the mask is not respected: what samples with mask 0 hold changes the loss; reduce with losses.mean"
        return [Finding(PROBLEM, text, line_of_change(case, other))]
    padded = case._replace(batch=edited(case.batch, padded_part))
    if not same(case, padded):
        text = "padding scales the loss: it divides by the number of rows, not by sum(batch.mask); use losses.mean"
        return [Finding(PROBLEM, text, reduction_line(case))]
    findings = [Finding(OK, "respects the mask: padding changes nothing")]
    counted = [
        name
        for name, value in case.metrics().items()
        if not np.allclose(value, other.metrics()[name], rtol=SAME, equal_nan=True)
    ]
    if counted:
        findings.append(Finding(NOTE, f"these metrics count samples with mask 0: {', '.join(counted)}", case.user.line))
    return findings


def spoilt(part):
    """Returns the part with other contents where the mask is 0."""

    def change(x, axis):
        other = np.roll(x, 1, axis)
        other = 3.0 * other + 1.0 if np.issubdtype(x.dtype, np.floating) else other
        is_kept = part.mask.reshape(part.mask.shape + (1,) * (x.ndim - part.mask.ndim)) > 0
        return np.where(is_kept, x, other)

    return on_samples(part, change).replace(mask=part.mask)


def padded_part(part):
    """Returns the part twice as long, the second half masked."""
    doubled = twice(part)
    is_first = np.arange(doubled.mask.shape[-1]) < part.mask.shape[-1]
    return doubled.replace(mask=doubled.mask * is_first)


def twice(part):
    """Returns the part with every sample twice."""
    return on_samples(part, lambda x, axis: np.concatenate([x, x], axis))


def order(case: Case) -> list[Finding]:
    """Returns whether the loss depends on the order of the samples, and in [T, B] on that of time."""
    shuffled = case._replace(batch=edited(case.batch, lambda part: permuted(part, part.mask.ndim - 1)))
    if not same(case, shuffled):
        text = "depends on the order of the samples in the batch, which is random"
        return [Finding(PROBLEM, text, line_of_change(case, shuffled))]
    findings = [Finding(OK, "the order of the samples changes nothing")]
    in_time = [part for part in parts(case.batch) if part.mask.ndim == 2]
    if in_time and not same(case, case._replace(batch=edited(case.batch, lambda part: permuted(part, 0)))):
        findings.append(Finding(NOTE, "depends on the order in time: right for a loss of sequences", case.user.line))
    return findings


def permuted(part, axis: int):
    """Returns the part with the given leading axis in another order."""
    index = np.random.default_rng(0).permutation(part.mask.shape[axis])
    return on_samples(part, lambda x, _: np.take(x, index, axis))


def ends(case: Case) -> list[Finding]:
    """Returns whether what follows an episode's end counts: never where it terminated, always where time ran out."""
    case = case._replace(batch=edited(case.batch, ending))
    goes_on, terminated, truncated = (
        case._replace(batch=edited(case.batch, lambda part, kind=kind: followed(part, kind)))
        for kind in (GOES_ON, TERMINATED, TRUNCATED)
    )
    if not same(case, terminated):
        text = "bootstraps where the episode terminated: multiply what follows by (1 - batch.terminated)"
        return [Finding(PROBLEM, text, line_of_change(case, terminated))]
    if same(case, goes_on):
        return []
    findings = [Finding(OK, "bootstraps, and not where the episode terminated")]
    if all(isinstance(part, Batch) for part in parts(case.batch)) and same(case, truncated):
        text = "bootstraps, but not where a time limit cut the episode: batch.truncated is no end of its rewards"
        findings.append(Finding(NOTE, text, case.user.line))
    return findings


def ending(part):
    """Returns the part with episodes that terminate, and others that time cuts, here and there."""
    kind = np.arange(part.mask.size).reshape(part.mask.shape) % 4
    truncated = {"truncated": kind == TRUNCATED} if isinstance(part, Batch) else {}
    return part.replace(mask=np.ones_like(part.mask), terminated=kind == TERMINATED, **truncated)


def followed(part, kind: int):
    """Returns the part with something else following the steps of that kind."""
    chosen = np.arange(part.mask.size).reshape(part.mask.shape) % 4 == kind

    def other(x):
        return np.where(chosen.reshape(chosen.shape + (1,) * (x.ndim - chosen.ndim)), 2.0 * x + 1.0, x)

    fields = [name for name in ("next_observation", "next_value") if hasattr(part, name)]
    return part.replace(**{name: other(getattr(part, name)) for name in fields})


def pairs(case: Case) -> list[Finding]:
    """Returns the problem of an array with an entry for each pair of samples, as (N, 1) - (N,) makes one."""
    closed = jax.make_jaxpr(lambda p, b: case._replace(params=p, batch=b).trace())(case.params, case.batch)
    for equation in needed(closed.jaxpr, [True])[0]:
        line = line_of(equation, case.user.path)
        if line and any(var.aval.shape.count(SAMPLES) > 1 for var in equation.outvars):
            text = "makes an array with an entry for each pair of samples, as (N, 1) - (N,) does: check the shapes"
            return [Finding(PROBLEM, text, line)]
    return []


def reduction(case: Case) -> list[Finding]:
    """Returns whether the loss is a mean over the samples, a sum, or mixes them."""
    whole, doubled = case.value(), case._replace(batch=edited(case.batch, twice)).value()
    if np.isclose(doubled, 2.0 * whole, rtol=1e-6) and not np.isclose(doubled, whole, rtol=1e-6):
        text = "a sum over samples, not a mean: the gradient grows with the size of the batch"
        return [Finding(NOTE, text, reduction_line(case))]
    halves = [case._replace(batch=edited(case.batch, lambda part, i=i: half(part, i))) for i in range(2)]
    weights = [sum(float(np.sum(part.mask)) for part in parts(each.batch)) for each in halves]
    mean = sum(weight * each.value() for each, weight in zip(halves, weights)) / sum(weights)
    if len(parts(case.batch)) == 1 and not np.isclose(mean, whole, rtol=1e-6):
        text = "not a mean over samples: what one sample adds depends on the others, as with statistics of the batch"
        return [Finding(NOTE, text, case.user.line)]
    return [Finding(OK, "a mean over the samples")]


def half(part, which: int):
    """Returns the part with every second sample masked, or those others."""
    return part.replace(mask=part.mask * (np.arange(part.mask.shape[-1]) % 2 == which))


def same(case: Case, other: Case) -> bool:
    """Returns whether loss and gradient agree, as far as rounding allows."""
    if not np.isclose(case.value(), other.value(), rtol=SAME, atol=SAME):
        return False
    gradient, difference = case.gradient(), other.gradient()
    return bool(np.linalg.norm(gradient - difference) <= SAME * (1.0 + np.linalg.norm(gradient)))


def line_of_change(case: Case, other: Case) -> int:
    """Returns the line of the first scalar that differs between two batches of one shape, or that of the function."""
    closed = jax.make_jaxpr(lambda b: case._replace(batch=b).trace())(case.batch)
    leaves = (jax.tree.leaves(case.batch), jax.tree.leaves(other.batch))
    return parting(closed, *leaves, case.user.path) or case.user.line


def reduction_line(case: Case) -> int:
    """Returns the line of the last reduction to a scalar in the user's file, or that of the function."""
    closed = jax.make_jaxpr(lambda b: case._replace(batch=b).trace())(case.batch)
    sums = [
        each for each in closed.jaxpr.eqns if each.primitive.name == "reduce_sum" and not each.outvars[0].aval.shape
    ]
    lines = [line for line in (line_of(each, case.user.path) for each in sums) if line]
    return lines[-1] if lines else case.user.line
