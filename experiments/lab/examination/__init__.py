"""The examination of a user's loss: what a researcher would check by hand before believing its results."""

import jax
import numpy as np

from algos.core.types import Batch
from experiments.lab.examination import directions, form, gradients, limits, samples
from experiments.lab.examination.case import NOTE, OK, PROBLEM, Case, Finding, parts, prepare
from experiments.lab.outside.user_loss import UserLoss

__all__ = ["NOTE", "OK", "PROBLEM", "Finding", "examine"]

DISCRETE, CONTINUOUS = "CartPole-v1", "Pendulum-v1"


def examine(user: UserLoss) -> list[Finding]:
    """Returns everything found out about the loss, worst first among what belongs together.

    On CartPole, and on Pendulum where the algorithm takes continuous actions; there only what goes wrong is said.
    """
    try:
        case = prepare(user, DISCRETE)
    except Exception as error:
        return [form.explained(error, user.path, "the network fails")]
    findings = examine_on(case)
    takes_continuous = isinstance(parts(case.batch)[0], Batch) and user.algorithm != "pgql"
    if takes_continuous and user.network is None and not any(each.level == PROBLEM for each in findings):
        findings += on_continuous_actions(prepare(user, CONTINUOUS))
    return findings


def examine_on(case: Case) -> list[Finding]:
    """Returns the findings on one environment; a loss that `compare` refuses is examined no further."""
    single, findings = form.returns(case.astype(np.float32))
    if single is None:
        return findings
    for check in (form.accepted, form.vmaps) if findings[-1].level == OK else (form.vmaps,):
        found = check(single)
        findings += found
        if any(each.level == PROBLEM for each in found):
            return findings
    findings += form.reads(single)
    bounds = limits.limits(single)
    with jax.enable_x64(True):
        double = case._replace(loss=single.loss)
        if not np.isfinite(double.value()):
            return findings + bounds
        if none := gradients.presence(double):
            return findings + none + bounds
        for check in (gradients.differences, gradients.leaks, directions.directions, samples.examine_samples):
            findings += check(double)
    return findings + bounds


def on_continuous_actions(case: Case) -> list[Finding]:
    """Returns the problems that appear only with continuous actions; a note when the loss does not take them."""
    single, findings = form.returns(case.astype(np.float32))
    if single is None:
        return [each._replace(level=NOTE, text=f"for discrete actions only: {each.text}") for each in findings]
    findings = limits.limits(single)
    with jax.enable_x64(True):
        double = case._replace(loss=single.loss)
        findings += gradients.differences(double) + directions.directions(double)
    wrong = [each._replace(text=f"with continuous actions: {each.text}") for each in findings if each.level == PROBLEM]
    return wrong or [Finding(OK, "continuous actions: finite at the same limits, gradient as by finite differences")]
