"""An environment, traced a few times before anything compiles: what is wrong with its form shows with its line."""

import inspect
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from envs import Box, Discrete, Env, Layout, TimeStep
from envs.core import CONVENTIONS
from experiments.lab.definition.experiment import Task
from experiments.lab.outside.loss_errors import KEPT, raised_at, reason
from experiments.lab.outside.user_env import files_of, place_of

MOST_STEPS = 2**31 - 1  # int32 counts them
LONG = 100_000  # steps of an episode; an evaluation that plays 32 of more takes minutes
STEP_GIVES = "(state, TimeStep(observation, reward, terminated, truncated))"


class Fault(Exception):
    """What is wrong with an environment, and in which of its functions."""

    def __init__(self, text: str, function: Callable | None = None):
        super().__init__(text)
        self.function = function


def checked(task: Task) -> Env:
    """Returns the environment of the task, traced. Raises ValueError, in one line that begins with the user's file and
    line where there is one, for an environment that cannot be trained on. Compiles nothing."""
    try:
        env = task.make()
        check_facts(env, task.factory)
        check_calls(env)
        return env
    except Fault as fault:
        raise ValueError(f"{place_of(task, fault.function)}: {fault}") from None
    except Exception as error:
        files = files_of(task)
        if not files:
            raise
        where = raised_at(error, files) or place_of(task)  # what a wrapper calls has no frame in the user's file
        raise ValueError(f"{where}: {reason(error)}") from None


def check_facts(env: Any, factory: Callable | None) -> None:
    """Raises Fault where what is returned is no environment, or says what cannot be of itself."""

    def require(condition: bool, text: str) -> None:
        if not condition:
            raise Fault(text, factory)

    require(isinstance(env, Env), f"must return an envs.Env, returns {_described(env)}")
    require(isinstance(env.name, str) and env.name != "", f"Env.name must be a word, is {env.name!r}")
    require(callable(env.reset) and callable(env.step), "Env.reset and Env.step must be functions")
    shape, steps, action = env.observation_shape, env.max_steps, env.action
    sizes = isinstance(shape, tuple) and all(_is_whole(size) and size > 0 for size in shape)
    require(sizes, f"Env.observation_shape must be a tuple of whole numbers, as (4,), is {shape!r}")
    require(_is_whole(steps) and 0 < steps <= MOST_STEPS, f"Env.max_steps must be a whole number above 0, is {steps!r}")
    require(
        isinstance(action, Discrete | Box), f"Env.action must be envs.Discrete or envs.Box, is {_described(action)}"
    )
    if isinstance(action, Discrete):
        require(_is_whole(action.n) and action.n > 0, f"Discrete.n must be a whole number above 0, is {action.n!r}")
    else:
        require(_are_bounds(action.low, action.high), f"Box.low must be below Box.high, entry by entry: {action}")
    check_agents(env, require)
    if env.observation_bounds is not None:
        told = f"Env.observation_bounds must be (low, high) of shape {shape}, low below"
        require(isinstance(env.observation_bounds, tuple) and len(env.observation_bounds) == 2, told)
        low, high = env.observation_bounds
        require(np.shape(low) == np.shape(high) == shape and _are_bounds(low, high), told)


def check_agents(env: Env, require: Callable[[bool, str], None]) -> None:
    """Raises Fault where what is said of agents, or of what an observation is made of, cannot be."""
    agents, waits = env.agents, env.waits
    require(agents is None or (_is_whole(agents) and agents > 0), f"Env.agents must be 1 or more, is {agents!r}")
    require(env.acting is None or agents is not None, "Env.acting is for agents, and Env.agents says none")
    require(_is_whole(waits) and waits >= 0, f"Env.waits must be a whole number of 0 or more, is {waits!r}")
    told = f"Env.reward_convention must be one of {', '.join(CONVENTIONS)}, is {env.reward_convention!r}"
    require((env.reward_convention in CONVENTIONS) if agents else env.reward_convention is None, told)
    if env.layout is not None:
        fits = isinstance(env.layout, Layout) and env.observation_shape == (sum(env.layout),)
        require(fits, f"Env.layout must be a Layout of {env.observation_shape} numbers, is {env.layout!r}")
        legal = env.layout.legal == 0 or (isinstance(env.action, Discrete) and env.action.n == env.layout.legal)
        require(legal, f"Layout.legal must be 0 or the number of discrete actions, is {env.layout.legal}")


