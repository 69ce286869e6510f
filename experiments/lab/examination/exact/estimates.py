"""Minus the expected gradient of a loss: the step that it makes the policy take, on each of the models."""

import dataclasses
from typing import NamedTuple

import numpy as np

from experiments.lab.examination.case import PROBLEM, TINY, Case, Finding, edited
from experiments.lab.examination.directions import at_policy, compared, through
from experiments.lab.examination.exact.cases import Tables, case_on, network_of
from experiments.lab.examination.exact.fields import Fields, fields, value_of
from experiments.lab.examination.exact.models import STATES, Model, models
from experiments.lab.examination.samples import same, spoilt
from experiments.lab.outside.user_loss import UserLoss

DISCOUNT, SAME = 0.5, 1e-6


class Estimate(NamedTuple):
    """Minus the expected gradient of a loss, a step of the policy, times the mean length of an episode; [n]."""

    step: np.ndarray
    model: Model
    case: Case

    def against(self, field: np.ndarray) -> tuple[float, float, float]:
        """Returns (cosine, length over the field's, relative error once it is as long)."""
        cosine, length = compared(self.step, field)
        error = np.linalg.norm(self.step - length * field) / max(np.linalg.norm(self.step), TINY)
        return cosine, length, float(error)

    def against_gradient(self) -> tuple[float, float, float]:
        """Returns the same against grad J."""
        return self.against(field_of(self.case.user, self.model, self.case.hparams.gamma).gradient)


def estimates(user: UserLoss, hparams, value=value_of, alone: bool = True, reward: float = 1.0) -> list[Estimate]:
    """Returns the estimate on each model. value: (model, gamma) -> the critic's, [S]; alone: without what stands beside
    the policy gradient; reward: what rewards are multiplied by."""
    found = []
    for model in models():
        scaled = dataclasses.replace(model, all=model.all._replace(reward=reward * model.all.reward))
        case = case_on(user, scaled, Tables(np.log(model.probs), value(model, hparams.gamma)), hparams)
        policy = at_policy(case, case.old) if alone else case._replace(apply=through(case.apply, "policy"))
        step = -policy.gradient() * field_of(user, model, hparams.gamma).moves * model.mean_length
        found.append(Estimate(step, model, case))
    return found


def nothing(model: Model, gamma: float) -> np.ndarray:
    """Returns the values of a critic that has learned nothing."""
    return np.zeros(STATES)


def field_of(user: UserLoss, model: Model, gamma: float) -> Fields:
    """Returns what the loss is held against."""
    return fields(model, network_of(user), gamma)


def hparams_of(user: UserLoss, gamma: float, **changed):
    """Returns the loss's own hyperparameters with another discount."""
    return user.hparams_class(gamma=gamma, **changed)


def switched_off(user: UserLoss) -> dict[str, float]:
    """Returns the hyperparameters that the loss adds to its algorithm's, each 0."""
    names = {field.name for field in dataclasses.fields(user.module.HParams)}
    return {field.name: 0.0 for field in dataclasses.fields(user.hparams_class) if field.name not in names}


def mask(case: Case) -> list[Finding]:
    """Returns the problem of a loss that counts what stands after an episode's end."""
    if same(case, case._replace(batch=edited(case.batch, spoilt))):
        return []
    text = "the mask is not respected: what stands after an episode's end changes the loss; reduce with losses.mean"
    return [Finding(PROBLEM, text, case.user.line)]


def listed(numbers, spec: str = ".3f") -> str:
    """Returns one number for each model, or one for all that are alike."""
    told = [f"{x + 0.0:{spec}}" for x in numbers]
    return told[0] if len(set(told)) == 1 else ", ".join(told)


def zeros(names) -> str:
    """Returns the names of what is set to 0."""
    return " = ".join(names) + " = 0"
