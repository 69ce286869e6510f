"""The expected update of a loss on replayed steps: is it Bellman's, and does it rest at Q*?

The steps are of every state and action, all alike (d below is uniform), with outcomes as often as they come. Against

    sum_sa d(s, a) (r + gamma E[V'(s')] - Q(s, a)) grad Q(s, a),   V'(s') = max_a' Q'(s', a')
                                                                or, double, Q'(s', argmax_a' Q(s', a'))
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from algos.core.distributions import Categorical, Quantiles
from experiments.lab.examination.case import NOTE, OK, PROBLEM, TINY, Case, Finding, edited, flat, moved
from experiments.lab.examination.directions import compared
from experiments.lab.examination.exact.cases import Tables, batch_of, case_on, network_of, observed
from experiments.lab.examination.exact.estimates import DISCOUNT, SAME, hparams_of, listed, mask, switched_off, zeros
from experiments.lab.examination.exact.fields import backup, best_q, met
from experiments.lab.examination.exact.models import ACTIONS, STATES, Model, models
from experiments.lab.examination.gradients import leaks
from experiments.lab.examination.samples import ends
from experiments.lab.outside.user_loss import UserLoss

SEEDS = (1, 2, 3)


class Compared(NamedTuple):
    """The expected update at other action values than Q*, beside Bellman's."""

    length: float
    cosines: dict[str, float]
    errors: dict[str, float]
    times: dict[str, float]


def first_case(user: UserLoss) -> Case:
    """Returns the loss on the first model. Raises NoTable."""
    value = np.zeros(STATES)
    tables = Tables(q=random_q(0)) if user.algorithm == "dqn" else Tables(np.log(models()[0].probs), value)
    return case_on(user, models()[0], tables, hparams_of(user, DISCOUNT))


def random_q(seed: int) -> np.ndarray:
    """Returns random action values [S, A]."""
    return np.random.default_rng(seed).normal(size=(STATES, ACTIONS))


def examine_updates(user: UserLoss) -> list[Finding]:
    """Returns the findings on a loss of DQN; under `jax.enable_x64`."""
    if findings := mask(first_case(user)):
        return findings
    own = hparams_of(user, DISCOUNT)
    found = elsewhere(user, own)
    if max(each.length for each in found) < TINY:
        return [Finding(PROBLEM, "its expected gradient is zero: nothing would be learned", user.line)]
    if said := bellmans(found):
        findings.append(Finding(OK, f"its expected update is {said}"))
    else:
        findings += another(user, found)
    if findings[0].level == PROBLEM:
        return findings
    return findings + fixed_point(user, found)


def elsewhere(user: UserLoss, hparams) -> list[Compared]:
    """Returns the comparisons at random Q, on one model after the other."""
    return [beside_bellman(user, model, seed, hparams) for model in models() for seed in SEEDS]


def bellmans(found: list[Compared]) -> str:
    """Returns which of Bellman's updates it is, in words; nothing where it is none."""
    for kind in found[0].errors:
        if max(each.errors[kind] for each in found) < SAME:
            times = found[0].times[kind]
            scale = "" if abs(times - 1.0) < SAME else f", times {times:.3g}"
            return f"Bellman's with {kind} best action, to 1e-6{scale}"
    return ""


def another(user: UserLoss, found: list[Compared]) -> list[Finding]:
    """Returns which way the expected update goes where it is not Bellman's, and the reason where one is known."""
    cosines = [max(each.cosines.values()) for each in found]
    worst = [min(cosines[i : i + len(SEEDS)]) for i in range(0, len(cosines), len(SEEDS))]
    text = f"another direction than Bellman's update: cosine {listed(worst)} or more at random Q"
    off = switched_off(user)
    if off and (said := bellmans(elsewhere(user, hparams_of(user, DISCOUNT, **off)))):
        return [Finding(NOTE, f"{text}; with {zeros(off)} it is {said}", user.line)]
    if min(worst) < 0.0:
        text = f"its expected update points away from Bellman's: cosine {listed(worst)} at the worst: check the sign"
        return [Finding(PROBLEM, text, user.line)]
    case = small_case(user)
    wrong = [each for each in leaks(case) + ends(case) if each.level == PROBLEM]
    return wrong or [Finding(NOTE, text, user.line)]