def check_calls(env: Env) -> None:
    """Raises Fault where reset and step do not give what they should, or not the same when called again."""
    everyone = () if env.agents is None else (env.agents,)
    dtype = jnp.int32 if isinstance(env.action, Discrete) else jnp.float32
    key, action = jax.eval_shape(lambda: jax.random.key(0)), jax.ShapeDtypeStruct(everyone + env.action.shape, dtype)
    check_takes(env.reset, "reset", "key")
    check_takes(env.step, "step", "key", "state", "action")
    state, observation = _traced(env.reset, lambda result: check_reset(env, result), key)
    _, reached = _traced(env.step, lambda result: check_step(env, state, result), key, state, action)
    if env.acting is not None:
        acting = jax.eval_shape(env.acting, state)
        if not _is_array(acting) or (acting.shape, acting.dtype) != (everyone, jnp.bool_):
            raise Fault(f"acting must give one bool an agent, gives {_described(acting)}", env.acting)
    first, later = observation.dtype, reached.observation.dtype
    if first != later:
        raise Fault(f"the observation is {first} after reset and {later} after step; it must stay as it is", env.step)


def check_takes(function: Callable, name: str, *words: str) -> None:
    """Raises Fault where the function cannot be called with as many arguments."""
    try:
        inspect.signature(function).bind(*words)
    except TypeError:
        raise Fault(f"{name} must take ({', '.join(words)})", function) from None
    except ValueError:  # of what is written in C nothing is known
        return


def check_reset(env: Env, result: Any) -> None:
    """Raises Fault where it is not (state, observation) with an observation as declared."""
    if not (isinstance(result, tuple) and len(result) == 2):
        raise Fault(f"reset must return (state, observation), returns {_described(result)}", env.reset)
    state, observation = result
    if not _fits(env, observation) and _fits(env, state):
        raise Fault("reset returns (observation, state), must return (state, observation)", env.reset)
    _check_state(state, env.reset)
    _check_observation(env, observation, env.reset)


def check_step(env: Env, before: Any, result: Any) -> None:
    """Raises Fault where it is not (state, TimeStep), with the shapes and dtypes of the state before."""
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], TimeStep)):
        raise Fault(f"step must return {STEP_GIVES}, returns {_described(result)}", env.step)
    state, reached = result
    _check_state(state, env.step)
    _check_same_types(before, state, env.step)
    _check_observation(env, reached.observation, env.step)
    if not _is_array(reached.reward) or jnp.issubdtype(jnp.result_type(reached.reward), jnp.complexfloating):
        raise Fault(f"the reward must be a number, is {_described(reached.reward)}", env.step)
    shape, everyone = jnp.shape(reached.reward), () if env.agents is None else (env.agents,)
    if shape != everyone:
        wanted = "a scalar" if env.agents is None else f"of shape {everyone}, one an agent"
        raise Fault(f"the reward must be {wanted}, has shape {shape}", env.step)
    for name in ("terminated", "truncated"):
        value = getattr(reached, name)
        if not _is_array(value) or jnp.shape(value) not in ((), everyone) or jnp.result_type(value) != jnp.bool_:
            raise Fault(f"{name} must be one bool, as x > 1 gives, is {_described(value)}", env.step)


