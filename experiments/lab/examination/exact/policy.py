"""The expected gradient of a policy's loss, at the policy that collected its batch: is it grad J, and if not, what?"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import numpy as np

from experiments.lab.examination.case import NOTE, OK, PROBLEM, TINY, Case, Finding, edited, flat
from experiments.lab.examination.directions import BESIDES, advantage_line, at_policy, compared, through
from experiments.lab.examination.exact.cases import Tables, arranged, case_on, network_of, observed, steps_of
from experiments.lab.examination.exact.fields import fields, value_of
from experiments.lab.examination.exact.models import STATES, Model, models
from experiments.lab.examination.samples import same, spoilt
from experiments.lab.outside.user_loss import UserLoss
from experiments.lab.settings import ALGORITHMS

DISCOUNT, SAME = 0.8, 1e-6
ON = "on " + ", ".join(("ice", "corridor", "garnet"))


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


def examine_policy(user: UserLoss) -> list[Finding]:
    """Returns the findings; under `jax.enable_x64`."""
    plain, discounted = (estimates(user, hparams_of(user, gamma)) for gamma in (1.0, DISCOUNT))
    line = advantage_line(plain[0].case)
    findings = mask(plain[0].case)
    if all(np.linalg.norm(each.step) < TINY for each in plain):
        return [*findings, Finding(PROBLEM, "the policy receives no gradient", line)]
    is_gradient = without_discount(user, plain, line)
    findings += is_gradient
    findings += with_discount(discounted, is_gradient[0].level == OK, line)
    natural = [each.against(field_of(user, each.model, 1.0).natural)[0] for each in plain]
    findings.append(Finding(NOTE, f"cosine with the natural gradient at gamma = 1: {listed(natural)}"))
    return findings + one_episode(user, plain) + beside(user, line) + critic(user)


def hparams_of(user: UserLoss, gamma: float, **changed):
    """Returns the loss's own hyperparameters with another discount."""
    return user.hparams_class(gamma=gamma, **changed)


def field_of(user: UserLoss, model: Model, gamma: float):
    return fields(model, network_of(user), gamma)


def estimates(user: UserLoss, hparams, value=value_of, alone: bool = True, reward: float = 1.0) -> list[Estimate]:
    """Returns the estimate on each model. value: (model, gamma) -> the critic's, [S]; alone: without what stands beside the
    policy gradient; reward: what rewards are multiplied by."""
    found = []
    for model in models():
        scaled = model.all._replace(reward=reward * model.all.reward)
        scaled = dataclasses.replace(model, all=scaled)
        case = case_on(user, scaled, Tables(np.log(model.probs), value(model, hparams.gamma)), hparams)
        policy = at_policy(case, case.old) if alone else case._replace(apply=through(case.apply, "policy"))
        step = -policy.gradient() * field_of(user, model, hparams.gamma).moves * model.mean_length
        found.append(Estimate(step, model, case))
    return found


def without_discount(user: UserLoss, found: list[Estimate], line: int) -> list[Finding]:
    """Returns whether the expected gradient is that of J at gamma = 1, and what may be the reason if not."""
    cosines, lengths, errors = zip(*(each.against(field_of(user, each.model, 1.0).gradient) for each in found))
    if max(errors) < SAME:
        if max(lengths) / min(lengths) < 1.0 + SAME:
            times = "" if abs(lengths[0] - 1.0) < SAME else f", times {lengths[0]:.3g}"
            return [Finding(OK, f"at gamma = 1 its expected gradient is grad J to 1e-6{times}")]
        text = (
            f"at gamma = 1 its expected gradient has the direction of grad J to 1e-6; its length, {listed(lengths)} times "
            "that of a mean over the steps that count, depends on the model"
        )
        return [Finding(NOTE, text, line)]
    if min(cosines) < 0.0:
        text = f"its expected gradient points away from grad J: cosine {listed(cosines)} at gamma = 1: check the sign"
        return [Finding(PROBLEM, text, line)]
    off = switched_off(user)
    if off:
        plain = estimates(user, hparams_of(user, 1.0, **off))
        if max(each.against(field_of(user, each.model, 1.0).gradient)[2] for each in plain) < SAME:
            text = f"at gamma = 1 its expected gradient has cosine {listed(cosines)} with grad J; with {zeros(off)} it is grad J"
            return [Finding(NOTE, text, line)]
    return [moved_by_nothing(user, found, cosines, off, line)]