def fixed_point(user: UserLoss, found: list[Compared]) -> list[Finding]:
    """Returns whether the expected update vanishes at Q*; else whether it does with what the loss adds turned off."""
    far = [np.mean([each.length for each in found[i : i + len(SEEDS)]]) for i in range(0, len(found), len(SEEDS))]
    shares = [length / other for length, other in zip(at_best(user, {}), far)]
    if max(shares) < SAME:
        return [Finding(OK, "at Q* its expected update vanishes")]
    text = f"at Q* its expected update does not vanish: {listed(shares)} of its length at random Q"
    off = switched_off(user)
    if off and max(length / other for length, other in zip(at_best(user, off), far)) < SAME:
        text += f"; with {zeros(off)} it does"
    return [Finding(NOTE, text, user.line)]


def at_best(user: UserLoss, changed: dict) -> list[float]:
    """Returns how long the expected gradient is at Q*, on each model."""
    hparams = hparams_of(user, DISCOUNT, **changed)
    cases = (case_on(user, model, Tables(q=best_q(model, DISCOUNT)), hparams) for model in models())
    return [float(np.linalg.norm(case.gradient())) for case in cases]


def beside_bellman(user: UserLoss, model: Model, seed: int, hparams) -> Compared:
    """Returns the comparison at random action values and others of the target network."""
    network = network_of(user)
    target = moved(network.params, 0.3, seed)
    case = case_on(user, model, Tables(q=random_q(seed)), hparams, target)
    observation = observed(network, Tables(q=random_q(seed)))
    q, other = (np.asarray(expected(network.apply(params, observation))) for params in (network.params, target))
    following = {
        "the target network's": other.max(1),
        "(double) the online network's": other[np.arange(STATES), q.argmax(1)],
    }
    step = -case.gradient()
    bellman = {}
    for kind, value in following.items():
        weight = met(model) * (backup(model, value, DISCOUNT) - q)
        bellman[kind] = flat(pulled(network.apply)(network.params, observation, weight))
    both = {kind: compared(step, field) for kind, field in bellman.items()}
    errors = {
        kind: float(np.linalg.norm(step - both[kind][1] * field) / max(np.linalg.norm(step), TINY))
        for kind, field in bellman.items()
    }
    cosines, times = ({kind: pair[i] for kind, pair in both.items()} for i in range(2))
    return Compared(float(np.linalg.norm(step)), cosines, errors, times)


@functools.lru_cache(maxsize=8)
def pulled(apply):
    """Returns the program (params, observation, weight [S, A]) -> sum_sa weight grad Q(s, a)."""
    return jax.jit(jax.grad(lambda params, observation, weight: jnp.sum(weight * expected(apply(params, observation)))))


def expected(output):
    """Returns Q of what a network gives."""
    return output.mean() if isinstance(output, Quantiles) else output


def small_case(user: UserLoss) -> Case:
    """Returns a case of few steps, whose next observations are equal to no observation."""
    network, hparams, model = network_of(user), hparams_of(user, DISCOUNT), models()[0]
    batch = batch_of(user.algorithm, network, model.pairs, observed(network, Tables(q=random_q(1))), hparams)
    batch = edited(batch, lambda part: part.replace(next_observation=moved(part.next_observation, 1e-3, seed=3)))
    return Case(user.function, network.apply, network.params, batch, hparams, network.params, user, model.name)


def examine_bootstrap(user: UserLoss) -> list[Finding]:
    """Returns whether PGQL's part of Q-learning rests where Q~ = Q*: pi = softmax(Q* / alpha), V = E_pi[Q*]."""
    hparams, lengths = hparams_of(user, DISCOUNT, eta=1.0), []
    for model in models():
        for q in (best_q(model, DISCOUNT), random_q(1)):
            policy = Categorical(q / hparams.entropy_coef)
            log_probs = np.asarray(policy.log_probs())
            tables = Tables(log_probs, (np.exp(log_probs) * q).sum(1))
            lengths.append(float(np.linalg.norm(case_on(user, model, tables, hparams).gradient())))
    shares = [best / far for best, far in zip(lengths[::2], lengths[1::2])]
    if max(shares) < SAME:
        return [Finding(OK, "at eta = 1 its expected update vanishes where Q~ = Q*")]
    text = f"at eta = 1 its expected update does not vanish where Q~ = Q*: {listed(shares)} of its length at random Q"
    return [Finding(NOTE, text, user.line)]
