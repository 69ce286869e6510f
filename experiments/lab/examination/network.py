"""The examination of a network of a user's own: which algorithms it fits, and what it makes of observations."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import envs
from algos.core.distributions import Categorical
from envs import Env
from experiments.lab.definition.contenders import contenders
from experiments.lab.definition.experiment import Contender
from experiments.lab.definition.settings import ALGORITHMS
from experiments.lab.examination.algorithm import REFUSED, placed
from experiments.lab.examination.case import NOTE, OK, PROBLEM, Finding
from experiments.lab.examination.jaxprs import not_finite
from experiments.lab.outside import network_trace
from experiments.lab.outside.calls import network_of
from experiments.lab.outside.loss_errors import reason
from experiments.lab.outside.user_loss import source

ACTS, LEARNS_Q = "a2c", "dqn"  # an algorithm of either kind
WHERE = ("CartPole-v1", "Pendulum-v1", "Breakout-MinAtar")  # discrete actions, continuous ones, an image
KINDS = {ACTS: WHERE, LEARNS_Q: (WHERE[0], WHERE[2])}
SAMPLES = 7
SAME = 1e-5


def examine_network(function: Callable, fields: dict[str, Any]) -> list[Finding]:
    """Returns everything found out about the network that the function makes, with its fields; one that fits no algorithm
    anywhere is examined no further."""
    path, line = source(function)
    refused = {(name, where): refusal(function, fields, name, where) for name in KINDS for where in KINDS[name]}
    fitting = [place for place, error in refused.items() if error is None]
    if not fitting:
        gives_q = "gives an array" in str(refused[ACTS, WHERE[0]])
        return [placed(refused[LEARNS_Q if gives_q else ACTS, WHERE[0]], path)]
    name, where = fitting[0]
    users = [one for one in ALGORITHMS if (one == LEARNS_Q) == (name == LEARNS_Q)]
    what = "Q" if name == LEARNS_Q else "(policy, value)"
    findings = [Finding(OK, f"gives {what} on {where}: for {', '.join(users)}")]
    for other in KINDS[name]:
        if error := refused[name, other]:
            findings.append(Finding(NOTE, f"not on {other}: {placed(error, path).text.removeprefix(REFUSED)}"))
        elif other != where:
            findings.append(Finding(OK, f"fits {other} too"))
    found = numbers(with_network(function, fields, name, where), envs.make(where))
    return findings + [each._replace(line=line if each.level != OK else None) for each in found]


def with_network(function: Callable, fields: dict[str, Any], algorithm: str, environment: str) -> Contender:
    """Returns the algorithm with the network in place of its own."""
    (usual,) = contenders([algorithm], environment, 1)
    return dataclasses.replace(usual, network=function, network_fields=fields)


def refusal(function: Callable, fields: dict[str, Any], algorithm: str, environment: str) -> ValueError | None:
    """Returns why `compare` would refuse the network there; None: it would not."""
    try:
        network_trace.check(with_network(function, fields, algorithm, environment), envs.make(environment))
    except ValueError as error:
        return error
    return None


def numbers(contender: Contender, env: Env) -> list[Finding]:
    """Returns what the network makes of numbers, at its first parameters."""
    network = network_of(contender.network, env, contender.config, contender.network_fields)
    seen = np.random.default_rng(0).standard_normal((SAMPLES, *env.observation_shape)).astype(np.float32)
    apply = jax.jit(network.apply)
    try:
        params = jax.jit(network.init)(jax.random.key(0), seen)
        given = apply(params, seen)
    except Exception as error:
        return [Finding(PROBLEM, f"fails when it runs: {reason(error)}")]
    if spoilt := spoiling(given):
        return [Finding(PROBLEM, f"gives {spoilt} for observations of a standard normal")]
    found = alone(apply, params, seen, given) + gradient(network.apply, params, seen) + differs(given)
    if spoilt := spoiling(apply(params, 1e4 * seen)):
        found.append(Finding(NOTE, f"gives {spoilt} for observations 10,000 times as large"))
    text = f"finite, one observation at a time as in a batch, a gradient for every parameter{first_policy(given)}"
    return found or [Finding(OK, text)]


def spoiling(given: Any) -> str | None:
    """Returns what is not finite in what the network gives; None: nothing is."""
    return next((what for leaf in jax.tree.leaves(given) if (what := not_finite(leaf))), None)


def alone(apply: Callable, params: Any, seen: np.ndarray, given: Any) -> list[Finding]:
    """Returns the problem of what depends on the other observations of its batch."""
    first = apply(params, seen[:1])
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(given))
    if all(np.allclose(x, y[:1], rtol=SAME, atol=SAME) for x, y in pairs):
        return []
    text = "what it gives for an observation depends on the others in the batch, as statistics over them do"
    return [Finding(PROBLEM, f"{text}: it acts on one at a time and learns from many")]


def gradient(apply: Callable, params: Any, seen: np.ndarray) -> list[Finding]:
    """Returns the parameters that nothing which the network gives depends on."""

    def total(params):
        return sum(
            jnp.sum(jnp.sin(1.0 + jnp.arange(x.size)) * jnp.ravel(x)) for x in jax.tree.leaves(apply(params, seen))
        )

    gradients = jax.tree_util.tree_leaves_with_path(jax.jit(jax.grad(total))(params))
    idle = [jax.tree_util.keystr(place) for place, x in gradients if not np.any(x)]
    return [Finding(NOTE, f"no gradient reaches {', '.join(idle)}")] if idle else []


def differs(given: Any) -> list[Finding]:
    """Returns the problem of a network that gives the same whatever it is shown."""
    if any(np.any(np.abs(x - x[:1]) > 0.0) for x in map(np.asarray, jax.tree.leaves(given))):
        return []
    return [Finding(PROBLEM, "gives the same for every observation")]


def first_policy(given: Any) -> str:
    """Returns in words how even a categorical policy is before it has learned anything; "" for another."""
    if not (isinstance(given, tuple) and isinstance(given[0], Categorical)):
        return ""
    share = float(np.mean(given[0].entropy())) / float(np.log(given[0].logits.shape[-1]))
    return f"; its first policy has {share:.2f} of the entropy of an even one"
