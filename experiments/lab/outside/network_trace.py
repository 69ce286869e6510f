"""A network, traced before anything compiles: what is wrong with what it gives is said in words, with its line."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from algos import a2c, dqn, pgql, ppo, reinforce, trpo
from algos.core.distributions import Categorical, DiagonalGaussian, Quantiles
from envs import Discrete, Env
from experiments.lab.definition.experiment import Contender
from experiments.lab.outside.calls import network_of
from experiments.lab.outside.loss_errors import raised_at, reason
from experiments.lab.outside.user_files import is_own, neighbours
from experiments.lab.outside.user_loss import place, source

ACTORS, LEARN_Q = (reinforce, a2c, trpo, ppo, pgql), (dqn,)
KNOWN = (Categorical, DiagonalGaussian)
LEADING = (2, 3)  # networks are applied to [B, ...] and to [T, B, ...]
METHODS = ("log_prob", "entropy", "kl", "mode", "sample", "noise", "sample_from")


class Fault(Exception):
    """What a network gives cannot be used."""


def check(contender: Contender, env: Env) -> None:
    """Raises ValueError, in one line that begins with the user's file and line, for a network that does not fit the
    contender's algorithm on the environment. Compiles nothing."""
    function = contender.network
    path, _ = source(function)
    try:
        network = network_of(function, env, contender.config, contender.network_fields)
        _check_made(network)
        given = _given(network, env)
        if contender.algorithm in ACTORS:
            _check_policy_and_value(given, env)
        elif contender.algorithm in LEARN_Q:
            _check_q(given, env)
        elif is_own(contender.algorithm) and isinstance(given, tuple) and isinstance(given[0], KNOWN):
            _check_policy(given[0], env)
    except Fault as fault:
        algorithm = Path(contender.algorithm.__file__).stem
        raise ValueError(f"{place(function)}: what this network gives does not fit {algorithm}: it {fault}") from None
    except Exception as error:
        where = raised_at(error, [path, *neighbours(path)]) or f"{place(function)}: {contender.name}"
        raise ValueError(f"{where}: {reason(error)}") from None


def _check_made(network: Any) -> None:
    lacking = [name for name in ("init", "apply") if not callable(getattr(network, name, None))]
    if lacking:
        what = "nothing" if network is None else f"a {type(network).__name__}, which has no {' and no '.join(lacking)}"
        raise Fault(f"must return a network with flax's init and apply, returns {what}")


def _given(network: Any, env: Env) -> Any:
    """Returns the shapes and dtypes of what the network gives for observations [2, 3, ...]."""
    seen = jax.eval_shape(env.reset, jax.random.key(0))[1].dtype
    params = jax.eval_shape(network.init, jax.random.key(0), _observations(env, seen, LEADING[:1]))
    jax.eval_shape(network.apply, params, _observations(env, seen, LEADING[:1]))
    return jax.eval_shape(network.apply, params, _observations(env, seen, LEADING))


def _observations(env: Env, dtype, leading: tuple[int, ...]) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((*leading, *env.observation_shape), dtype)


def _check_policy_and_value(given: Any, env: Env) -> None:
    if not (isinstance(given, tuple) and len(given) == 2):
        raise Fault(f"must give (policy, value), gives {_described(given)}")
    policy, value = given
    _check_policy(policy, env, "; value comes second" if hasattr(value, "log_prob") else "")
    _check_array(value, LEADING, "value")


def _check_policy(policy: Any, env: Env, hint: str = "") -> None:
    is_discrete = isinstance(env.action, Discrete)
    usual = f"a Categorical of {env.action.n}" if is_discrete else f"a DiagonalGaussian of {env.action.size}"
    if lacking := [name for name in METHODS if not hasattr(policy, name)]:
        told = f"is {_described(policy)}, which has no {lacking[0]}{hint}"
        raise Fault(
            f"gives a policy that must be a distribution, on {env.name} {usual} from algos.core.distributions; {told}"
        )
    wanted = {Categorical: ("logits", is_discrete), DiagonalGaussian: ("mean", not is_discrete)}.get(type(policy))
    if wanted is not None:
        array, fits = getattr(policy, wanted[0]), wanted[1]
        size = env.action.n if is_discrete else env.action.size
        if not fits or array.shape != (*LEADING, size):
            where = "[2, 3, ...]"
            raise Fault(
                f"gives a policy that must be {usual} on {env.name}; for observations {where} it is a {type(policy).__name__} with "
                f"{wanted[0]} {list(array.shape)}, should have {[*LEADING, size]}"
            )


def _check_q(given: Any, env: Env) -> None:
    if isinstance(given, Quantiles):
        return
    if isinstance(given, tuple):
        raise Fault(f"must give Q [..., {env.action.n}], or Quantiles, gives {_described(given)}")
    _check_array(given, (*LEADING, env.action.n), "Q")


def _check_array(x: Any, shape: tuple[int, ...], name: str) -> None:
    if not isinstance(x, jax.ShapeDtypeStruct):
        raise Fault(f"gives {name} that must be an array and is {_described(x)}")
    if x.shape != shape:
        hint = ": leave out its last axis, as value[..., 0]" if x.shape == (*shape, 1) else ""
        raise Fault(
            f"gives {name} that for observations [2, 3, ...] must have shape {list(shape)} and has {list(x.shape)}{hint}"
        )
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise Fault(f"gives {name} that must be float32 and is {x.dtype}")


def _described(x: Any) -> str:
    if isinstance(x, jax.ShapeDtypeStruct):
        return f"an array of shape {list(x.shape)}"
    return f"a tuple of {len(x)}" if isinstance(x, tuple) else f"a {type(x).__name__}"