def _traced(function: Callable, check: Callable[[Any], None], *arguments: Any) -> Any:
    """Returns the shapes and dtypes that the function gives. Raises Fault where a second trace is another program."""

    def trace():
        def watched(*arguments):  # a new one each time: of a known function jax remembers the trace
            result = function(*arguments)
            check(result)
            return result

        return jax.make_jaxpr(watched, return_shape=True)(*arguments)

    (first, shapes), (second, _) = trace(), trace()
    if any(isinstance(const, jax.core.Tracer) for const in first.consts):
        raise Fault(KEPT, function)
    if not same_program(first, second):
        raise Fault(
            "called twice with the same arguments it does not do the same: something in Python changes from call to "
            "call (a global, self, random, time); what changes belongs into the state, chance comes from the key",
            function,
        )
    return shapes


def same_program(first, second) -> bool:
    """Returns whether two traces are one program, with the same constants."""
    texts = [re.sub(r" at 0x[0-9a-f]+", "", str(program)) for program in (first, second)]
    return texts[0] == texts[1] and all(map(_equal, first.consts, second.consts))


def _equal(x: Any, y: Any) -> bool:
    if isinstance(x, jax.Array) and jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
        x, y = jax.random.key_data(x), jax.random.key_data(y)
    return np.array_equal(np.asarray(x), np.asarray(y), equal_nan=np.issubdtype(np.asarray(x).dtype, np.floating))


def _check_state(state: Any, function: Callable) -> None:
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        if not _is_array(leaf):
            name = f"state{jax.tree_util.keystr(path)}"
            raise Fault(f"{name} must be an array or a number, is {_described(leaf)}", function)


def _check_same_types(before: Any, after: Any, function: Callable) -> None:
    """Raises Fault where a step changes what the state is made of: no loop could carry it on."""
    if jax.tree.structure(before) != jax.tree.structure(after):
        raise Fault(
            f"the state is {jax.tree.structure(before)} after reset and {jax.tree.structure(after)} after step",
            function,
        )
    for (path, old), new in zip(jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after)):
        if (old.shape, old.dtype) != (jnp.shape(new), jnp.result_type(new)):
            name = f"state{jax.tree_util.keystr(path)}"
            told = f"is {_described(old)} after reset and {_described(new)} after step; it must stay as it is"
            raise Fault(f"{name} {told}", function)


def _check_observation(env: Env, observation: Any, function: Callable) -> None:
    if not _is_array(observation):
        raise Fault(f"the observation must be one array, is {_described(observation)}", function)
    shape, dtype = jnp.shape(observation), jnp.result_type(observation)
    if shape != _whole_shape(env):
        said = "" if env.agents is None else f", and agents={env.agents}"
        raise Fault(
            f"the observation has shape {shape}, and observation_shape={env.observation_shape}{said} says", function
        )
    is_text = env.text is not None and dtype == jnp.int32  # tokens
    if not (is_text or jnp.issubdtype(dtype, jnp.floating) or dtype in (jnp.bool_, jnp.uint8)):
        text = f"the observation is {dtype}, must be float32 (by .astype(jnp.float32)), bool, or uint8 for an image"
        raise Fault(text, function)


def _fits(env: Env, x: Any) -> bool:
    return _is_array(x) and jnp.shape(x) == _whole_shape(env)


def _whole_shape(env: Env) -> tuple[int, ...]:
    """Returns the shape of what reset and step give, with an axis for agents where there are any."""
    return env.observation_shape if env.agents is None else (env.agents, *env.observation_shape)


def _is_array(x: Any) -> bool:
    return isinstance(x, jax.Array | jax.ShapeDtypeStruct | np.ndarray | np.generic | bool | int | float)


def _is_whole(x: Any) -> bool:
    return isinstance(x, int | np.integer) and not isinstance(x, bool)


def _are_bounds(low: Any, high: Any) -> bool:
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    return low.shape == high.shape and bool(np.all(low < high))


def _described(x: Any) -> str:
    if isinstance(x, TimeStep) or not isinstance(x, tuple | jax.Array | jax.ShapeDtypeStruct | np.ndarray):
        return f"a {type(x).__name__}"
    return f"{len(x)} values" if isinstance(x, tuple) else f"{x.dtype} of shape {x.shape}"
