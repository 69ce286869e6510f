"""A user's loss and network, traced once within an update before anything compiles: faults show with their line."""

import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from algos.core.types import Algorithm
from envs import Env
from experiments.lab.definition.experiment import Contender, Experiment
from experiments.lab.outside import algorithm_trace, network_trace
from experiments.lab.outside.loss_errors import raised_at, reason
from experiments.lab.outside.user_files import is_own, neighbours
from experiments.lab.outside.user_loss import check_function, check_hparams, place, source

OWN = "own "  # stands before the names of a loss's metrics while it is traced, to tell them from the algorithm's
RECORDED = algorithm_trace.RECORDED  # by the runner


class Fault(Exception):
    """What a loss returns cannot be learned from."""


def made(contender: Contender, env: Env) -> Algorithm:
    """Returns the contender's algorithm on `env`. Where algorithm, loss or network is its own, one update is traced first.

    Raises ValueError, in one line that begins with the user's file and line, when that cannot run. Compiles nothing.
    """
    own = [part for part in (contender.loss, contender.network) if part is not None]
    for part in own:
        check_function(part, contender.name)
    if is_own(contender.algorithm):
        _check_alone(contender, env)
    if own:
        check_hparams(type(contender.hparams))
        if contender.network is not None:
            network_trace.check(contender, env)
        _trace(contender, env, _files(contender, own))
    return contender.make(env)


def _check_alone(contender: Contender, env: Env) -> None:
    """Raises ValueError for a user's algorithm that is wrong with its own loss and network, so that what is given in their
    place is blamed for nothing else; and with those given, where it has none of its own."""
    try:
        algorithm_trace.check(dataclasses.replace(contender, loss=None, network=None), env)
    except ValueError:
        algorithm_trace.check(contender, env)


def own_loss(experiment: Experiment, environment: str, name: str) -> str:
    """Returns in words where the loss of a contender is; nothing where it is the algorithm's."""
    (loss,) = [
        contender.loss
        for task in experiment.tasks
        for contender in task.contenders
        if (task.environment, contender.name) == (environment, name)
    ]
    return "" if loss is None else f"; its loss is at {place(loss)}"


def _files(contender: Contender, parts: list[Callable]) -> set[Path]:
    """Returns the files of the parts and their neighbours; not the algorithm's, which is sound with its own, unless a part
    lies there too."""
    paths = {source(part)[0] for part in parts}
    files = paths.union(*map(neighbours, paths))
    return files - ({Path(contender.algorithm.__file__)} - paths)


def _trace(contender: Contender, env: Env, files: set[Path]) -> None:
    returned: list[dict] = []  # the metrics of each call of the loss that went well
    loss, network = contender.loss, contender.network
    if loss is not None:
        contender = dataclasses.replace(contender, loss=_watched(loss, returned))
    try:
        algorithm = contender.make(env)
        state = jax.eval_shape(algorithm.init, jax.random.key(0), contender.hparams)
        _, metrics = jax.eval_shape(algorithm.step, state, contender.hparams)
    except Fault as error:
        raise ValueError(f"{_return_line(loss)}: {loss.__name__} {error}") from None
    except Exception as error:
        where = raised_at(error, files)
        if where:
            raise ValueError(f"{where}: {reason(error)}") from None
        if returned:
            raise ValueError(f"{place(loss)}: {loss.__name__} cannot be differentiated: {reason(error)}") from None
        if network is not None and not isinstance(error, ValueError):
            name = Path(contender.algorithm.__file__).stem
            raise ValueError(
                f"{place(network)}: what this network gives does not fit {name}: {reason(error)}"
            ) from None
        raise
    if loss is not None:
        _check_names(loss, set(returned[0]), {name for name in metrics if not name.startswith(OWN)})


def _watched(loss: Callable, returned: list[dict]) -> Callable:
    """Returns the loss with what it returns checked and kept."""

    def watched(params, apply, batch, hparams):
        result = loss(params, apply, batch, hparams)
        found = fault(result)
        if found:
            raise Fault(found)
        value, metrics = result
        returned.append(metrics)
        return value, {OWN + name: x for name, x in metrics.items()}

    return watched


def fault(result: Any) -> str:
    """Returns what is wrong with what a loss returns, or nothing."""
    if not (isinstance(result, tuple) and len(result) == 2):
        what = f"a tuple of {len(result)}" if isinstance(result, tuple) else _described(result)
        return f"must return (scalar, dict of metrics), not {what}"
    value, metrics = result
    if not _is_scalar(value) or not jnp.issubdtype(jnp.result_type(value), jnp.floating):
        return f"must return a float scalar first, not {_described(value)}: reduce it with losses.mean(x, batch.mask)"
    if not isinstance(metrics, dict):
        return f"must return a dict of metrics second, not {_described(metrics)}"
    for name, x in metrics.items():
        if not isinstance(name, str):
            return f"must name its metrics by strings, not {name!r}"
        if not _is_scalar(x):
            return f"must return scalar metrics, {name!r} is {_described(x)}: reduce it with losses.mean(x, batch.mask)"
    return ""


def _is_scalar(x: Any) -> bool:
    return isinstance(x, jax.Array | int | float) and jnp.shape(x) == ()


def _described(x: Any) -> str:
    return f"{x.dtype} of shape {x.shape}" if isinstance(x, jax.Array) else type(x).__name__


def _check_names(loss: Callable, names: set[str], taken: set[str]) -> None:
    """Raises ValueError where a metric of the loss would hide one of the algorithm or of the runner, or be hidden."""
    for name in sorted(names & (taken | set(RECORDED))):
        raise ValueError(
            f"{_return_line(loss)}: {loss.__name__} names a metric {name!r}, which is recorded already; choose another"
        )


def _return_line(loss: Callable) -> str:
    """Returns FILE:LINE of the last `return` of the loss, or of its beginning."""
    lines, first = inspect.getsourcelines(loss)
    returns = [number for number, text in enumerate(lines, first) if text.strip().startswith("return")]
    return f"{source(loss)[0]}:{returns[-1] if returns else first}"
