"""Gradients: against finite differences, whether there is one, and through what."""

import traceback

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from experiments.lab.examination import jaxprs
from experiments.lab.examination.case import OK, PROBLEM, TINY, Case, Finding, flat, moved, parts

STEP = 1e-6
DIRECTIONS = 4
FLAT = ("argmax", "argmin", "round", "floor", "ceil", "sign", "stop_gradient")


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
