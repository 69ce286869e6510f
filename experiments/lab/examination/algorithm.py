"""The examination of an algorithm of a user's own: what is asked of every algorithm here, as far as it applies to theirs."""

import dataclasses
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import envs
from algos.core.types import Algorithm
from envs import Env
from experiments.lab.definition.experiment import Contender
from experiments.lab.examination import CONTINUOUS, DISCRETE, examine
from experiments.lab.examination.case import NOTE, OK, PROBLEM, TIME_LIMIT, Finding, small
from experiments.lab.examination.jaxprs import needed
from experiments.lab.examination.tasks import learns
from experiments.lab.outside import algorithm_trace
from experiments.lab.outside.env_trace import same_program
from experiments.lab.outside.loss_errors import reason
from experiments.lab.outside.user_algorithm import of_module
from experiments.lab.outside.user_loss import UserLoss, source

BUDGET = "total_steps"
REFUSED = "compare refuses it: "
SAME = 1e-3  # relative, of float32 in another order


def examine_algorithm(module: ModuleType) -> list[Finding]:
    """Returns everything found out about the algorithm and its loss; one that `compare` refuses is examined no further."""
    env = envs.make(DISCRETE, max_steps_in_episode=TIME_LIMIT)
    try:
        contender = chosen(module, env)
        algorithm_trace.check(contender, env)
    except ValueError as error:
        return [placed(error, Path(module.__file__))]
    findings = [Finding(OK, "init, step and act give what they should"), *takes_continuous(contender)]
    algorithm = contender.make(env)
    for check in (repeats, keys):
        found = check(contender, env)
        findings += found
        if any(each.level == PROBLEM for each in found):
            return findings
    findings += reads(algorithm, contender.hparams) + updates(algorithm, contender.hparams, env)
    if not any(each.level == PROBLEM for each in findings):
        findings += learns(contender)
    return findings + of_loss(module)


def chosen(module: ModuleType, env: Env) -> Contender:
    """Returns the algorithm with a small configuration; with its defaults, where it refuses that one. Raises ValueError."""
    contender = of_module(module, 1_000_000)
    smaller = dataclasses.replace(contender, config=small(module))
    try:
        smaller.make(env)
    except ValueError:
        return contender
    return smaller


def placed(error: ValueError, path: Path) -> Finding:
    """Returns the problem that `compare` would refuse the file for, with the line that it names."""
    place = re.match(rf"{re.escape(str(path))}(?::(\d+))?:? ", str(error))
    text = str(error).removeprefix(place.group() if place else "")
    return Finding(PROBLEM, f"{REFUSED}{text}", int(place.group(1)) if place and place.group(1) else None)


def takes_continuous(contender: Contender) -> list[Finding]:
    """Returns whether it takes real actions too."""
    try:
        algorithm_trace.check(contender, envs.make(CONTINUOUS, max_steps_in_episode=TIME_LIMIT))
    except ValueError as error:
        why = placed(error, Path(contender.algorithm.__file__)).text.removeprefix(REFUSED)
        return [Finding(NOTE, f"for discrete actions alone: {why}")]
    return [Finding(OK, "takes discrete and continuous actions")]


def two_updates(algorithm: Algorithm) -> Callable:
    """Returns the function (key, hparams) -> (first state, state, metrics) of a run's first two updates."""

    def run(key, hparams):
        begun = algorithm.init(key, hparams)
        state, _ = algorithm.step(begun, hparams)
        return begun, *algorithm.step(state, hparams)

    return run


def repeats(contender: Contender, env: Env) -> list[Finding]:
    """Returns the problem of an algorithm that is another program when it is made again."""
    one, other = (
        jax.make_jaxpr(two_updates(contender.make(env)))(jax.random.key(0), contender.hparams) for _ in range(2)
    )
    if same_program(one, other):
        return []
    text = "made twice it does not do the same: something in Python changes (a global, random, time)"
    return [Finding(PROBLEM, f"{text}; what changes belongs into the state, chance comes from the key")]


def keys(contender: Contender, env: Env) -> list[Finding]:
    """Returns whether a key is used twice within two updates."""
    run, hparams = two_updates(contender.make(env)), contender.hparams
    try:
        with jax.debug_key_reuse(True):
            jax.jit(lambda key: run(key, hparams)).lower(jax.random.key(0))
    except jax.errors.KeyReuseError:
        text = "a key is used twice in two updates: split it, use one part, and hand the other on in the state"
        return [Finding(PROBLEM, text)]
    return [Finding(OK, "every key is used once, from update to update")]


