"""The expected gradient of a loss on three models small enough to enumerate, against what it should be."""

import jax
import numpy as np

from experiments.lab.examination import form
from experiments.lab.examination.case import NOTE, OK, PROBLEM, Finding
from experiments.lab.examination.exact.cases import NoTable
from experiments.lab.examination.exact.policy import examine_policy
from experiments.lab.examination.exact.updates import examine_bootstrap, examine_updates, first_case
from experiments.lab.outside.user_loss import UserLoss

WHERE = "on three enumerated models, ice, corridor and garnet; three numbers are theirs, one number is all of theirs"


def examine_exact(user: UserLoss) -> list[Finding]:
    """Returns all that the enumeration tells of the loss."""
    if user.own is not None:
        text = f"not examined exactly: how {user.algorithm}, your own algorithm, makes its batch is not known here"
        return [Finding(NOTE, text, user.line)]
    try:
        with jax.enable_x64(True):
            case = first_case(user)
    except NoTable as reason:
        return [Finding(NOTE, f"not examined exactly: {reason}", user.line)]
    except Exception as error:
        return [form.explained(error, user.path, "the network fails")]
    single, findings = form.returns(case.astype(np.float32))
    if single is None:
        return findings
    user = user._replace(function=single.loss)
    with jax.enable_x64(True):
        if not np.isfinite(case._replace(loss=single.loss).gradient()).all():
            text = "its expected gradient is not finite: without --exact the doctor names the line"
            return [Finding(PROBLEM, text, user.line)]
        if user.algorithm == "dqn":
            found = examine_updates(user)
        else:
            found = examine_policy(user) + (examine_bootstrap(user) if user.algorithm == "pgql" else [])
    return [Finding(OK, WHERE), *found]
