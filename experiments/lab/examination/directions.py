"""Which way the gradient points: at the old policy, far from it, and for the value."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from algos.core.types import Batch
from experiments.lab.examination import jaxprs
from experiments.lab.examination.case import NOTE, OK, PROBLEM, TINY, Case, Finding, flat, moved, parts
from experiments.lab.examination.form import used

BESIDES = ("entropy_coef", "value_coef", "eta")  # coefficients of what is no policy gradient
SEVERAL = ("ppo", "trpo")  # they ask their loss of policies that have moved on since the rollout
FAR = (5, 6, 7, 8)  # seeds of policies far from the old one


def directions(case: Case) -> list[Finding]:
    """Returns which way the gradient points: against the plain policy gradient, or for DQN plain Q-learning's; on replayed
    experience of a user's own algorithm, its own loss's."""
    if isinstance(parts(case.batch)[0], Batch):
        at_old = policy_direction(case)
        return at_old + far(case, at_old[0].level == OK) + value_direction(case)
    usual, own = getattr(case.user.module, "loss", None), case.user.own
    if case.user.network is not None or usual is None or (own and usual is case.user.function):
        return []
    similarity, length = compared(case.gradient(), case._replace(loss=usual).gradient())
    if similarity < 0.0:
        whose = f"the update of {case.user.algorithm}'s own loss" if own else "Q-learning's update"
        return [Finding(PROBLEM, f"points away from {whose}: cosine {similarity:.2f}: check the sign", case.user.line)]
    whose = f"the gradient of {case.user.algorithm}'s own loss" if own else "double Q-learning's gradient"
    return [Finding(NOTE, f"beside {whose}: cosine {similarity:.2f}, {length:.3g} times its length")]


@functools.partial(jax.jit, static_argnums=0)
def references(apply, params, part) -> tuple:
    """Returns the gradients of -E[r A], r = pi / pi_old, and of E[(V - G)^2 / 2].

    At the old policy r is 1 and the first is that of -E[A log pi]: the policy gradient.
    """

    def surrogate(params):
        ratio = jnp.exp(apply(params, part.observation)[0].log_prob(part.action) - part.log_prob)
        return jnp.sum(-ratio * part.advantage * part.mask) / jnp.sum(part.mask)

    def value_error(params):
        error = apply(params, part.observation)[1] - part.value_target
        return jnp.sum(0.5 * error**2 * part.mask) / jnp.sum(part.mask)

    return tuple(jax.grad(function)(params) for function in (surrogate, value_error))


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


def far(case: Case, is_plain: bool) -> list[Finding]:
    """Returns what the loss does with a policy that has moved on since the rollout; is_plain: at the old one it has the
    policy gradient.

    Its whole gradient there tells nothing: a clip leaves out samples, a penalty leads back. So samples are told apart by
    whether the policy moved against the advantage, (r - 1) A < 0: there every sound loss goes the way of -E[r A].
    """
    if case.user.algorithm not in SEVERAL:
        return []
    against, along = (
        np.concatenate([moved_gradients(case, seed, side) for seed in FAR], axis=1) for side in (True, False)
    )
    similarity, line = compared(*against)[0], advantage_line(case)
    back, on = (float(own @ usual / max(usual @ usual, TINY)) for own, usual in (against, along))
    where = "far from the old policy, where it moved against the advantage"
    if similarity < 0.0:
        text = f"{where}, the loss drives it further: cosine {similarity:.2f}: check the signs"
        found = Finding(PROBLEM, text, line)
    elif back < 0.5 * on:
        text = f"{where}, {back:.2f} times the gradient of -E[r A]; where it moved along it {on:.2f}: max for min?"
        found = Finding(PROBLEM, text, line)
    else:
        text = (
            f"{where}: cosine {similarity:.2f} with the gradient of -E[r A], {back:.2f} times as far; where it moved "
            f"along it {on:.2f} times (1 goes on, 0 stops, below 0 leads back)"
        )
        found = Finding(NOTE, text, line) if back < 0.5 else Finding(OK, text)
    return [*unaware(case, is_plain), found]


def moved_gradients(case: Case, seed: int, against: bool) -> np.ndarray:
    """Returns (the gradient, that of -E[r A]) at a policy far away, [2, parameters]; of the samples on which it moved
    against the advantage, or of the others."""
    case = at_policy(case, moved_policy(case, 0.5, seed))
    log_ratio = case.apply(case.params, case.batch.observation)[0].log_prob(case.batch.action) - case.batch.log_prob
    chosen = (np.asarray(log_ratio) * case.batch.advantage < 0.0) == against
    batch = case.batch.replace(mask=case.batch.mask * chosen)
    return np.stack([through_network(case._replace(batch=batch)), flat(references(case.apply, case.params, batch)[0])])


def moved_policy(case: Case, scale: float, seed: int):
    """Returns the old parameters with those moved that the network's outputs depend on: not a multiplier of the loss."""
    leaves, tree = jax.tree.flatten(case.old)
    closed = jax.make_jaxpr(case.apply)(case.old, case.batch.observation)
    depends = jaxprs.needed(closed.jaxpr, [True] * len(closed.jaxpr.outvars))[1]
    new = jax.tree.leaves(moved(case.old, scale, seed))
    return tree.unflatten([x if is_read else old for x, old, is_read in zip(new, leaves, depends)])


def unaware(case: Case, is_plain: bool) -> list[Finding]:
    """Returns whether nothing in the loss knows the old policy."""
    if {"log_prob", "policy"} & set(used(case)[0]):
        return []
    text = "reads neither batch.log_prob nor batch.policy: it cannot know how far the policy has moved since"
    if is_plain and case.user.algorithm == "ppo":
        text += ", and PPO takes many steps on one: multiply by the ratio exp(log_prob(action) - batch.log_prob)"
        return [Finding(PROBLEM, text, case.user.line)]
    return [Finding(NOTE, text, case.user.line)]


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
    similarity, _ = compared(gradient, flat(references(case.apply, case.params, parts(case.batch)[0])[1]))
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
    """Returns the batch, PGQL's fresh part of it, with other advantages."""
    if hasattr(batch, "fresh"):
        return batch.replace(fresh=batch.fresh.replace(advantage=advantage))
    return batch.replace(advantage=advantage)