def reads(algorithm: Algorithm, hparams: Any) -> list[Finding]:
    """Returns the hyperparameters that nothing depends on; not the budget, which every run sets."""
    closed = jax.make_jaxpr(two_updates(algorithm))(jax.random.key(0), hparams)
    depends = needed(closed.jaxpr, [True] * len(closed.jaxpr.outvars))[1][1:]
    idle = [
        field.name
        for field, is_read in zip(dataclasses.fields(hparams), depends)
        if not is_read and field.name != BUDGET
    ]
    return [Finding(NOTE, f"nothing depends on HParams.{name}: a sweep of it would show nothing") for name in idle]


def updates(algorithm: Algorithm, hparams: Any, env: Env) -> list[Finding]:
    """Returns what two updates do, under two seeds and at other hyperparameters; one program serves them all."""
    run = jax.jit(two_updates(algorithm))
    begun, first, metrics = run(jax.random.key(0), hparams)
    _, second, _ = run(jax.random.key(1), hparams)
    found = [
        Finding(PROBLEM, f"{name} is {value} after two updates")
        for name, value in sorted(metrics.items())
        if not np.isfinite(value)
    ]
    if not distance(begun.params, first.params):
        found.append(Finding(PROBLEM, "two updates leave the parameters as they are"))
    if not distance(first.params, second.params):
        found.append(Finding(PROBLEM, "two seeds give the same parameters: init makes nothing of its key"))
    if hasattr(hparams, "learning_rate"):
        still = run(jax.random.key(0), hparams.replace(learning_rate=0.0))[1]
        if distance(begun.params, still.params):
            found.append(Finding(PROBLEM, "with learning_rate = 0 the parameters move: another one is in force"))
    return found + together(run, hparams, first.params) + first_states(algorithm, begun, env)


def together(run: Callable, hparams: Any, alone: Any) -> list[Finding]:
    """Returns whether an update is the same when runs of several hyperparameters are one program, as a sweep's are."""
    several = jax.tree.map(lambda x: x * jnp.array([1.0, 0.5]), hparams)
    try:
        vmapped = jax.jit(jax.vmap(run, (None, 0)))(jax.random.key(0), several)
    except Exception as error:
        return [Finding(PROBLEM, f"cannot be vmapped over its hyperparameters: {reason(error)}")]
    own = jax.tree.map(lambda x: x[0], vmapped[1].params)
    if distance(own, alone) > SAME * (1.0 + largest(alone)):
        return [Finding(PROBLEM, "vmapped with other hyperparameters it gives other parameters than alone")]
    return [Finding(OK, "updates move the parameters, alone and vmapped over hyperparameters alike")]


def first_states(algorithm: Algorithm, begun: Any, env: Env) -> list[Finding]:
    """Returns whether it meets the initial states that every algorithm here meets under one seed."""
    if algorithm.steps_in_init or not hasattr(begun, "environment"):
        return []
    vector = envs.vectorize(env, jax.tree.leaves(begun.environment)[-1].shape[0])
    wanted = jax.jit(lambda key: vector.reset(jax.random.split(key, 3)[0]))(jax.random.key(0))
    same_form = jax.tree.structure(wanted) == jax.tree.structure(begun.environment)
    if same_form and not distance(wanted, begun.environment):
        return [Finding(OK, "meets the same initial states as the algorithms here under one seed")]
    text = "meets other initial states than the algorithms here under one seed: split init's key into environment, "
    return [Finding(NOTE, f"{text}parameters and training, in this order")]


def of_loss(module: ModuleType) -> list[Finding]:
    """Returns the examination of its loss, where it has one of the usual form."""
    loss = getattr(module, "loss", None)
    if not inspect.isfunction(loss) or len(inspect.signature(loss).parameters) != 4:
        return []
    path, line = source(loss)
    user = UserLoss(loss, Path(module.__file__).stem, module.HParams, None, path, line, module)
    try:
        return [each._replace(text=f"its loss: {each.text}") for each in examine(user)]
    except ValueError as error:
        return [Finding(NOTE, f"its loss is not examined: {error}")]


def distance(one: Any, other: Any) -> float:
    """Returns the largest difference between the numbers of two trees of one structure; keys count by their bits."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max((float(np.abs(number(x) - number(y)).max()) for x, y in pairs if np.size(number(x))), default=0.0)


def largest(tree: Any) -> float:
    """Returns the largest absolute value in the tree."""
    return max((float(np.abs(number(x)).max()) for x in jax.tree.leaves(tree) if np.size(number(x))), default=0.0)


def number(leaf: Any) -> np.ndarray:
    """Returns an array in float64, a key as its bits."""
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf, np.float64)
