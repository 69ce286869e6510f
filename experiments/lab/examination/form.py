"""Whether a loss can be called, compiled and vmapped, gives what it should, and what it reads."""

import dataclasses
import inspect
import re
import traceback

import jax
import numpy as np

import envs
from algos.pgql import Batches
from experiments.lab.definition.contenders import parent_of, with_settings_of
from experiments.lab.examination.case import NOTE, OK, PROBLEM, Case, Finding, prepare
from experiments.lab.examination.jaxprs import needed
from experiments.lab.outside import loss_trace
from experiments.lab.outside.loss_errors import reason

MISSED = {
    "action": "what was done",
    "reward": "what was gained",
    "terminated": "where the episode ended for good and nothing follows",
    "log_prob": "how probable the action was: how far the policy has moved since",
    "value": "what the value was at collection",
    "advantage": "how good the action was",
    "value_target": "what the value should be",
    "next_observation": "what followed",
    "discount": "gamma^n: hparams.gamma in its place is right for n_step = 1 alone",
    "target_params": "the target network: without it the target moves with every step",
}


def explained(error: Exception, path, doing: str) -> Finding:
    """Returns the problem that an exception in the user's file is. Raises one that never passed there: it is ours."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    if not lines:
        raise error
    return Finding(PROBLEM, f"{doing}: {reason(error)}", lines[-1])


def returns(case: Case) -> tuple[Case | None, list[Finding]]:
    """Returns (the case, its loss made to return metrics where it has none; None: nothing more can be told, findings)."""
    results: list = []

    def call(params, batch):
        results.append(case.loss(params, case.apply, batch, case.hparams))

    try:
        jax.eval_shape(call, case.params, case.batch)
    except Exception as error:
        return None, [explained(error, case.user.path, "the loss fails")]
    result, line = results[0], return_line(case)
    wrong = loss_trace.fault(result)
    if not wrong:
        return case, [Finding(OK, "returns a scalar and a dict of scalar metrics")]
    is_pair = isinstance(result, tuple) and len(result) == 2
    if loss_trace.fault((result[0] if is_pair else result, {})):
        return None, [Finding(PROBLEM, wrong, line)]

    def without_metrics(*arguments):
        result = case.loss(*arguments)
        return (result[0] if is_pair else result), {}

    return case._replace(loss=without_metrics), [Finding(PROBLEM, wrong, line)]


def accepted(case: Case) -> list[Finding]:
    """Returns the problem for which `compare` would refuse the loss, by the very trace that it makes; else nothing."""
    user = case.user
    if user.function is getattr(user.module, "loss", None):
        return []
    parent = parent_of(user, case.environment, steps=1)
    hparams = with_settings_of(parent.hparams, user)
    own = dataclasses.replace(parent, loss=user.function, hparams=hparams, network=user.network)
    try:
        loss_trace.made(own, envs.make(case.environment))
    except ValueError as error:
        place = re.match(rf"{re.escape(str(user.path))}:(\d+): ", str(error))
        text = str(error).removeprefix(place.group() if place else "")
        return [Finding(PROBLEM, f"compare refuses it: {text}", int(place.group(1)) if place else None)]
    return []


def return_line(case: Case) -> int:
    """Returns the line of the last `return` of the loss, or its first line."""
    lines, first = inspect.getsourcelines(case.user.function)
    places = [number for number, text in enumerate(lines, first) if text.strip().startswith("return")]
    return places[-1] if places else case.user.line


def vmaps(case: Case) -> list[Finding]:
    """Returns whether the hyperparameters can be traced and vmapped, as every run does with them."""
    scaled = jax.tree.map(lambda x: x * np.asarray([0.5, 1.0, 1.5], x.dtype), case.hparams)
    try:
        together = jax.jit(jax.vmap(lambda hparams: case._replace(hparams=hparams).trace()))(scaled)
    except Exception as error:
        return [explained(error, case.user.path, "cannot be vmapped over its hyperparameters")]
    alone = [case._replace(hparams=jax.tree.map(lambda x, i=i: x[i], scaled)).value() for i in range(3)]
    if not np.allclose(together, alone, rtol=1e-4, atol=1e-5, equal_nan=True):
        text = f"vmapped over its hyperparameters it gives {np.asarray(together)}, one by one {np.asarray(alone)}"
        return [Finding(PROBLEM, text, case.user.line)]
    return [Finding(OK, "compiles, and can be vmapped over its hyperparameters")]


def reads(case: Case) -> list[Finding]:
    """Returns which fields of the batch and hyperparameters the loss depends on; metrics do not count."""
    batch, hparams = used(case)
    findings = [
        Finding(OK, f"depends on batch: {', '.join(batch) or 'nothing'}; hparams: {', '.join(hparams) or 'none'}")
    ]
    name, module = case.user.algorithm, case.user.module
    own = set(type(case.hparams).__dataclass_fields__) - set(module.HParams.__dataclass_fields__)
    for field in sorted(own - set(hparams)):
        text = f"the loss does not depend on its own hyperparameter {field!r}: a sweep of it would show nothing"
        findings.append(Finding(PROBLEM, text, case.user.line))
    if not hasattr(module, "loss"):
        return findings
    parent = case if case.user.network is None else prepare(case.user._replace(network=None), case.environment)
    usual_batch, usual_hparams = used(parent._replace(loss=module.loss))
    unread = [f"batch.{field}{why(field)}" for field in usual_batch if field not in batch and field != "mask"]
    for idle in (unread, [field for field in usual_hparams if field not in hparams]):
        if idle:
            text = f"does not depend on {', '.join(idle)}, which {name}'s own loss does"
            findings.append(Finding(NOTE, text, case.user.line))
    return findings


def why(field: str) -> str:
    """Returns in brackets what a loss misses that does not read the field of the batch."""
    return f" ({MISSED[field]})" if field in MISSED else ""


def used(case: Case) -> tuple[list[str], list[str]]:
    """Returns (names of batch fields, names of hyperparameters) that the loss depends on."""
    arguments = (case.params, case.batch, case.hparams)
    closed = jax.make_jaxpr(lambda p, b, h: case._replace(params=p, batch=b, hparams=h).trace())(*arguments)
    depends = needed(closed.jaxpr, [True])[1][len(jax.tree.leaves(case.params)) :]
    batch_depth = 2 if isinstance(case.batch, Batches) else 1
    names: tuple[list, list] = ([], [])
    for (path, _), is_used in zip(jax.tree_util.tree_leaves_with_path((case.batch, case.hparams)), depends):
        place, keys = path[0].idx, path[1:]
        if is_used:
            names[place].append(".".join(key.name for key in keys[: 1 if place else batch_depth]))
    return list(dict.fromkeys(names[0])), list(dict.fromkeys(names[1]))
