"""Whether a loss can be called, compiled and vmapped, gives what it should, and what it reads."""

import inspect
import traceback

import jax
import jax.numpy as jnp
import numpy as np

from algos.pgql import Batches
from experiments.lab.examination.case import NOTE, OK, PROBLEM, Case, Finding
from experiments.lab.examination.jaxprs import needed
from experiments.lab.outside.loss_errors import reason
from experiments.lab.settings import ALGORITHMS


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
    result = results[0]
    line, findings, loss = return_line(case), [], case.loss
    if not (isinstance(result, tuple) and len(result) == 2):
        what = f"a tuple of {len(result)}" if isinstance(result, tuple) else type(result).__name__
        what = "no metrics" if isinstance(result, jax.Array) else what
        findings.append(Finding(PROBLEM, f"must return (scalar, dict of metrics), returns {what}", line))
        if not isinstance(result, jax.Array):
            return None, findings
        loss, result = (lambda *arguments: (case.loss(*arguments), {})), (result, {})
    value, metrics = result
    shape, dtype = np.shape(value), jnp.result_type(value) if isinstance(value, jax.Array | float) else None
    if shape != () or dtype is None or not jnp.issubdtype(dtype, jnp.floating):
        what = f"an array of shape {shape}" if shape != () else f"{type(value).__name__} of dtype {dtype}"
        text = f"the loss must be a scalar float, is {what}: reduce it with losses.mean(x, batch.mask)"
        return None, [*findings, Finding(PROBLEM, text, line)]
    findings += wrong_metrics(metrics, line)
    return case._replace(loss=loss), findings or [Finding(OK, "returns a scalar and a dict of scalar metrics")]


def wrong_metrics(metrics, line: int) -> list[Finding]:
    """Returns the problems of what should be a dict of scalars."""
    if not isinstance(metrics, dict):
        return [Finding(PROBLEM, f"metrics must be a dict of scalars, are {type(metrics).__name__}", line)]
    wrong = {name: np.shape(x) for name, x in metrics.items() if np.shape(x) != ()}
    listed = ", ".join(f"{name!r} has shape {shape}" for name, shape in wrong.items())
    return [Finding(PROBLEM, f"every metric must be a scalar: {listed}", line)] if wrong else []


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
    module, _ = ALGORITHMS[case.user.algorithm]
    own = set(type(case.hparams).__dataclass_fields__) - set(module.HParams.__dataclass_fields__)
    for name in sorted(own - set(hparams)):
        text = f"the loss does not depend on its own hyperparameter {name!r}: a sweep of it would show nothing"
        findings.append(Finding(PROBLEM, text, case.user.line))
    if case.user.network is None:
        idle = [name for name in used(case._replace(loss=module.loss))[1] if name not in hparams]
        if idle:
            text = f"does not depend on {', '.join(idle)}, which {case.user.algorithm}'s own loss does"
            findings.append(Finding(NOTE, text, case.user.line))
    return findings


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