def moved_by_nothing(user: UserLoss, found, cosines, off: dict, line: int) -> Finding:
    """Returns whether the policy moves though all advantages are 0, or only goes another way than grad J."""
    text = f"at gamma = 1 its expected gradient is not grad J: cosine {listed(cosines)}"
    idle = estimates(user, hparams_of(user, 1.0, **off), lambda model, gamma: np.zeros(STATES), reward=0.0)
    shares = [np.linalg.norm(still.step) / np.linalg.norm(each.step) for still, each in zip(idle, found)]
    if max(shares) < SAME:
        return Finding(NOTE, text, line)
    text += (
        f"; where all advantages are 0 it still moves the policy, {listed(shares)} times as far: by a weight that depends on "
        "the action? A baseline may depend on the state alone; an entropy needs a coefficient that 0.0 turns off"
    )
    return Finding(PROBLEM, text, line)


def switched_off(user: UserLoss) -> dict[str, float]:
    """Returns the hyperparameters that the loss adds to its algorithm's, each 0."""
    names = {field.name for field in dataclasses.fields(ALGORITHMS[user.algorithm][0].HParams)}
    return {field.name: 0.0 for field in dataclasses.fields(user.hparams_class) if field.name not in names}


def with_discount(found: list[Estimate], is_gradient: bool, line: int) -> list[Finding]:
    """Returns what the expected gradient is below gamma = 1."""
    exact = [field_of(each.case.user, each.model, DISCOUNT) for each in found]
    cosines = [each.against(field.gradient)[0] for each, field in zip(found, exact)]
    at = f"at gamma = {DISCOUNT}"
    if max(each.against(field.gradient)[2] for each, field in zip(found, exact)) < SAME:
        return [Finding(OK, f"{at} its expected gradient is grad J, gamma^t and all")]
    against = [each.against(field.undiscounted) for each, field in zip(found, exact)]
    if max(error for *_, error in against) < SAME:
        text = (
            f"{at} its expected gradient leaves out gamma^t: it is the gradient of no objective at gamma < 1; cosine with "
            f"grad J {listed(cosines)}"
        )
        return [Finding(NOTE, text)]
    text = (
        f"{at} its expected gradient has cosine {listed(cosines)} with grad J, and "
        f"{listed([cosine for cosine, *_ in against])} with the field that leaves out gamma^t"
    )
    return [Finding(NOTE, text, line if is_gradient else None)]


@functools.lru_cache(maxsize=32)
def each_gradient(loss, apply, algorithm: str):
    """Returns the program (params, steps [T, N], hparams) -> the gradients of batches of one episode, [N, ...]."""

    def of_one(params, steps, hparams):
        batch = arranged(algorithm, jax.tree.map(lambda x: x[:, None], steps), hparams.gamma, params)
        return loss(params, apply, batch, hparams)[0]

    return jax.jit(jax.vmap(jax.grad(of_one), (None, 1, None)))


def one_episode(user: UserLoss, found: list[Estimate]) -> list[Finding]:
    """Returns bias and deviation of the gradient of one episode's batch, in lengths of grad J at gamma = 1."""
    told = []
    for model, case in ((each.model, at_policy(each.case, each.case.old)) for each in found):
        network, field = network_of(user), field_of(user, model, 1.0)
        observation = observed(network, Tables(np.log(model.probs), value_of(model, 1.0)))
        steps = steps_of(user.algorithm, network, model.each, observation, case.hparams)
        gradients = each_gradient(case.loss, case.apply, user.algorithm)(case.params, steps, case.hparams)
        step = -np.stack([flat(jax.tree.map(lambda x, i=i: x[i], gradients)) for i in range(model.each.chance.size)])
        step = step * field.moves * model.mean_length
        mean, length = model.each.chance @ step, np.linalg.norm(field.gradient)
        deviation = np.sqrt(model.each.chance @ ((step - mean) ** 2).sum(1))
        told.append((np.linalg.norm(mean - field.gradient) / length, deviation / length))
    bias, deviation = zip(*told)
    text = (
        f"a batch of one episode: bias {listed(bias)}, deviation {listed(deviation)}, in lengths of grad J at gamma = 1"
    )
    return [Finding(NOTE, text)]


