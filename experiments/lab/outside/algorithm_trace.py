"""An algorithm of a user's own, traced before anything compiles: what a run could not do with it is said in words."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from algos.core.types import Algorithm
from envs import Env
from experiments.lab.definition.experiment import Contender
from experiments.lab.outside.loss_errors import raised_at, reason
from experiments.lab.outside.user_files import neighbours

EPISODES = ("episode_count", "episode_return_sum", "episode_length_sum", "fault_count")
RECORDED = ("evaluation_return", "training_return", "training_length", "training_episodes", "environment_faults")


class Fault(Exception):
    """What the algorithm gives cannot be run."""


def check(contender: Contender, env: Env) -> None:
    """Raises ValueError, in one line that begins with the user's file, and its line where one is known."""
    path = Path(contender.algorithm.__file__)
    try:
        _check(contender, env)
    except Fault as fault:
        raise ValueError(f"{path}: {fault}") from None
    except ValueError as error:
        if str(error).startswith(str(path.parent)):
            raise  # of its network or its loss, said already
        raise ValueError(f"{path}: {reason(error).removeprefix('ValueError: ')}") from None
    except Exception as error:
        where = raised_at(error, [path, *neighbours(path)]) or path
        raise ValueError(f"{where}: {reason(error)}") from None


def _check(contender: Contender, env: Env) -> None:
    algorithm, hparams = contender.make(env), contender.hparams
    if not isinstance(algorithm, Algorithm):
        raise Fault(f"make must return an algos.core.types.Algorithm, returns a {type(algorithm).__name__}")
    if not isinstance(algorithm.steps_per_update, int) or algorithm.steps_per_update < 1:
        raise Fault(f"Algorithm.steps_per_update must be a whole number above 0, is {algorithm.steps_per_update!r}")
    state = jax.eval_shape(algorithm.init, jax.random.key(0), hparams)
    result = jax.eval_shape(algorithm.step, state, hparams)
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
        raise Fault("step must return (state, metrics), metrics a dict of scalars")
    after, metrics = result
    _check_state(state, after)
    _check_metrics(metrics)
    _check_action(algorithm, state, env)


def _check_state(before: Any, after: Any) -> None:
    if not (hasattr(before, "params") and hasattr(before, "replace")):
        raise Fault(
            "the state must be a flax struct.dataclass with a field `params`, as algos.core.types.TrainState: that is kept "
            "of every seed, and acts"
        )
    if jax.tree.structure(before) != jax.tree.structure(after):
        raise Fault("step must return a state with the fields that init gives it, and it does not")
    for (place, old), new in zip(jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after)):
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            name, was, now = jax.tree_util.keystr(place), _described(old), _described(new)
            raise Fault(f"state{name} is {was} after init and {now} after step; it must stay as it is")


def _check_metrics(metrics: dict[str, Any]) -> None:
    lacking = [name for name in EPISODES if name not in metrics]
    if lacking:
        raise Fault(
            f"step's metrics lack {', '.join(lacking)}: add **episode_metrics(episodes) of algos.core.rollout, where "
            "collect or rollout gives the episodes"
        )
    for name, x in metrics.items():
        if name in RECORDED:
            raise Fault(f"step names a metric {name!r}, which is recorded already; choose another")
        if jnp.shape(x) != ():
            raise Fault(f"the metric {name!r} must be a scalar, is {_described(x)}: reduce it with losses.mean")


def _check_action(algorithm: Algorithm, state: Any, env: Env) -> None:
    observation = jax.eval_shape(env.reset, jax.random.key(0))[1]
    act = algorithm.act
    chosen = jax.eval_shape(lambda *arguments: act(*arguments, False), state, jax.random.key(0), observation)
    wanted = env.action.shape if not hasattr(env.action, "size") else (env.action.size,)
    if not isinstance(chosen, jax.ShapeDtypeStruct) or chosen.shape != wanted:
        raise Fault(f"act must give one action of shape {list(wanted)} for one observation, gives {_described(chosen)}")


def _described(x: Any) -> str:
    return f"{x.dtype} of shape {list(x.shape)}" if hasattr(x, "dtype") else f"a {type(x).__name__}"
