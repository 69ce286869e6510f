"""The expected gradient of a policy's loss, at the policy that collected its batch: is it grad J, and if not, what?"""

import functools

import jax
import numpy as np

from experiments.lab.examination.case import NOTE, OK, PROBLEM, TINY, Finding
from experiments.lab.examination.directions import BESIDES, advantage_line, at_policy
from experiments.lab.examination.exact.cases import Tables, arranged, network_of, observed, steps_of
from experiments.lab.examination.exact.critic import critic
from experiments.lab.examination.exact.estimates import (
    DISCOUNT,
    SAME,
    Estimate,
    estimates,
    field_of,
    hparams_of,
    listed,
    mask,
    nothing,
    switched_off,
    zeros,
)
from experiments.lab.examination.exact.fields import flat_rows, natural, value_of
from experiments.lab.outside.user_loss import UserLoss


def examine_policy(user: UserLoss) -> list[Finding]:
    """Returns the findings; under `jax.enable_x64`."""
    plain, discounted = (estimates(user, hparams_of(user, gamma)) for gamma in (1.0, DISCOUNT))
    line = advantage_line(plain[0].case)
    if findings := mask(plain[0].case):
        return findings
    if all(np.linalg.norm(each.step) < TINY for each in plain):
        return [*findings, Finding(PROBLEM, "the policy receives no gradient", line)]
    is_gradient = without_discount(user, plain, line)
    findings += is_gradient
    if is_gradient[0].level == PROBLEM:
        return findings
    findings += with_discount(discounted, is_gradient[0].level == OK, line)
    angles = [each.against(natural(each.model, network_of(user), 1.0))[0] for each in plain]
    findings.append(Finding(NOTE, f"cosine with the natural gradient at gamma = 1: {listed(angles)}"))
    return findings + one_episode(user, plain) + beside(user) + critic(user)


def without_discount(user: UserLoss, found: list[Estimate], line: int) -> list[Finding]:
    """Returns whether the expected gradient is that of J at gamma = 1, and what may be the reason if not."""
    cosines, lengths, errors = zip(*(each.against_gradient() for each in found))
    if max(errors) < SAME:
        if max(lengths) / min(lengths) < 1.0 + SAME:
            times = "" if abs(lengths[0] - 1.0) < SAME else f", times {lengths[0]:.3g}"
            return [Finding(OK, f"at gamma = 1 its expected gradient is grad J to 1e-6{times}")]
        text = (
            f"at gamma = 1 its expected gradient has the direction of grad J to 1e-6; its length depends on the model, "
            f"{listed(lengths, '.3g')} times that of a mean over the steps that count"
        )
        return [Finding(NOTE, text, line)]
    if min(cosines) < 0.0:
        text = f"its expected gradient points away from grad J: cosine {listed(cosines)} at gamma = 1: check the sign"
        return [Finding(PROBLEM, text, line)]
    off = switched_off(user)
    plain = estimates(user, hparams_of(user, 1.0, **off)) if off else found
    if not all(np.isfinite(each.step).all() for each in plain):
        off, plain = {}, found  # 0 is no value of what it adds
    if off and max(each.against_gradient()[2] for each in plain) < SAME:
        text = f"at gamma = 1 cosine {listed(cosines)} with grad J; with {zeros(off)} its expected gradient is grad J"
        return [Finding(NOTE, text, line)]
    return [moved_by_nothing(user, found, cosines, off, line)]


def moved_by_nothing(user: UserLoss, found, cosines, off: dict, line: int) -> Finding:
    """Returns whether the policy moves though all advantages are 0, or only goes another way than grad J."""
    text = f"at gamma = 1 its expected gradient is not grad J: cosine {listed(cosines)}"
    idle = estimates(user, hparams_of(user, 1.0, **off), nothing, reward=0.0)
    shares = [np.linalg.norm(still.step) / np.linalg.norm(each.step) for still, each in zip(idle, found)]
    if max(shares) < SAME:
        return Finding(NOTE, text, line)
    text += (
        f"; where all advantages are 0 it still moves the policy, {listed(shares)} times as far: by a weight that"
        " depends on the action? A baseline may depend on the state alone; an entropy needs a coefficient that 0.0 turns off"
    )
    return Finding(PROBLEM, text, line)


