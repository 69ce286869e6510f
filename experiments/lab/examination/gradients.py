"""Gradients: against finite differences, through what, and in which direction at the old policy and far from it."""

import functools
import traceback

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from algos.core.types import Batch
from experiments.lab.examination import jaxprs
from experiments.lab.examination.case import NOTE, OK, PROBLEM, Case, Finding, flat, moved, parts
from experiments.lab.examination.form import used
from experiments.lab.settings import ALGORITHMS

STEP = 1e-6
DIRECTIONS = 4
TINY = 1e-12
FLAT = ("argmax", "argmin", "round", "floor", "ceil", "sign", "stop_gradient")
BESIDES = ("entropy_coef", "value_coef", "eta")  # coefficients of what is no policy gradient


def differences(case: Case) -> list[Finding]:
    """Returns whether the gradient agrees with central differences; float64. What is under stop_gradient stays put."""
    leaves, tree = jax.tree.flatten(case.params)
    closed = jax.make_jaxpr(lambda *p: case._replace(params=tree.unflatten(p)).trace())(*leaves)

    def first_run(leaves):
        kept: list = []
        jaxprs.run(closed, leaves, lambda value: kept.append(value) or value)
        return kept

    def rerun(leaves, kept):
        places = iter(kept)
        return jaxprs.run(closed, leaves, lambda value: next(places))[0]

    kept, value = jax.jit(first_run)(leaves), jax.jit(rerun)
    gradient, error = case.gradient(), 0.0
    for seed in range(DIRECTIONS):
        direction = moved(jax.tree.map(np.zeros_like, leaves), 1.0, seed)
        ends = [value([x + sign * STEP * y for x, y in zip(leaves, direction)], kept) for sign in (1.0, -1.0)]
        slope = flat(direction) @ gradient
        scale = max(abs(slope), np.linalg.norm(gradient), TINY)
        error = max(error, abs(float(ends[0] - ends[1]) / (2.0 * STEP) - slope) / scale)
    if error > 1e-4:
        text = f"the gradient is not that of the value: finite differences in float64 differ by {error:.1e} of it"
        return [Finding(PROBLEM, text, case.user.line)]
    return [Finding(OK, f"gradient as by finite differences in float64: relative error {error:.0e}")]


def presence(case: Case) -> list[Finding]:
    """Returns the problem of a gradient that is zero everywhere, else nothing."""
    if np.linalg.norm(case.gradient()) > TINY:
        return []
    closed = jax.make_jaxpr(lambda p: case._replace(params=p).trace())(case.params)
    breaks = [each for each in closed.jaxpr.eqns if each.primitive.name in FLAT]
    lines = [line for line in (jaxprs.line_of(each, case.user.path) for each in breaks) if line]
    text = "the gradient is zero: nothing would be learned; argmax, round, sign and stop_gradient let none through"
    return [Finding(PROBLEM, text, lines[-1] if lines else case.user.line)]


def leaks(case: Case) -> list[Finding]:
    """Returns whether a gradient flows through what the network says of next observations."""
    lines: list = []
    first = parts(case.batch)[0]
    shape = first.observation.shape[first.mask.ndim :]
    following = jnp.concatenate([part.next_observation.reshape(-1, *shape) for part in parts(case.batch)])

    def among_next(observation):
        leading = observation.shape[: observation.ndim - len(shape)]
        each = observation.reshape(-1, 1, *shape) == following
        return jnp.any(jnp.all(each, axis=tuple(range(2, each.ndim))), axis=1).reshape(leading)

    def stopped(params, observation):
        is_next = among_next(observation)
        return jax.tree.map(lambda x: stop_where(is_next, x), case.apply(params, observation))

    def located(params, observation):
        lines.extend(call_line(case, params, among_next(observation)))
        return case.apply(params, observation)

    gradient = case.gradient()
    without = case._replace(apply=stopped).gradient()
    share = np.linalg.norm(gradient - without) / max(np.linalg.norm(gradient), TINY)
    if share > 1e-9:
        jax.grad(lambda p: case._replace(params=p, apply=located).trace())(case.params)
        text = "the target leaks: gradient flows through next_observation; use batch.target_params or lax.stop_gradient"
        return [Finding(PROBLEM, text, lines[-1] if lines else case.user.line)]
    return [Finding(OK, "no gradient flows through next_observation")]