def beside(user: UserLoss, line: int) -> list[Finding]:
    """Returns what its own coefficients and a critic that has learned nothing make of the direction."""
    findings, hparams = [], hparams_of(user, 1.0)
    own = {name: getattr(hparams, name) for name in BESIDES if getattr(hparams, name, 0.0) and name != "value_coef"}
    if own:
        cosines = [
            each.against(field_of(user, each.model, 1.0).gradient)[0] for each in estimates(user, hparams, alone=False)
        ]
        named = ", ".join(f"{name} = {value:g}" for name, value in own.items())
        findings.append(Finding(NOTE, f"with its own {named}: cosine with grad J at gamma = 1 {listed(cosines)}"))
    blank = estimates(user, hparams, lambda model, gamma: np.zeros(STATES))
    cosines = [each.against(field_of(user, each.model, 1.0).gradient)[0] for each in blank]
    named = f" and gae_lambda = {hparams.gae_lambda:g}" if hasattr(hparams, "gae_lambda") else ""
    return [*findings, Finding(NOTE, f"with a critic of 0{named}: cosine with grad J at gamma = 1 {listed(cosines)}")]


def critic(user: UserLoss) -> list[Finding]:
    """Returns whether the value rests where it is the policy's, and whether the policy's part of the loss moves it."""
    hparams = hparams_of(user, DISCOUNT)
    lengths = value_lengths(user, hparams, value_of)
    blank = value_lengths(user, hparams, lambda model, gamma: np.zeros(STATES))
    if max(blank) < TINY:
        return []
    if max(lengths) < SAME * max(blank):
        return [Finding(OK, "the value's expected update vanishes where it is V of the policy")]
    shares = [own / other for own, other in zip(lengths, blank)]
    text = f"where the value is V of the policy its expected update does not vanish: {listed(shares)} of that from a value of 0"
    if not hasattr(hparams, "value_coef") or max(value_lengths(user, hparams.replace(value_coef=0.0), value_of)) > TINY:
        text += ", with value_coef = 0 too: an advantage made of it without lax.stop_gradient?"
        return [Finding(PROBLEM, text, user.line)]
    return [Finding(NOTE, text, user.line)]


def value_lengths(user: UserLoss, hparams, value) -> list[float]:
    """Returns how long the expected gradient through the value is, on each model."""
    hparams = hparams.replace(eta=0.0) if hasattr(hparams, "eta") else hparams
    cases = (case_on(user, each, Tables(np.log(each.probs), value(each, hparams.gamma)), hparams) for each in models())
    whole = ((case, case._replace(apply=through(case.apply, "value"))) for case in cases)
    return [
        float(np.linalg.norm(through_value.gradient() * ~field_of(user, each, 1.0).moves))
        for (_, through_value), each in zip(whole, models())
    ]


def mask(case: Case) -> list[Finding]:
    """Returns the problem of a loss that counts what stands after an episode's end."""
    if same(case, case._replace(batch=edited(case.batch, spoilt))):
        return []
    text = "the mask is not respected: what stands after an episode's end changes the loss; reduce with losses.mean"
    return [Finding(PROBLEM, text, case.user.line)]


def listed(numbers) -> str:
    """Returns one number for each model, or one for all that are alike."""
    told = [f"{x:.2f}".replace("-0.00", "0.00") for x in numbers]
    return told[0] if len(set(told)) == 1 else ", ".join(told)


def zeros(names) -> str:
    """Returns the names of what is set to 0."""
    return " = ".join(names) + " = 0"