def with_discount(found: list[Estimate], is_gradient: bool, line: int) -> list[Finding]:
    """Returns what the expected gradient is below gamma = 1."""
    at = f"at gamma = {DISCOUNT}"
    cosines, _, errors = zip(*(each.against_gradient() for each in found))
    if max(errors) < SAME:
        return [Finding(OK, f"{at} its expected gradient is grad J, gamma^t and all")]
    against = [each.against(field_of(each.case.user, each.model, DISCOUNT).undiscounted) for each in found]
    if max(error for *_, error in against) < SAME:
        text = (
            f"{at} its expected gradient leaves out gamma^t: it is the gradient of no objective at gamma < 1; "
            f"cosine with grad J {listed(cosines)}"
        )
        return [Finding(NOTE, text)]
    text = (
        f"{at} its expected gradient has cosine {listed(cosines)} with grad J, and "
        f"{listed([cosine for cosine, *_ in against])} with the field that leaves out gamma^t"
    )
    return [Finding(NOTE, text, line if is_gradient else None)]


def one_episode(user: UserLoss, found: list[Estimate]) -> list[Finding]:
    """Returns bias and deviation of the gradient of one episode's batch, in lengths of grad J at gamma = 1."""
    told = []
    for model, case in ((each.model, at_policy(each.case, each.case.old)) for each in found):
        network, field = network_of(user), field_of(user, model, 1.0)
        observation = observed(network, Tables(np.log(model.probs), value_of(model, 1.0)))
        steps = steps_of(user.algorithm, network, model.each, observation, case.hparams)
        gradients = each_gradient(case.loss, case.apply, user.algorithm)(case.params, steps, case.hparams)
        step = -flat_rows(gradients) * field.moves * model.mean_length
        mean, length = model.each.chance @ step, np.linalg.norm(field.gradient)
        deviation = np.sqrt(model.each.chance @ ((step - mean) ** 2).sum(1))
        told.append((np.linalg.norm(mean - field.gradient) / length, deviation / length))
    bias, deviation = zip(*told)
    text = f"a batch of one episode: bias {listed(bias, '.2f')}, deviation {listed(deviation, '.2f')}"
    return [Finding(NOTE, f"{text}, in lengths of grad J at gamma = 1")]


@functools.lru_cache(maxsize=32)
def each_gradient(loss, apply, algorithm: str):
    """Returns the program (params, steps [T, N], hparams) -> the gradients of batches of one episode, [N, ...]."""

    def of_one(params, steps, hparams):
        batch = arranged(algorithm, jax.tree.map(lambda x: x[:, None], steps), hparams.gamma, params)
        return loss(params, apply, batch, hparams)[0]

    return jax.jit(jax.vmap(jax.grad(of_one), (None, 1, None)))


def beside(user: UserLoss) -> list[Finding]:
    """Returns what its own coefficients and a critic that has learned nothing make of the direction."""
    hparams = hparams_of(user, 1.0)
    own = {name: getattr(hparams, name) for name in BESIDES if getattr(hparams, name, 0.0) and name != "value_coef"}
    findings = []
    if own:
        cosines = [each.against_gradient()[0] for each in estimates(user, hparams, alone=False)]
        named = ", ".join(f"{name} = {value:g}" for name, value in own.items())
        findings.append(Finding(NOTE, f"with its own {named}: cosine with grad J at gamma = 1 {listed(cosines)}"))
    has_lambda, told = hasattr(hparams, "gae_lambda"), []
    for lambda_ in dict.fromkeys((hparams.gae_lambda, 0.0)) if has_lambda else (1.0,):
        changed = hparams.replace(gae_lambda=lambda_) if has_lambda else hparams
        cosines = [each.against_gradient()[0] for each in estimates(user, changed, nothing)]
        told.append(listed(cosines) + (f" at gae_lambda = {lambda_:g}" if has_lambda else ""))
    return [*findings, Finding(NOTE, f"with a critic of 0: cosine with grad J at gamma = 1 {'; '.join(told)}")]
