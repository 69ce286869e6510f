"""The examination of a language task and of a method on it: what goes wrong most often where answers are rewarded."""

import warnings

from envs import Env
from experiments.lab.definition.experiment import Contender
from experiments.lab.examination.case import PROBLEM, Finding
from experiments.lab.examination.language.case import prepare
from experiments.lab.examination.language.reading import examine_reading
from experiments.lab.examination.language.reward import examine_reward
from experiments.lab.examination.language.updates import examine_updates, warned
from experiments.lab.outside.loss_errors import reason

__all__ = ["examine_language", "examine_method"]


def examine_language(env: Env, contender: Contender, bounds: tuple[float, float] | None = None) -> list[Finding]:
    """Returns everything found out about the task and the method, before anything is trained in earnest.

    bounds: where rewards should lie, if that is known.
    """
    found = attempted(lambda: warned(contender, env), contender.name)
    if any(each.level == PROBLEM for each in found):
        return found
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # told already
        try:
            case = prepare(env, contender)
        except Exception as error:  # a user's network raises what it likes
            return [*found, Finding(PROBLEM, f"{contender.name}: no answer can be drawn: {reason(error)}")]
        found += attempted(lambda: examine_reading(case), "the policy")
        found += examine_reward(env.text, case.answers, bounds)
        if not any(each.level == PROBLEM for each in found):
            found += attempted(lambda: examine_updates(case), contender.name)
    return found


def examine_method(env: Env, contender: Contender) -> list[Finding]:
    """Returns what is found out about one more method on a task that was examined."""
    found = attempted(lambda: warned(contender, env), contender.name)
    if any(each.level == PROBLEM for each in found):
        return found
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return found + attempted(lambda: examine_updates(prepare(env, contender)), contender.name)


def attempted(check, what: str) -> list[Finding]:
    """Returns the findings, or that they could not be had."""
    try:
        return check()
    except ValueError as error:  # of settings that cannot be, in words
        return [Finding(PROBLEM, f"{what}: {str(error).splitlines()[0]}")]
    except Exception as error:  # a user's functions raise what they like
        return [Finding(PROBLEM, f"{what}: {reason(error)}")]