def call_line(case: Case, params, is_next) -> list[int]:
    """Returns the user's line that calls the network, in a list; empty when no gradient could flow to these parameters."""
    is_traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(params))
    if not is_traced or not (isinstance(is_next, jax.core.Tracer) or is_next.any()):
        return []
    return [frame.lineno for frame in traceback.extract_stack() if frame.filename == str(case.user.path)][-1:]


def stop_where(is_next, x):
    """Returns x without gradient where `is_next`, which has x's leading axes."""
    if x.shape[: is_next.ndim] != is_next.shape:
        return x
    return jnp.where(is_next.reshape(is_next.shape + (1,) * (x.ndim - is_next.ndim)), lax.stop_gradient(x), x)


def directions(case: Case) -> list[Finding]:
    """Returns which way the gradient points: against the plain policy gradient, or for DQN plain Q-learning's."""
    if isinstance(parts(case.batch)[0], Batch):
        return policy_direction(case) + far(case) + value_direction(case)
    if case.user.network is not None:
        return []
    usual = case._replace(loss=ALGORITHMS[case.user.algorithm][0].loss).gradient()
    similarity, length = compared(case.gradient(), usual)
    if similarity < 0.0:
        text = f"points away from Q-learning's update: cosine {similarity:.2f}: check the sign"
        return [Finding(PROBLEM, text, case.user.line)]
    return [
        Finding(NOTE, f"beside double Q-learning's gradient: cosine {similarity:.2f}, {length:.3g} times its length")
    ]


@functools.partial(jax.jit, static_argnums=0)
def references(apply, params, part) -> tuple:
    """Returns the gradients of -E[r A], r = pi / pi_old, of E[KL(pi_old || pi)] and of E[(V - G)^2 / 2].

    At the old policy r is 1 and the first is that of -E[A log pi]: the policy gradient.
    """

    def surrogate(params):
        ratio = jnp.exp(apply(params, part.observation)[0].log_prob(part.action) - part.log_prob)
        return jnp.sum(-ratio * part.advantage * part.mask) / jnp.sum(part.mask)

    def divergence(params):
        return jnp.sum(part.policy.kl(apply(params, part.observation)[0]) * part.mask) / jnp.sum(part.mask)

    def value_error(params):
        error = apply(params, part.observation)[1] - part.value_target
        return jnp.sum(0.5 * error**2 * part.mask) / jnp.sum(part.mask)

    return tuple(jax.grad(function)(params) for function in (surrogate, divergence, value_error))


def policy_direction(case: Case) -> list[Finding]:
    """Returns how the policy's gradient at the old policy compares with the policy gradient."""
    case = at_policy(case, case.old)
    gradient = through_network(case)
    similarity, length = compared(gradient, flat(references(case.apply, case.params, parts(case.batch)[0])[0]))
    line = advantage_line(case)
    if np.linalg.norm(gradient) < TINY:
        return [Finding(PROBLEM, "at the old policy the policy receives no gradient", line)]
    if similarity < 0.0:
        text = f"at the old policy it points the other way: cosine {similarity:.2f} with the policy gradient: check the sign"
        return [Finding(PROBLEM, text, line)]
    if similarity < 1.0 - 1e-6:
        text = f"at the old policy another direction than the policy gradient: cosine {similarity:.2f}"
        return [Finding(NOTE, text, line)]
    times = "" if abs(length - 1.0) < 1e-6 else f", times {length:.3g}"
    return [Finding(OK, f"at the old policy it equals the policy gradient{times}")]


