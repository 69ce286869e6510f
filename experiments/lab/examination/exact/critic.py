"""The expected gradient of a loss through the value: does it go to V of the policy, and does nothing else move it?"""

import numpy as np

from experiments.lab.examination.case import NOTE, OK, PROBLEM, TINY, Finding
from experiments.lab.examination.directions import compared, through
from experiments.lab.examination.exact.cases import Tables, case_on
from experiments.lab.examination.exact.estimates import DISCOUNT, SAME, field_of, hparams_of, listed, nothing
from experiments.lab.examination.exact.fields import value_of
from experiments.lab.examination.exact.models import models
from experiments.lab.outside.user_loss import UserLoss


def critic(user: UserLoss) -> list[Finding]:
    """Returns whether the value goes towards the policy's, rests there, and is moved by nothing else."""
    hparams = hparams_of(user, DISCOUNT)
    right, blank = (value_steps(user, hparams, value) for value in (value_of, nothing))
    if not np.any(blank):
        return []
    cosines = [compared(step, field_of(user, model, DISCOUNT).value_step)[0] for step, model in zip(blank, models())]
    shares = [np.linalg.norm(step) / np.linalg.norm(far) for step, far in zip(right, blank)]
    if max(shares) > SAME:
        told = (
            f"where the value is V of the policy its expected update does not vanish: {listed(shares)} of that from 0"
        )
        if not hasattr(hparams, "value_coef") or np.any(value_steps(user, hparams.replace(value_coef=0.0), value_of)):
            told += ", with value_coef = 0 too: an advantage made of it without lax.stop_gradient?"
            return [Finding(PROBLEM, told, user.line)]
        return [Finding(NOTE, told, user.line)]
    if min(cosines) < 0.0:
        text = f"the value moves away from V of the policy: cosine {listed(cosines)} from a value of 0: check the sign"
        return [Finding(PROBLEM, text, user.line)]
    return [Finding(OK, "the value's expected update goes towards V of the policy and vanishes there")]


def value_steps(user: UserLoss, hparams, value) -> list[np.ndarray]:
    """Returns minus the expected gradient through the value on each model, [n]; 0 for what is there by rounding."""
    hparams = hparams.replace(eta=0.0) if hasattr(hparams, "eta") else hparams
    steps = []
    for model in models():
        case = case_on(user, model, Tables(np.log(model.probs), value(model, hparams.gamma)), hparams)
        step = (
            -case._replace(apply=through(case.apply, "value")).gradient() * field_of(user, model, hparams.gamma).values
        )
        steps.append(np.where(np.linalg.norm(step) < TINY, 0.0, step))
    return steps
