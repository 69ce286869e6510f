"""The expected gradient of a loss on three models small enough to enumerate, against what it should be (algos.tabular)."""

import jax
import numpy as np

from experiments.lab.examination import form
from experiments.lab.examination.case import NOTE, Finding
from experiments.lab.examination.exact.cases import NoTable
from experiments.lab.examination.exact.policy import examine_policy
from experiments.lab.examination.exact.updates import examine_bootstrap, examine_updates, first_case
from experiments.lab.outside.user_loss import UserLoss


def examine_exact(user: UserLoss) -> list[Finding]:
    """Returns all that the enumeration tells of the loss."""
    try:
        with jax.enable_x64(True):
            case = first_case(user)
    except NoTable as reason:
        return [Finding(NOTE, f"not examined exactly: {reason}", user.line)]
    single, findings = form.returns(case.astype(np.float32))
    if single is None:
        return findings
    user = user._replace(function=single.loss)
    with jax.enable_x64(True):
        if user.algorithm == "dqn":
            return examine_updates(user)
        return examine_policy(user) + (examine_bootstrap(user) if user.algorithm == "pgql" else [])