def far(case: Case) -> list[Finding]:
    """Returns how the policy's gradient far from the old policy compares with that of -E[r A]."""
    part = parts(case.batch)[0]
    case = at_policy(case, moved(case.old, 0.5, seed=5))
    surrogate, divergence, _ = references(case.apply, case.params, part)
    gradient = through_network(case)
    similarity, length = compared(gradient, flat(surrogate))
    toward = "lowers" if gradient @ flat(divergence) > 0.0 else "raises"
    text = (
        f"far from the old policy: cosine {similarity:.2f} with the gradient of -E[r A], {length:.2g} times its length; "
        f"a step {toward} KL(old, new)"
    )
    return [Finding(NOTE, text)]


def at_policy(case: Case, params) -> Case:
    """Returns the case at the parameters, with only the policy's gradient and nothing beside the policy gradient."""
    zeros = {name: jnp.zeros_like(getattr(case.hparams, name)) for name in BESIDES if hasattr(case.hparams, name)}
    apply = through(case.apply, "policy")
    return case._replace(params=params, hparams=case.hparams.replace(**zeros), apply=apply)


@functools.cache
def through(apply, part: str):
    """Returns the network (params, observation) -> (policy, value, ...) with gradient through that part alone: "policy",
    "value" (and what follows it) or "nothing"."""

    def partly(params, observation):
        policy, *values = apply(params, observation)
        policy = policy if part == "policy" else lax.stop_gradient(policy)
        return (policy, *(values if part == "value" else lax.stop_gradient(values)))

    return partly


def through_network(case: Case) -> np.ndarray:
    """Returns the gradient that flows through the network's outputs. A user's network may hold parameters that the loss
    reads beside them, as a multiplier: theirs is left out."""
    gradient = case.gradient()
    if case.user.network is None:
        return gradient
    return gradient - case._replace(apply=through(case.apply, "nothing")).gradient()


def value_direction(case: Case) -> list[Finding]:
    """Returns whether the value moves towards its target, and by nothing but the value's part of the loss."""
    if not hasattr(case.hparams, "value_coef"):
        return []
    case = case._replace(apply=through(case.apply, "value"))
    gradient = through_network(case)
    if np.linalg.norm(gradient) < TINY:
        return [Finding(NOTE, "the value receives no gradient", case.user.line)]
    similarity, _ = compared(gradient, flat(references(case.apply, case.params, parts(case.batch)[0])[2]))
    if similarity < 0.0:
        text = f"the value moves away from value_target: cosine {similarity:.2f}: check the sign"
        return [Finding(PROBLEM, text, case.user.line)]
    without = case._replace(hparams=case.hparams.replace(value_coef=jnp.zeros_like(case.hparams.value_coef)))
    is_used = any(name == "value_coef" for name in used(case)[1])
    if is_used and np.linalg.norm(through_network(without)) > TINY:
        text = (
            "with value_coef = 0 the value still receives gradient: an advantage made of it without lax.stop_gradient?"
        )
        return [Finding(PROBLEM, text, case.user.line)]
    return [Finding(OK, f"the value moves towards value_target: cosine {similarity:.2f}")]


def compared(gradient, other) -> tuple[float, float]:
    """Returns (cosine, length of the first over that of the second); 0 where one is zero."""
    length, unit = np.linalg.norm(gradient), np.linalg.norm(other)
    if length < TINY or unit < TINY:
        return 0.0, 0.0
    return float(gradient @ other / (length * unit)), float(length / unit)


def advantage_line(case: Case) -> int:
    """Returns the line that reads the advantage first, or that of the function."""
    program = jax.make_jaxpr(lambda advantage: case._replace(batch=with_advantage(case.batch, advantage)).trace())
    closed = program(parts(case.batch)[0].advantage)
    readers = [each for each in closed.jaxpr.eqns if closed.jaxpr.invars[0] in each.invars]
    lines = [line for line in (jaxprs.line_of(each, case.user.path) for each in readers) if line]
    return lines[0] if lines else case.user.line


def with_advantage(batch, advantage):
    if hasattr(batch, "fresh"):
        return batch.replace(fresh=batch.fresh.replace(advantage=advantage))
    return batch.replace(advantage=advantage)
